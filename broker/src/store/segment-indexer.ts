import { RecordView } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { Disk, DiskFile } from './disk.ts'
import type { HotRecords } from './hot-records.ts'
import { IndexBuilder } from './index-builder.ts'
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
/** Further behind than this, and what is read next may have left the memory: no pause then but for one turn's traffic. */
const LAG_BYTES_HIGH = 8 << 20
const RECORDS_PER_STEP = 128
/** Durable bytes that are worth a turn, or a quarter of a segment. */
const LAG_BYTES = 1 << 20
/** Pause after a failure that may pass: no room. */
const RETRY_MS = 5_000

export interface SegmentIndexerOptions {
  clock: Clock
  disk: Disk
  segments: Segments
  index: LogIndex
  queues: QueueTable
  segmentBytes: number
  indexing: RecordIndexing
  /** Where a range of accepted damage that begins at this log offset ends; undefined for any other offset. */
  damageAt(offset: number): number | undefined
  onBroken(error: Error): void
}

/** A segment that is being read, or was. */
interface Part {
  segment: Segment
  builder: IndexBuilder
}

/**
 * Reads the log behind its durable end, writes the index file of each segment that is sealed, and hands the units of its
 * queues over to it. Until then the units are in memory with the queues, and the keys here.
 */
export class SegmentIndexer {
  readonly #options: SegmentIndexerOptions
  readonly #record = new RecordView()
  readonly #reader: LogReader
  readonly #lagBytes: number
  /** What is still in memory need not be read from its file. */
  hot: HotRecords | undefined
  #reading: Part | undefined
  /** Log offset of the next entry to read. */
  #offset = 0
  /** Read to their end, oldest first; the first one is being written. */
  readonly #finished: Part[] = []
  #steps: Generator<undefined, void> | undefined
  #timer: Timer | undefined
  #stopped = false
  #durable = 0
  failures = 0

  constructor(options: SegmentIndexerOptions) {
    this.#options = options
    this.#reader = new LogReader(options.segments)
    this.#lagBytes = Math.min(LAG_BYTES, options.segmentBytes / 4)
  }

  /** Where reading goes on: the first entry of a segment, or further on in one whose records `builder` holds. */
  begin(offset: number, builder?: IndexBuilder): void {
    this.#offset = offset
    const segment = this.#options.segments.find(offset)
    this.#reading = segment !== undefined && builder !== undefined ? { segment, builder } : undefined
  }

  /** Everything before `durable` is on the disk. */
  follow(durable: number): void {
    this.#durable = durable
    if (this.#timer !== undefined || this.#stopped) return
    if (this.#steps !== undefined || this.#finished.length > 0 || durable - this.#offset >= this.#lagBytes)
      this.#arm(PAUSE_MS)
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
    while (!this.#stopped && this.#offset < end && this.#read(end));
    const parts = this.#reading === undefined ? this.#finished : [...this.#finished, this.#reading]
    for (const { segment, builder } of parts.toReversed()) {
      for (const place of builder.placesOf(hash)) yield segment.start + place
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
        if (clock.monotonic() >= until) return this.#arm(this.#durable - this.#offset > LAG_BYTES_HIGH ? 0 : PAUSE_MS)
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
    // Writing first: what is written frees memory.
    if (this.#steps !== undefined && this.#steps.next().done !== true) return true
    return this.#offset < this.#durable && this.#read(this.#durable)
  }

  /** Reads some entries. @returns false when nothing could be read */
  #read(end: number): boolean {
    const { segments } = this.#options
    this.#reader.end = end
    for (let left = RECORDS_PER_STEP; left > 0 && this.#offset < end; left--) {
      let part = this.#reading
      if (part === undefined) {
        const segment = segments.find(this.#offset)
        if (segment === undefined || this.#offset >= segment.limit) return false
        this.#reading = part = { segment, builder: new IndexBuilder(segment.start) }
        this.#offset = segment.start
      }
      const { segment, builder } = part
      const { hot } = this
      const hotBytes = hot === undefined ? 0 : hot.take(this.#offset)
      if (hotBytes > 0 && hot?.isRecord === true) builder.add(hot.record, this.#options.indexing)
      this.#offset += hotBytes || this.#takeEntry(this.#reader, segment, this.#offset, builder)
      if (this.#offset < segment.limit) continue
      this.#finished.push(part)
      this.#reading = undefined
    }
    return true
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

  *#write({ segment, builder }: Part): Generator<undefined, void> {
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
    const { firstOffset } = this.#options.segments
    if (this.#steps === undefined) {
      while (this.#finished[0] !== undefined && this.#finished[0].segment.limit <= firstOffset) this.#finished.shift()
    }
    if (this.#offset >= firstOffset) return
    this.#reading = undefined
    this.#offset = firstOffset
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
