import type { LogIndex } from './log-index.ts'
import { BLOCK_ENTRIES } from './queue-index.ts'
import type { QueueIndex } from './queue-index.ts'

/** The block of a queue's offsets where nothing is stored at all: a gap costs no memory. */
const VACANT_BLOCK = -1
/** A run: first offset, end, log offset of its segment, number of its first unit there. */
const RUN_FIELDS = 4

/**
 * One queue of one topic: queue offset -> where the record is. minOffset <= maxOffset <= nextOffset. Offsets between minOffset
 * and maxOffset may be vacant (size 0) where accepted damage took the record; a reader skips them. The young units are in
 * memory, those of sealed segments in the files of the index: one run for each segment that holds messages of this queue.
 */
export class ConsumeQueue {
  readonly topic: string
  readonly queueId: number
  /** First offset that is still stored; equal to maxOffset when nothing is. */
  minOffset = 0
  /** End of what consumers may see: one past the last offset that is as safe as the flush policy promises. */
  maxOffset = 0
  /** End of what was assigned, also to records on their way to the disk. */
  nextOffset = 0
  /** Free for whoever delivers (parked pulls). */
  waiter: unknown = undefined
  /** Number of the last flush that made messages visible here: announced once per flush. @internal */
  flushMark = 0
  /** Number of this queue in the index of the open segment, and which index that is. @internal */
  indexNumber = 0
  indexMark = 0

  readonly #index: QueueIndex
  readonly #sealed: LogIndex
  #runs: number[] = []
  /** Where in `#runs` the last look-up ended. */
  #run = 0
  /** Units from here on are in blocks. */
  #liveFrom = 0
  #blocks: number[] = []
  /** Offset of the first slot of the first block, a multiple of BLOCK_ENTRIES. */
  #blocksFrom = 0

  constructor(topic: string, queueId: number, index: QueueIndex, sealed: LogIndex) {
    this.topic = topic
    this.queueId = queueId
    this.#index = index
    this.#sealed = sealed
  }

  /**
   * @returns bytes from the start of the log. Undefined behaviour outside [minOffset, nextOffset).
   * @throws {StoreError} LOG_DAMAGED, here and below, when a file of the index cannot be read nor made anew
   */
  physicalOffset(offset: number): number {
    if (offset < this.#liveFrom) {
      const run = this.#findRun(offset)
      return run < 0 ? -1 : this.#sealed.physicalOffset(this.#runs[run + 2]!, this.#unit(run, offset))
    }
    const entry = this.#entry(offset)
    return entry < 0 ? -1 : this.#index.physicalOffset(entry)
  }

  /** @returns bytes of the record; 0 when no record is there */
  size(offset: number): number {
    if (offset < this.#liveFrom) {
      const run = this.#findRun(offset)
      return run < 0 ? 0 : this.#sealed.size(this.#runs[run + 2]!, this.#unit(run, offset))
    }
    const entry = this.#entry(offset)
    return entry < 0 ? 0 : this.#index.size(entry)
  }

  /** @returns Java hash of the tag, 0 without one */
  tagsCode(offset: number): number {
    if (offset < this.#liveFrom) {
      const run = this.#findRun(offset)
      return run < 0 ? 0 : this.#sealed.tagsCode(this.#runs[run + 2]!, this.#unit(run, offset))
    }
    const entry = this.#entry(offset)
    return entry < 0 ? 0 : this.#index.tagsCode(entry)
  }

