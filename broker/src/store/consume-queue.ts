import { BLOCK_ENTRIES } from './queue-index.ts'
import type { QueueIndex } from './queue-index.ts'

/** The block of a queue's offsets where nothing is stored at all: a gap costs no memory. */
const VACANT_BLOCK = -1

/**
 * One queue of one topic: queue offset -> where the record is. minOffset <= maxOffset <= nextOffset. Offsets between minOffset
 * and maxOffset may be vacant (size 0) where accepted damage took the record; a reader skips them.
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

  readonly #index: QueueIndex
  #blocks: number[] = []
  /** Offset of the first slot of the first block, a multiple of BLOCK_ENTRIES. */
  #blocksFrom = 0

  constructor(topic: string, queueId: number, index: QueueIndex) {
    this.topic = topic
    this.queueId = queueId
    this.#index = index
  }

  /** @returns bytes from the start of the log. Undefined behaviour outside [minOffset, nextOffset). */
  physicalOffset(offset: number): number {
    const entry = this.#entry(offset)
    return entry < 0 ? -1 : this.#index.physicalOffset(entry)
  }

  /** @returns bytes of the record; 0 when no record is there */
  size(offset: number): number {
    const entry = this.#entry(offset)
    return entry < 0 ? 0 : this.#index.size(entry)
  }

  /** @returns Java hash of the tag, 0 without one */
  tagsCode(offset: number): number {
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

  /** Forgets the offsets whose records lie before `physicalOffset`. @internal */
  dropBefore(physicalOffset: number): boolean {
    let low = this.minOffset
    let high = this.maxOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.#firstStoredFrom(middle, high) < physicalOffset) low = middle + 1
      else high = middle
    }
    if (low === this.minOffset) return false
    this.minOffset = low
    this.#freeBlocks()
    return true
  }

  /** Forgets every offset; the next one is kept, so that it never names two messages. @internal */
  clear(): void {
    this.minOffset = this.maxOffset = this.nextOffset
    this.#freeBlocks()
  }

  /** Physical offset of the first stored unit at or after `offset`; Infinity when only vacant ones follow. */
  #firstStoredFrom(offset: number, end: number): number {
    for (let at = offset; at < end; at++) if (this.size(at) > 0) return this.physicalOffset(at)
    return Infinity
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
    const whole = Math.min(this.#blocks.length, Math.floor((this.minOffset - this.#blocksFrom) / BLOCK_ENTRIES))
    // An empty queue keeps no block at all: ten thousand idle queues cost no index.
    const empty = this.minOffset === this.nextOffset
    const freed = empty ? this.#blocks.length : whole
    for (const block of this.#blocks.splice(0, freed)) if (block !== VACANT_BLOCK) this.#index.freeBlock(block)
    this.#blocksFrom = empty
      ? this.nextOffset - (this.nextOffset % BLOCK_ENTRIES)
      : this.#blocksFrom + freed * BLOCK_ENTRIES
  }
}
