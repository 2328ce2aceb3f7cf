import { RecordView } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { Disk, DiskFile } from './disk.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import { IndexBuilder } from './index-builder.ts'
import type { IndexEntry } from '../index-entry.ts'
import { CHECKSUM_BYTES } from './log-entry.ts'
import type { LogIndex } from './log-index.ts'
import { LogReader } from './log-reader.ts'
import type { QueueTable } from './queue-table.ts'
import type { Segment, Segments } from './segments.ts'
import { isOutOfRoom, messageOf, StoreError } from './store-error.ts'
import type { RecordIndexing } from './store-options.ts'

/** Work of one turn: the index is built beside the traffic, not before it. */
const STEP_MS = 1
const PAUSE_MS = 4
/** Tables of a segment that is written are used again up to this size. */
const SPARE_BYTES_MAX = 16 << 20
/** Pause after a failure that may pass: no room. */
const RETRY_MS = 5_000

export interface SegmentIndexerOptions {
  clock: Clock
  disk: Disk
  segments: Segments
  index: LogIndex
  queues: QueueTable
  indexing: RecordIndexing
  /** Where a range of accepted damage that begins at this log offset ends; undefined for any other offset. */
  damageAt(offset: number): number | undefined
  onBroken(error: Error): void
}

/** What is known of a segment without a file. */
export interface SegmentPart {
  segment: Segment
  builder: IndexBuilder
}

/**
 * Is told of each record when it is appended, writes the index file of each segment that is sealed and durable, and hands the units
 * of its queues over to it. Until then the units are in memory with the queues, and the keys here.
 */
export class SegmentIndexer {
  readonly #options: SegmentIndexerOptions
  readonly #record = new RecordView()
  /** The segment that grows. */
  #open: SegmentPart | undefined
  /** Log offset where the records begin that are told. */
  #offset = 0
  /** Known to their end, oldest first; the first one is being written. */
  readonly #finished: SegmentPart[] = []
  #steps: Generator<undefined, void> | undefined
  /** Tables of a segment that is written. */
  #spare: IndexBuilder | undefined
  #timer: Timer | undefined
  #stopped = false
  #durable = 0
  failures = 0

  constructor(options: SegmentIndexerOptions) {
    this.#options = options
  }

  /**
   * Each record from `end` on will be told.
   * @param sealed segments before it whose files are still to be written, oldest first
   * @param open the last segment, if records of it are known
   */
  begin(end: number, sealed: readonly SegmentPart[], open: SegmentPart | undefined): void {
    this.#offset = end
    this.#finished.push(...sealed)
    this.#open = open
  }

  /** The record was just appended, as the last one of its queue. */
  note(queue: ConsumeQueue, physicalOffset: number, size: number, storeTimestamp: number, entry: IndexEntry): void {
    if (this.#stopped) return
    let part = this.#open
    if (part === undefined || physicalOffset >= part.segment.limit) part = this.#openAt(physicalOffset)
    part.builder.addNew(queue, physicalOffset, size, storeTimestamp, entry)
  }

  /** Everything before `durable` is on the disk. */
  follow(durable: number): void {
    this.#durable = durable
    if (this.#timer !== undefined || this.#stopped) return
    const sealed = this.#finished[0]
    if (this.#steps !== undefined || (sealed !== undefined && sealed.segment.limit <= durable)) this.#arm(PAUSE_MS)
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = undefined
    this.#steps = undefined
  }

  /** Log offsets of records before `end` with a key of this hash that no file of the index knows yet, newest first. */
  *find(hash: number, end: number): Generator<number> {
    this.#skipRemoved()
    const parts = this.#open === undefined ? this.#finished : [...this.#finished, this.#open]
    for (const { segment, builder } of parts.toReversed()) {
      for (const place of builder.placesOf(hash)) if (segment.start + place < end) yield segment.start + place
    }
  }

  /**
   * Makes the file of one segment anew, on this thread.
   * @throws {StoreError} LOG_DAMAGED when the segment cannot be read as a whole
   */
  rebuild(start: number): void {
    const segment = this.#options.segments.list.find((one) => one.start === start)
    if (segment === undefined) throw new StoreError('LOG_DAMAGED', `log offset ${start} has no segment any more`)
    const reader = new LogReader(this.#options.segments)
    const builder = new IndexBuilder(start)
    let offset = start
    while (offset < segment.limit) offset += this.#takeEntry(reader, segment, offset, builder)
    this.writeNow(segment, builder)
  }

  /** Writes the file of a sealed segment, on this thread. */
  writeNow(segment: Segment, builder: IndexBuilder): void {
    const encoding = builder.encode(segment.limit)
    let step = encoding.next()
    while (step.done !== true) step = encoding.next()
    const file = this.#create(segment.start)
    try {
      let position = 0
      for (const part of step.value) {
        file.write(part, 0, part.length, position)
        position += part.length
      }
      file.syncNow()
    } finally {
      file.close()
    }
    this.#publish(segment.start)
  }

  /** The queues find the units of the segment in its file from now on. */
  handOver(segment: Segment): void {
    const { index, queues, segments } = this.#options
    // Retention may have been faster.
    if (!segments.list.includes(segment)) return index.remove(segment.start)
    const loaded = index.load(segment.start, segment.limit)
    if (loaded === undefined) throw new StoreError('LOG_DAMAGED', `${index.pathOf(segment.start)} cannot be read back`)
    for (const { topic, queueId, firstOffset, count, firstUnit } of loaded.runs) {
      queues.find(topic, queueId)?.seal(firstOffset, count, segment.start, firstUnit)
    }
  }

  #arm(pauseMs: number): void {
    if (this.#stopped || this.#timer !== undefined) return
    this.#timer = this.#options.clock.setTimer(pauseMs, () => {
      this.#timer = undefined
      this.#run()
    })
  }

  #run(): void {
    const { clock } = this.#options
    const until = clock.monotonic() + STEP_MS
    try {
      while (this.#step()) {
        if (clock.monotonic() >= until) return this.#arm(PAUSE_MS)
      }
    } catch (error) {
      this.#give(error)
    }
  }

  /** @returns false when there is nothing to do */
  #step(): boolean {
    this.#skipRemoved()
    const first = this.#finished[0]
    if (this.#steps === undefined && first !== undefined && first.segment.limit <= this.#durable) {
      this.#steps = this.#write(first)
    }
    return this.#steps !== undefined && this.#steps.next().done !== true
  }

