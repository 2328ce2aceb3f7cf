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
/** A dead head that many entries old is reset; a younger one is left alone, as its memory may never have been touched. */
const DEAD_KEPT = 2 ** 30
/** Entries laid out anew with each insert: a larger table is whole long before it is full. */
const LAID_OUT_AT_ONCE = 8

/**
 * Fingerprints in the order of the log, with a hash table over them: 24 to 40 bytes an entry, allocated as they come. They leave in
 * blocks, the oldest first, and the chains need no repair for it: an entry number older than the oldest block ends a chain.
 * When the table is full, one of four times the size is laid out beside it, some entries with each insert: no insert waits for all
 * of them, and they are read in their order, not at random.
 */
export class KeyRing {
  /** Keys are held for so long, by the store time of their messages, ms. */
  readonly lifeMs: number
  readonly #blockSeconds: number
  /** Entry numbers of a block; its count may be lower. A power of two. */
  readonly #blockShift: number
  #heads: BucketHeads | undefined
  /** The larger table that is being made, and the entry number up to which it is. */
  #later: BucketHeads | undefined
  #laidOut = 0
  readonly #blocks: KeyBlock[] = []
  /** Number of the first entry of the oldest block, 32 bits, wrapping. */
  #base: number
  /** The newest block, while it takes more. */
  #open: KeyBlock | undefined
  #size = 0
  /** Bucket whose head is looked at next: a dead one is reset long before its number comes again. */
  #swept = 0
  #cursor = -1
  #low = 0
  #high = 0

  /**
   * @param entriesMax what the owner allows; blocks hold at most a sixteenth of it
   * @param firstNumber of the entries, which are numbered in 32 bits round and round
   */
  constructor(lifeMs: number, entriesMax: number, firstNumber = 0) {
    this.lifeMs = lifeMs
    this.#base = firstNumber | 0
    this.#heads = new BucketHeads(0, this.#nothing)
    this.#blockSeconds = Math.ceil(lifeMs / 1000 / PARTS)
    const entries = Math.min(BLOCK_ENTRIES_MAX, Math.max(1, entriesMax / PARTS))
    this.#blockShift = Math.floor(Math.log2(entries))
  }

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    let bytes = (this.#heads?.bytes ?? 0) + (this.#later?.bytes ?? 0)
    for (const block of this.#blocks) bytes += block.bytes
    return bytes
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
    const heads = this.#heads
    if (heads === undefined) return -1
    this.#low = low
    this.#high = high
    this.#cursor = heads.get(low)
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
    let block = this.#open
    if (block === undefined || block.size >> this.#blockShift > 0 || second - block.firstSecond > this.#blockSeconds) {
      block = new KeyBlock(second)
      this.#blocks.push(block)
      this.#open = block
    }
    if (block.isFull) block.grow(this.#isBusy ? 1 << this.#blockShift : 0)
    const index = block.add(low, high, physicalOffset, second)
    this.#size++
    const heads = (this.#heads ??= new BucketHeads(0, this.#nothing))
    block.nexts[index] = heads.get(low)
    heads.set(low, (this.#base + ((this.#blocks.length - 1) << this.#blockShift) + index) | 0)
    if (this.#later !== undefined) this.#layOut(this.#later)
    else if (this.#size > heads.count) this.#grow(heads)
    if (this.#swept >= heads.count) this.#swept = 0
    const head = heads.get(this.#swept)
    if (!this.#isAlive(head) && (this.#nothing - head) >>> 0 > DEAD_KEPT) heads.set(this.#swept, this.#nothing)
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
    if (this.#blocks.length === 0) {
      this.#open = undefined
      this.#later = undefined
      this.#heads = undefined
    } else if (this.#isSparse) this.#relink()
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
      }
    }
    this.#open = this.#blocks.at(-1)
    this.#relink()
  }

  #relink(): void {
    if (this.#size === 0) return
    const heads = new BucketHeads(this.#size, this.#nothing)
    let number = this.#base
    for (const block of this.#blocks) {
      link(block, 0, block.size, number, block.nexts, heads)
      number += 1 << this.#blockShift
      block.laterNexts = undefined
    }
    this.#heads = heads
    this.#later = undefined
  }

  /** The block before the newest was filled in its time: so will this one be, and growing would only copy. */
  get #isBusy(): boolean {
    return (this.#blocks.at(-2)?.size ?? 0) >> this.#blockShift > 0
  }

  get #isSparse(): boolean {
    const buckets = this.#heads?.count ?? 0
    return buckets > TABLE_KEPT && this.#size * SPARSE < buckets
  }

  get #nothing(): number {
    return (this.#base - 1) | 0
  }

  #isAlive(number: number): boolean {
    return (number - this.#base) >>> 0 < this.#blocks.length << this.#blockShift
  }

  #grow(heads: BucketHeads): void {
    this.#later = new BucketHeads(heads.count + 1, this.#nothing)
    this.#laidOut = this.#base
  }

  /** Links some more entries in the larger table, and takes it into use when all are. */
  #layOut(later: BucketHeads): void {
    let place = (this.#laidOut - this.#base) >>> 0
    // Those that were laid out may all have left.
    if (place > this.#blocks.length << this.#blockShift) place = 0
    const block = this.#blocks[place >>> this.#blockShift]
    if (block === undefined) return this.#takeLater(later)
    const from = place & ((1 << this.#blockShift) - 1)
    const to = Math.min(block.size, from + LAID_OUT_AT_ONCE)
    const nexts = (block.laterNexts ??= new Int32Array(block.nexts.length))
    const number = this.#base + place - from
    link(block, from, to, number, nexts, later)
    if (to < block.size) this.#laidOut = (number + to) | 0
    else if (block === this.#blocks.at(-1)) this.#takeLater(later)
    else this.#laidOut = (number + (1 << this.#blockShift)) | 0
  }

  #takeLater(later: BucketHeads): void {
    for (const block of this.#blocks) block.takeLater()
    this.#heads = later
    this.#later = undefined
  }
}

/** Links entries [from, to) of a block whose first entry has this number. */
function link(
  { entries }: KeyBlock,
  from: number,
  to: number,
  number: number,
  nexts: Int32Array,
  heads: BucketHeads,
): void {
  for (let index = from; index < to; index++) {
    const low = entries[index * ENTRY_INTS] as number
    nexts[index] = heads.get(low)
    heads.set(low, (number + index) | 0)
  }
}

/** A block is in log order: only its end can lie behind `before`. */
function countBefore(block: KeyBlock, before: number): number {
  let count = block.size
  while (count > 0 && block.offsetOf(count - 1) >= before) count--
  return count
}