  /** Stores the unit of `nextOffset` and moves it on. @internal */
  push(physicalOffset: number, size: number, tagsCode: number): void {
    const offset = this.nextOffset
    const slot = offset - this.#blocksFrom
    if (slot >= this.#blocks.length * BLOCK_ENTRIES) this.#grow(offset)
    const from = offset - this.#blocksFrom
    let block = this.#blocks[(from / BLOCK_ENTRIES) | 0]!
    if (block === VACANT_BLOCK) block = this.#blocks[(from / BLOCK_ENTRIES) | 0] = this.#index.takeBlock()
    this.#index.put(block * BLOCK_ENTRIES + (from % BLOCK_ENTRIES), physicalOffset, size, tagsCode)
    this.nextOffset = offset + 1
  }

  /** Starts an empty queue at `offset`, or leaves the offsets up to it vacant. @internal */
  skipTo(offset: number): void {
    if (offset <= this.nextOffset) return
    if (this.minOffset === this.nextOffset) this.minOffset = this.maxOffset = offset
    this.nextOffset = offset
  }

  /**
   * The units [firstOffset, firstOffset + count) are in the index file of the segment at `segment` now: their place in memory is
   * given back. At start this is how the queue learns of them. Segments come in log order. @internal
   */
  seal(firstOffset: number, count: number, segment: number, firstUnit: number): void {
    const end = firstOffset + count
    // Offsets before were removed since, or taken by an earlier record.
    const from = Math.max(firstOffset, this.minOffset, this.#liveFrom)
    if (from >= end) return
    this.skipTo(from)
    this.#runs.push(from, end, segment, firstUnit + from - firstOffset)
    this.#liveFrom = end
    if (this.nextOffset < end) this.nextOffset = end
    this.#freeBlocks()
  }

  /** Forgets the offsets whose records lie before `physicalOffset`, the start of a segment. @internal */
  dropBefore(physicalOffset: number): boolean {
    const before = this.minOffset
    let gone = 0
    while (gone < this.#runs.length && this.#runs[gone + 2]! < physicalOffset) gone += RUN_FIELDS
    if (gone > 0) {
      this.minOffset = this.#runs[gone] ?? this.#liveFrom
      this.#runs.splice(0, gone)
      this.#run = 0
    }
    if (this.#runs.length === 0) this.#dropLiveBefore(physicalOffset)
    if (this.minOffset === before) return false
    this.#freeBlocks()
    return true
  }

  /** Forgets every offset; the next one is kept, so that it never names two messages. @internal */
  clear(): void {
    this.minOffset = this.maxOffset = this.#liveFrom = this.nextOffset
    this.#runs = []
    this.#run = 0
    this.#freeBlocks()
  }

  /** Runs in the files of the index. @internal */
  get runs(): number {
    return this.#runs.length / RUN_FIELDS
  }

  #dropLiveBefore(physicalOffset: number): void {
    let low = Math.max(this.minOffset, this.#liveFrom)
    let high = this.maxOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.#firstStoredFrom(middle, high) < physicalOffset) low = middle + 1
      else high = middle
    }
    this.minOffset = low
  }

  /** Physical offset of the first stored unit at or after `offset`; Infinity when only vacant ones follow. */
  #firstStoredFrom(offset: number, end: number): number {
    for (let at = offset; at < end; at++) if (this.size(at) > 0) return this.physicalOffset(at)
    return Infinity
  }

  /** @returns where the run of `offset` is in `#runs`, -1 for a vacant offset */
  #findRun(offset: number): number {
    const runs = this.#runs
    if (offset >= runs[this.#run]! && offset < runs[this.#run + 1]!) return this.#run
    let low = 0
    let high = runs.length / RUN_FIELDS
    while (low < high) {
      const middle = (low + high) >>> 1
      if (runs[middle * RUN_FIELDS]! <= offset) low = middle + 1
      else high = middle
    }
    const run = (low - 1) * RUN_FIELDS
    if (run < 0 || offset >= runs[run + 1]!) return -1
    this.#run = run
    return run
  }

  #unit(run: number, offset: number): number {
    return this.#runs[run + 3]! + offset - this.#runs[run]!
  }

  #entry(offset: number): number {
    const slot = offset - this.#blocksFrom
    const block = slot < 0 ? undefined : this.#blocks[(slot / BLOCK_ENTRIES) | 0]
    if (block === undefined || block === VACANT_BLOCK) return -1
    return block * BLOCK_ENTRIES + (slot % BLOCK_ENTRIES)
  }

  #grow(offset: number): void {
    if (this.#blocks.length === 0) this.#blocksFrom = offset - (offset % BLOCK_ENTRIES)
    while (offset - this.#blocksFrom >= (this.#blocks.length + 1) * BLOCK_ENTRIES) this.#blocks.push(VACANT_BLOCK)
    this.#blocks.push(this.#index.takeBlock())
  }

  #freeBlocks(): void {
    const live = Math.max(this.minOffset, this.#liveFrom)
    const whole = Math.max(0, Math.min(this.#blocks.length, Math.floor((live - this.#blocksFrom) / BLOCK_ENTRIES)))
    // An empty queue keeps no block at all: ten thousand idle queues cost no index.
    const empty = live === this.nextOffset
    const freed = empty ? this.#blocks.length : whole
    for (const block of this.#blocks.splice(0, freed)) if (block !== VACANT_BLOCK) this.#index.freeBlock(block)
    this.#blocksFrom = empty
      ? this.nextOffset - (this.nextOffset % BLOCK_ENTRIES)
      : this.#blocksFrom + freed * BLOCK_ENTRIES
  }
}
