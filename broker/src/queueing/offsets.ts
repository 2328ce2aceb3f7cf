import { TandemError } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { ConsumeQueue } from '../store/index.ts'
import { type Journal, storeNow } from './state-table.ts'
import type { Topics } from './topics.ts'

const TABLE = 'offsets'
/** Longest wait for a consumer to follow a reset it was told of: 10 s, then up to two rounds of its rebalance. */
const MOVE_MS = 60_000
/** A crash costs a group at most this much of its progress. */
const JOURNAL_INTERVAL_MS = 100
const NOTHING = -1

/** Looks up a queue that exists; unlike `store.queue` it creates none. */
export type QueueLookup = (topic: string, queueId: number) => ConsumeQueue | undefined

/** What became of a commit. `behind`, `beyond`: the stored offset was kept. `resetPending`: see {@link Offsets.reset}. */
export type CommitOutcome = 'stored' | 'same' | 'behind' | 'beyond' | 'resetPending'

/** Offsets of one group in one topic, index = queue id. -1 = nothing. */
interface TopicOffsets {
  readonly group: string
  readonly topic: string
  readonly committed: number[]
  /** Offsets the next pull is told to move to. */
  readonly pendingReset: number[]
  /** Resets told but not followed yet, by queue. The journal has them as not told: after a restart they are told again. */
  readonly moving: Map<number, { target: number; until: number }>
  readonly dirty: Set<number>
  /** Monotonic time of the last change in this process, ms, within 100 ms. */
  changedAt: number
}

type Entry =
  | { group: string; topic: string; offsets: [queueId: number, committed: number, pendingReset: number][] }
  | { deleteTopic: string }
  | { deleteGroup: string }

/**
 * How far each group has consumed each queue: the offset to read next. A commit only ever moves it forward, and never past
 * the end of what was visible: a smaller one is a straggler of a client that lost the queue, a larger one belongs to a log that
 * an asynchronous flush lost. Only {@link reset} goes back. Kept in the journal table `offsets`.
 */
export class Offsets {
  readonly #clock: Clock
  readonly #journal: Journal
  readonly #groups = new Map<string, Map<string, TopicOffsets>>()
  /** Set by who keeps more about a group than its offset: it was moved, back or forth, and goes on at `offset`. */
  onRewound: (group: string, topic: string, queueId: number, offset: number) => void = () => {}
  #lookup: QueueLookup = () => undefined
  #dirty = new Set<TopicOffsets>()
  #timer: Timer | undefined
  #isClosed = false
  #pendingResets = 0

