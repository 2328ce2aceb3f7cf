import type { ConsumeQueue } from './consume-queue.ts'
import type { LogIndex } from './log-index.ts'
import type { QueueTable } from './queue-table.ts'
import type { SegmentAges } from './segment-ages.ts'
import type { Segment, Segments } from './segments.ts'
import type { StateJournal } from './state-journal.ts'
import type { Removed, StoreOptions } from './store-options.ts'
import type { StoreEntry, StoreState } from './store-state.ts'

export type RetentionLimits = Pick<
  StoreOptions,
  'retentionMs' | 'retentionBytes' | 'retentionMsMax' | 'retentionBytesMax'
>

const TABLE = 'store'

/** Removes what nobody needs any more, and remembers what the log can then no longer say. */
export class Retention {
  readonly #segments: Segments
  readonly #ages: SegmentAges
  readonly #index: LogIndex
  readonly #queues: QueueTable
  readonly #state: StoreState
  readonly #journal: StateJournal
  #limits: RetentionLimits
  readonly #onBroken: (error: Error) => void
  #running: Promise<void> = Promise.resolve()
  #firstOffset: number
  #forcedBytes = 0

  constructor(parts: {
    segments: Segments
    ages: SegmentAges
    index: LogIndex
    queues: QueueTable
    state: StoreState
    journal: StateJournal
    limits: RetentionLimits
    onBroken(error: Error): void
  }) {
    this.#limits = parts.limits
    this.#onBroken = parts.onBroken
    this.#segments = parts.segments
    this.#ages = parts.ages
    this.#index = parts.index
    this.#queues = parts.queues
    this.#state = parts.state
    this.#journal = parts.journal
    this.#firstOffset = parts.segments.firstOffset
  }

  /** Those not named stay. */
  change(limits: RetentionLimits): void {
    this.#limits = { ...this.#limits, ...limits }
  }

  get firstOffset(): number {
    return this.#firstOffset
  }

  get forcedBytes(): number {
    return this.#forcedBytes
  }

  get segments(): number {
    return this.#segments.list.length
  }

  /**
   * @param durable the file that holds this log offset, and all after it, are kept
   * @param needed log offset of the first record somebody needs; asked only when a file is due
   */
  remove(durable: number, needed: () => number): Removed {
    const { retentionMs = Infinity, retentionBytes = Infinity } = this.#limits
    const { retentionMsMax = Infinity, retentionBytesMax = Infinity } = this.#limits
    const now = this.#ages.look()
    const due: Segment[] = []
    let neededFrom: number | undefined
    for (const segment of this.#segments.list.slice(0, -1)) {
      if (segment.limit <= this.#firstOffset) continue
      const age = now - this.#ages.completeAt(segment)
      const bytes = durable - segment.start
      const isForced = age > retentionMsMax || bytes > retentionBytesMax
      if (segment.limit > durable || !(isForced || age > retentionMs || bytes > retentionBytes)) break
      neededFrom ??= needed()
      if (segment.limit > neededFrom && !isForced) break
      due.push(segment)
    }
    const last = due.at(-1)
    if (last === undefined) return { removed: 0, forced: 0 }
    const removed = last.limit - this.#firstOffset
    const forced = Math.max(0, last.limit - Math.max(this.#firstOffset, neededFrom ?? 0))
    this.#forcedBytes += forced
    this.#firstOffset = last.limit
    const first: StoreEntry = { kind: 'first', offset: last.limit }
    this.#state.apply(first)
    const entries: StoreEntry[] = [first]
    for (const queue of this.#queues.all()) {
      if (queue.dropBefore(last.limit) && queue.minOffset === queue.nextOffset) entries.push(this.#base(queue))
    }
    // The files go when the journal can answer for them, not before: a crash between must not restart a queue at 0.
    this.#running = this.#journal.appendFreeing(TABLE, entries).then(
      () => this.#removeFiles(due),
      // The store is fenced, and said so.
      () => {},
    )
    this.#journal.commit()
    return { removed, forced }
  }

  deleteTopic(topic: string, end: number): Promise<void> {
    const entries: StoreEntry[] = [{ kind: 'deleted', topic, before: end }]
    for (const queue of this.#queues.ofTopic(topic)) {
      queue.clear()
      if (queue.nextOffset > 0) entries.push(this.#base(queue))
    }
    this.#state.deletedBefore.set(topic, end)
    const durable = this.#journal.appendFreeing(TABLE, entries)
    // A failure fences the store and is told there, so nobody has to wait for this promise.
    durable.catch(() => {})
    this.#journal.commit()
    return durable
  }

  /** Also done by each {@link remove}. */
  noteAge(): void {
    this.#ages.look()
  }

  noteDurable(offset: number): void {
    this.#state.durable = offset
    this.#journal.append(TABLE, { kind: 'durable', offset })
  }

  /** No removal is under way any more. */
  settled(): Promise<void> {
    return this.#running
  }

  closeFiles(): void {
    this.#segments.closeAll()
    this.#index.close()
  }

  #removeFiles(due: readonly Segment[]): Promise<void> {
    return new Promise((resolve) => {
      const done = (error: Error | null): void => {
        // The next start finishes it, but a directory that cannot be changed is a failing disk.
        if (error !== null) this.#onBroken(error)
        resolve()
      }
      try {
        for (const segment of due) this.#index.remove(segment.start)
        this.#segments.discard(due, done)
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)))
      }
    })
  }

  /** The queue has no record left to say its next offset. */
  #base({ topic, queueId, nextOffset }: ConsumeQueue): StoreEntry {
    const entry: StoreEntry = { kind: 'base', topic, queueId, offset: nextOffset }
    this.#state.apply(entry)
    return entry
  }
}