  /** The segment that holds `offset`; those before it are sealed, also one without any record. */
  #openAt(offset: number): SegmentPart {
    const { segments } = this.#options
    for (let part = this.#open; ; ) {
      if (part !== undefined) this.#finished.push(part)
      const start = Math.max(part?.segment.limit ?? this.#offset, segments.firstOffset)
      const next = segments.find(start)
      const segment = next !== undefined && start < next.limit ? next : segments.find(offset)!
      this.#open = part = this.#begun(segment)
      if (offset < segment.limit) return part
    }
  }

  #begun(segment: Segment): SegmentPart {
    const builder = this.#spare ?? new IndexBuilder(segment.start)
    this.#spare = undefined
    builder.reset(segment.start)
    return { segment, builder }
  }

  /** The bytes were checked when they were written or recovered, so only sizes are followed. @returns bytes of the entry */
  #takeEntry(reader: LogReader, segment: Segment, offset: number, builder: IndexBuilder): number {
    const { indexing } = this.#options
    const kind = reader.glanceAt(segment, offset)
    if (kind === 'none') {
      const damageEnd = this.#options.damageAt(offset)
      if (damageEnd !== undefined) return Math.min(damageEnd, segment.limit) - offset
      throw new StoreError('LOG_DAMAGED', `no entry at log offset ${offset} in ${segment.path}`)
    }
    if (kind === 'record' && this.#record.at(reader.bytes, reader.at)) {
      builder.add(this.#record, indexing)
    }
    return kind === 'blank' ? segment.limit - offset : reader.size + CHECKSUM_BYTES
  }

  *#write({ segment, builder }: SegmentPart): Generator<undefined, void> {
    const parts = yield* builder.encode(segment.limit)
    const file = this.#create(segment.start)
    try {
      let position = 0
      for (const part of parts) {
        file.write(part, 0, part.length, position)
        position += part.length
        yield
      }
    } catch (error) {
      file.close()
      throw error
    }
    file.sync((error) => {
      file.close()
      if (this.#stopped) return
      try {
        if (error !== null) throw error
        this.#publish(segment.start)
        this.handOver(segment)
        this.#finished.shift()
        if (builder.bytes <= SPARE_BYTES_MAX) this.#spare = builder
        this.#steps = undefined
        this.follow(this.#durable)
      } catch (failure) {
        this.#give(failure)
      }
    })
  }

  #create(start: number): DiskFile {
    const { disk, index } = this.#options
    const file = disk.open(`${index.pathOf(start)}.tmp`, 'create')
    file.truncate(0)
    return file
  }

  #publish(start: number): void {
    const { disk, index } = this.#options
    disk.rename(`${index.pathOf(start)}.tmp`, index.pathOf(start))
    // Else a power cut could take the name back, and the next start would read the segment.
    disk.syncDirectory(index.directory, (error) => {
      if (error !== null) this.#give(error)
    })
  }

  /** A part of a file only takes room that is missing elsewhere. */
  #waitForRoom(): void {
    this.#arm(RETRY_MS)
    const { disk, index } = this.#options
    for (const name of disk.list(index.directory)) if (name.endsWith('.tmp')) disk.remove(`${index.directory}/${name}`)
  }

  /** Retention may be faster, above all when the index has to wait for room. */
  #skipRemoved(): void {
    if (this.#steps !== undefined) return
    const { firstOffset } = this.#options.segments
    while (this.#finished[0] !== undefined && this.#finished[0].segment.limit <= firstOffset) this.#finished.shift()
  }

  /** The index can be had again from the log: without it units stay in memory and the next start reads more, no message suffers. */
  #give(error: unknown): void {
    this.#steps = undefined
    if (this.#stopped) return
    this.failures++
    try {
      if (isOutOfRoom(error)) return this.#waitForRoom()
    } catch (failure) {
      error = failure
    }
    this.stop()
    this.#options.onBroken(error instanceof Error ? error : new Error(messageOf(error)))
  }
}