  /** Reads the journal's table; {@link open} compares it with the recovered queues. */
  constructor(options: { clock: Clock; journal: Journal; topics: Topics }) {
    this.#clock = options.clock
    this.#journal = options.journal
    options.topics.listeners.push((topic, change) => {
      if (change === 'deleted') this.deleteTopic(topic.name)
    })
    this.#journal.register(TABLE, {
      apply: (entry) => this.#apply(entry as Entry),
      snapshot: () => this.#snapshot(),
    })
  }

  /**
   * Offsets beyond the recovered end of their queue are cut to it: after a power cut under asynchronous flush the next messages
   * take those numbers again, and a group must not skip them.
   */
  open(lookup: QueueLookup): void {
    this.#lookup = lookup
    for (const topics of this.#groups.values()) {
      for (const offsets of topics.values()) {
        offsets.committed.forEach((committed, queueId) => {
          const queue = lookup(offsets.topic, queueId)
          if (queue !== undefined && committed > queue.maxOffset) {
            offsets.committed[queueId] = queue.maxOffset
            this.#markDirty(offsets, queueId)
          }
        })
      }
    }
  }

  /** True while any reset waits for the pull that follows it; lets the hot path skip the question. */
  get hasPendingResets(): boolean {
    return this.#pendingResets > 0
  }

  /** @param queue the queue itself, where the caller has it at hand */
  commit(
    group: string,
    topic: string,
    queueId: number,
    offset: number,
    queue: ConsumeQueue | undefined = this.#lookup(topic, queueId),
  ): CommitOutcome {
    if (queue === undefined || offset > queue.maxOffset || offset < 0) return 'beyond'
    const offsets = this.#offsetsOf(group, topic)
    if ((offsets.pendingReset[queueId] ?? NOTHING) >= 0 || this.#isMoving(offsets, queueId)) return 'resetPending'
    const before = offsets.committed[queueId] ?? NOTHING
    if (offset <= before) return offset === before ? 'same' : 'behind'
    setAt(offsets.committed, queueId, offset)
    this.#markDirty(offsets, queueId)
    return 'stored'
  }

  /**
   * A commit that goes backwards, for a group without members: operators' tools move one that way. Nobody runs whom it could set
   * back, so the next pull is not told.
   */
  commitBackwards(group: string, topic: string, queueId: number, offset: number): void {
    const offsets = this.#offsetsOf(group, topic)
    setAt(offsets.committed, queueId, offset)
    this.#markDirty(offsets, queueId)
    this.onRewound(group, topic, queueId, offset)
  }

  /** @returns the committed offset, -1 when the group never committed this queue */
  committed(group: string, topic: string, queueId: number): number {
    return this.#groups.get(group)?.get(topic)?.committed[queueId] ?? NOTHING
  }

  /**
   * Where a consumer without own memory starts (remoting.md 11.2): the committed offset; else 0 while the queue still has its
   * first message or none at all; else -1, and the client decides by its consumeFromWhere.
   * @param zeroIfNotFound false: never 0 by default
   */
  startOffset(group: string, topic: string, queueId: number, zeroIfNotFound: boolean): number {
    const committed = this.committed(group, topic, queueId)
    if (committed >= 0 || !zeroIfNotFound) return committed
    return this.#lookup(topic, queueId)?.minOffset === 0 ? 0 : NOTHING
  }

  /**
   * Moves a group, back or forth. The next pull of the queue is answered with the new offset, and commits are refused until a pull
   * asks for that offset, at most 60 s longer, so that a running consumer cannot undo it. Durable when resolved.
   * @throws {BrokerError} INVALID_PARAMETER when `offset` is outside the queue
   */
  async reset(group: string, topic: string, queueId: number, offset: number): Promise<void> {
    const queue = this.#lookup(topic, queueId)
    if (queue === undefined || offset < queue.minOffset || offset > queue.maxOffset) {
      const range = queue === undefined ? 'does not exist' : `holds ${queue.minOffset} to ${queue.maxOffset}`
      throw new BrokerError('INVALID_PARAMETER', `offset ${offset}: queue ${queueId} of ${topic} ${range}`)
    }
    const offsets = this.#offsetsOf(group, topic)
    if ((offsets.pendingReset[queueId] ?? NOTHING) < 0) this.#pendingResets++
    setAt(offsets.committed, queueId, offset)
    setAt(offsets.pendingReset, queueId, offset)
    this.onRewound(group, topic, queueId, offset)
    await storeNow(this.#journal, TABLE, { group, topic, offsets: [[queueId, offset, offset]] } satisfies Entry)
  }

  /**
   * A pull arrived while {@link hasPendingResets}.
   * @param offset what it asks for
   * @returns the offset it must be sent to, once; -1 when no reset waits for it
   */
  takeReset(group: string, topic: string, queueId: number, offset: number): number {
    const offsets = this.#groups.get(group)?.get(topic)
    if (offsets === undefined) return NOTHING
    this.#follow(offsets, queueId, offset)
    const target = offsets.pendingReset[queueId] ?? NOTHING
    if (target < 0) return NOTHING
    offsets.pendingReset[queueId] = NOTHING
    this.#markDirty(offsets, queueId)
    if (offset === target) this.#pendingResets--
    else {
      if (offsets.moving.has(queueId)) this.#pendingResets--
      offsets.moving.set(queueId, { target, until: this.#clock.monotonic() + MOVE_MS })
    }
    return target
  }

  hasReset(group: string, topic: string, queueId: number): boolean {
    return (this.#groups.get(group)?.get(topic)?.pendingReset[queueId] ?? NOTHING) >= 0
  }

  /** A pull of `offset` is about to wait while {@link hasPendingResets}: whom a reset sent there has followed it. */
  noteWaiting(group: string, topic: string, queueId: number, offset: number): void {
    const offsets = this.#groups.get(group)?.get(topic)
    if (offsets !== undefined) this.#follow(offsets, queueId, offset)
  }

  /** Topics in which the group committed something. */
  topicsOf(group: string): string[] {
    return [...(this.#groups.get(group)?.keys() ?? [])]
  }

  /** Groups that committed something in the topic. */
  groupsOf(topic: string): string[] {
    return [...this.#groups].filter(([, topics]) => topics.has(topic)).map(([group]) => group)
  }

  /** Every committed offset; `committedAt` is monotonic, 0 when nothing was committed in this process. */
  *all(): Iterable<{ group: string; topic: string; queueId: number; committed: number; committedAt: number }> {
    for (const topics of this.#groups.values()) {
      for (const { group, topic, committed: list, changedAt: committedAt } of topics.values()) {
        for (const [queueId, committed] of list.entries()) {
          if (committed >= 0) yield { group, topic, queueId, committed, committedAt }
        }
      }
    }
  }

  deleteTopic(topic: string): void {
    for (const topics of this.#groups.values()) this.#drop(topics, topic)
    this.#journal.append(TABLE, { deleteTopic: topic } satisfies Entry)
  }

  deleteGroup(group: string): void {
    this.#dropGroup(group)
    this.#journal.append(TABLE, { deleteGroup: group } satisfies Entry)
  }

  /**
   * Hands what changed to the journal; called by itself every 100 ms while something changes, and before closing. Not to one that takes
   * nothing any more: that was reported when it broke, and here nobody could do anything about it.
   */
  flush(): void {
    try {
      this.#flush()
    } catch (error) {
      if (!(error instanceof TandemError) || error.code !== 'STORE_FENCED') throw error
    }
  }

  #flush(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const dirty = this.#dirty
    this.#dirty = new Set()
    for (const offsets of dirty) {
      this.#journal.append(TABLE, entryOf(offsets, offsets.dirty))
      offsets.dirty.clear()
      offsets.changedAt = this.#clock.monotonic()
    }
    if (dirty.size > 0) this.#journal.commit()
  }

  /** {@link flush} for the last time: a position that moves after that, by a lease whose end is still being written, stays in memory. */
  close(): void {
    this.flush()
    this.#isClosed = true
  }

  #offsetsOf(group: string, topic: string): TopicOffsets {
    let topics = this.#groups.get(group)
    if (topics === undefined) this.#groups.set(group, (topics = new Map()))
    let offsets = topics.get(topic)
    if (offsets === undefined) {
      offsets = { group, topic, committed: [], pendingReset: [], moving: new Map(), dirty: new Set(), changedAt: 0 }
      topics.set(topic, offsets)
    }
    return offsets
  }

  /** Clients before 5.2 take 10 s to follow a reset and commit their old offset meanwhile. */
  #isMoving(offsets: TopicOffsets, queueId: number): boolean {
    const moving = offsets.moving.get(queueId)
    if (moving === undefined) return false
    if (this.#clock.monotonic() < moving.until) return true
    this.#arrived(offsets, queueId)
    return false
  }

  #follow(offsets: TopicOffsets, queueId: number, offset: number): void {
    if (offsets.moving.get(queueId)?.target === offset) this.#arrived(offsets, queueId)
  }

  #arrived(offsets: TopicOffsets, queueId: number): void {
    if (!offsets.moving.delete(queueId)) return
    this.#pendingResets--
    this.#markDirty(offsets, queueId)
  }

  #markDirty(offsets: TopicOffsets, queueId: number): void {
    offsets.dirty.add(queueId)
    this.#dirty.add(offsets)
    if (this.#isClosed) return
    this.#timer ??= this.#clock.setTimer(JOURNAL_INTERVAL_MS, () => this.flush())
  }

  #drop(topics: Map<string, TopicOffsets>, topic: string): void {
    const offsets = topics.get(topic)
    if (offsets === undefined) return
    this.#pendingResets -= offsets.pendingReset.filter((target) => target >= 0).length + offsets.moving.size
    this.#dirty.delete(offsets)
    topics.delete(topic)
  }

  #dropGroup(group: string): void {
    const topics = this.#groups.get(group) ?? new Map<string, TopicOffsets>()
    for (const topic of topics.keys()) this.#drop(topics, topic)
    this.#groups.delete(group)
  }

  #apply(entry: Entry): void {
    if ('deleteTopic' in entry) {
      for (const topics of this.#groups.values()) this.#drop(topics, entry.deleteTopic)
      return
    }
    if ('deleteGroup' in entry) {
      this.#dropGroup(entry.deleteGroup)
      return
    }
    const offsets = this.#offsetsOf(entry.group, entry.topic)
    for (const [queueId, committed, pendingReset] of entry.offsets) {
      if ((offsets.pendingReset[queueId] ?? NOTHING) >= 0) this.#pendingResets--
      if (pendingReset >= 0) this.#pendingResets++
      setAt(offsets.committed, queueId, committed)
      setAt(offsets.pendingReset, queueId, pendingReset)
    }
  }

  *#snapshot(): Iterable<Entry> {
    for (const topics of this.#groups.values()) {
      for (const offsets of topics.values()) yield entryOf(offsets, offsets.committed.keys())
    }
  }
}

function entryOf({ group, topic, committed, pendingReset, moving }: TopicOffsets, queueIds: Iterable<number>): Entry {
  const offsets = [...queueIds].map((queueId): [number, number, number] => [
    queueId,
    committed[queueId] ?? NOTHING,
    resetOf(pendingReset[queueId] ?? NOTHING, moving.get(queueId)?.target),
  ])
  return { group, topic, offsets }
}

/** A newer reset counts before one that was told already. */
const resetOf = (pending: number, told: number | undefined): number => (pending >= 0 ? pending : (told ?? NOTHING))

/** Keeps the array dense, so that it stays an array of small integers. */
function setAt(list: number[], index: number, value: number): void {
  while (list.length < index) list.push(NOTHING)
  list[index] = value
}
