import type { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import { BucketHeads } from './bucket-heads.ts'
import { ENTRY_INTS, KeyBlock } from './key-block.ts'

/** 1 MiB of a checkpoint. */
const BLOCK_ENTRIES_MAX = 1 << 16
/** Parts of the life of a key in which blocks begin and end: so much longer than needed it may be held. */
const PARTS = 16
/** A hash table of more buckets than this is made anew when fewer than one in `SPARSE` has an entry: quick, as there are few. */
const TABLE_KEPT = 1 << 16
const SPARSE = 64

/**
 * Fingerprints in the order of the log, with a hash table over them: 24 bytes an entry, allocated as they come. They leave in blocks, the
 * oldest first, and the chains need no repair for it: an entry number older than the oldest block ends a chain.
 */
export class KeyRing {
  /** Keys are held for so long, by the store time of their messages, ms. */
  readonly lifeMs: number
  readonly #blockSeconds: number
  /** Entry numbers of a block; its count may be lower. A power of two. */
  readonly #blockShift: number
  readonly #heads = new BucketHeads()
  readonly #blocks: KeyBlock[] = []
  /** Number of the first entry of the oldest block, 32 bits, wrapping. */
  #base = 0
  #size = 0
  #bytes = 0
  /** Bucket whose head is looked at next: a dead one is reset long before its number comes again. */
  #swept = 0
  #cursor = -1
  #low = 0
  #high = 0

  /** @param entriesMax what the owner allows; blocks hold at most a sixteenth of it */
  constructor(lifeMs: number, entriesMax: number) {
    this.lifeMs = lifeMs
    this.#blockSeconds = Math.ceil(lifeMs / 1000 / PARTS)
    const entries = Math.min(BLOCK_ENTRIES_MAX, Math.max(1, entriesMax / PARTS))
    this.#blockShift = Math.floor(Math.log2(entries))
  }

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#bytes + this.#heads.bytes
  }

  /** Log offset of the oldest entry, Infinity when there is none. */
  get oldestOffset(): number {
    return this.#blocks[0]?.offsetOf(0) ?? Number.POSITIVE_INFINITY
  }

  /** Store time of the oldest entry, seconds since 1970; 0 when there is none. */
  get oldestSecond(): number {
    return this.#blocks[0]?.firstSecond ?? 0
  }

  /** @returns log offset of an entry with this fingerprint, the newest first, -1 when there is none; {@link next} goes on */
  first(low: number, high: number): number {
    if (this.#size === 0) return -1
    this.#low = low
    this.#high = high
    this.#cursor = this.#heads.get(this.#heads.bucketOf(low))
    return this.next()
  }

  /** The ring must not change between {@link first} and here. */
  next(): number {
    const span = this.#blocks.length << this.#blockShift
    const mask = (1 << this.#blockShift) - 1
    let place = (this.#cursor - this.#base) >>> 0
    while (place < span) {
      const block = this.#blocks[place >>> this.#blockShift] as KeyBlock
      const index = place & mask
      const at = index * ENTRY_INTS
      this.#cursor = block.nexts[index] as number
      if (block.entries[at] === this.#low && block.entries[at + 1] === this.#high) return block.offsetOf(index)
      place = (this.#cursor - this.#base) >>> 0
    }
    return -1
  }

  add(low: number, high: number, physicalOffset: number, second: number): void {
    if (this.#heads.isFree) this.#heads.reset(0, this.#nothing)
    const block = this.#blockFor(second)
    const before = block.bytes
    const index = block.add(low, high, physicalOffset, second)
    this.#bytes += block.bytes - before
    this.#size++
    this.#link(block, index, this.#base + ((this.#blocks.length - 1) << this.#blockShift) + index)
    if (this.#size > this.#heads.count) this.#split()
    if (this.#swept >= this.#heads.count) this.#swept = 0
    if (!this.#isAlive(this.#heads.get(this.#swept))) this.#heads.set(this.#swept, this.#nothing)
    this.#swept++
  }

  /** Forgets blocks whose newest entry is older than the life of a key at `second`. */
  expire(second: number): void {
    const life = Math.ceil(this.lifeMs / 1000)
    while (this.#blocks.length > 0 && second - (this.#blocks[0] as KeyBlock).newestSecond > life) this.dropOldest()
  }

  /** @returns entries that left: at most a sixteenth of what is allowed */
  dropOldest(): number {
    const block = this.#blocks.shift()
    if (block === undefined) return 0
    this.#base = (this.#base + (1 << this.#blockShift)) | 0
    this.#size -= block.size
    this.#bytes -= block.bytes
    if (this.#blocks.length === 0) this.#heads.free()
    else if (this.#heads.count > TABLE_KEPT && this.#size * SPARSE < this.#heads.count) this.#relink()
    return block.size
  }

  /** Entries whose records lie before log offset `before`, without copying them. */
  save(writer: SnapshotWriter, before: number): void {
    const parts = this.#blocks.map((block) => ({ block, count: countBefore(block, before) }))
    const kept = parts.filter(({ count }) => count > 0)
    writer.number(this.lifeMs).number(kept.length)
    for (const { block, count } of kept) {
      writer.number(block.firstSecond).number(block.newestSecond).number(count).column(block.first(count))
    }
  }

  /** Appends the blocks that {@link save} wrote, its life already read. */
  load(reader: SnapshotReader, first: number, nowSecond: number): void {
    const life = Math.ceil(this.lifeMs / 1000)
    for (let left = reader.number(); left > 0; left--) {
      const firstSecond = reader.number()
      const newestSecond = reader.number()
      const entries = reader.int32(reader.number() * ENTRY_INTS)
      for (let at = 0; at < entries.length; at += ENTRY_INTS << this.#blockShift) {
        const block = new KeyBlock(firstSecond, entries.slice(at, at + (ENTRY_INTS << this.#blockShift)))
        block.newestSecond = newestSecond
        if (nowSecond - newestSecond > life || block.offsetOf(block.size - 1) < first) continue
        this.#blocks.push(block)
        this.#size += block.size
        this.#bytes += block.bytes
      }
    }
    this.#relink()
  }

  #relink(): void {
    if (this.#size === 0) return
    this.#heads.reset(this.#size, this.#nothing)
    let number = this.#base
    for (const block of this.#blocks) {
      for (let index = 0; index < block.size; index++) this.#link(block, index, number + index)
      number += 1 << this.#blockShift
    }
  }

  get #nothing(): number {
    return (this.#base - 1) | 0
  }

  #isAlive(number: number): boolean {
    return (number - this.#base) >>> 0 < this.#blocks.length << this.#blockShift
  }

  #blockFor(second: number): KeyBlock {
    const last = this.#blocks.at(-1)
    const isOpen = last !== undefined && last.size < 1 << this.#blockShift
    if (isOpen && second - last.firstSecond <= this.#blockSeconds) return last
    const block = new KeyBlock(second)
    this.#blocks.push(block)
    return block
  }

  #link(block: KeyBlock, index: number, number: number): void {
    const bucket = this.#heads.bucketOf(block.entries[index * ENTRY_INTS] as number)
    block.nexts[index] = this.#heads.get(bucket)
    this.#heads.set(bucket, number | 0)
  }

  /** One bucket more; the entries of another one are divided, the newest first as before. */
  #split(): void {
    const nothing = this.#nothing
    const shared = this.#heads.grow(nothing)
    const span = this.#blocks.length << this.#blockShift
    const mask = (1 << this.#blockShift) - 1
    let number = this.#heads.get(shared)
    this.#heads.set(shared, nothing)
    let keptBlock: KeyBlock | undefined
    let keptIndex = 0
    let movedBlock: KeyBlock | undefined
    let movedIndex = 0
    for (let place = (number - this.#base) >>> 0; place < span; place = (number - this.#base) >>> 0) {
      const block = this.#blocks[place >>> this.#blockShift] as KeyBlock
      const index = place & mask
      const here = number
      number = block.nexts[index] as number
      block.nexts[index] = nothing
      const bucket = this.#heads.bucketOf(block.entries[index * ENTRY_INTS] as number)
      if (bucket === shared) {
        if (keptBlock === undefined) this.#heads.set(bucket, here)
        else keptBlock.nexts[keptIndex] = here
        keptBlock = block
        keptIndex = index
      } else {
        if (movedBlock === undefined) this.#heads.set(bucket, here)
        else movedBlock.nexts[movedIndex] = here
        movedBlock = block
        movedIndex = index
      }
    }
  }
}

/** A block is in log order: only its end can lie behind `before`. */
function countBefore(block: KeyBlock, before: number): number {
  let count = block.size
  while (count > 0 && block.offsetOf(count - 1) >= before) count--
  return count
}
