/** Numbers of one entry: fingerprint low and high, log offset low and high. */
export const ENTRY_INTS = 4
const FIRST_ENTRIES = 1024

/** Entries that came one after the other and leave together. */
export class KeyBlock {
  entries: Int32Array
  /** Entry number of the next older entry of the chain. */
  nexts: Int32Array
  /** The same in a larger table that is being made. */
  laterNexts: Int32Array | undefined
  size = 0
  /** Store time of the first and of the newest entry, seconds since 1970, rounded down. */
  readonly firstSecond: number
  newestSecond: number

  constructor(firstSecond: number, entries = new Int32Array(0)) {
    this.firstSecond = this.newestSecond = firstSecond
    this.entries = entries
    this.size = entries.length / ENTRY_INTS
    this.nexts = new Int32Array(this.size)
  }

  get bytes(): number {
    return this.entries.byteLength + this.nexts.byteLength + (this.laterNexts?.byteLength ?? 0)
  }

  /** {@link grow} comes before the next {@link add}. */
  get isFull(): boolean {
    return this.size === this.nexts.length
  }

  /** @returns index of the new entry */
  add(low: number, high: number, physicalOffset: number, second: number): number {
    const index = this.size++
    const at = index * ENTRY_INTS
    this.entries[at] = low
    this.entries[at + 1] = high
    this.entries[at + 2] = physicalOffset | 0
    this.entries[at + 3] = (physicalOffset / 0x1_0000_0000) | 0
    this.newestSecond = second
    return index
  }

  offsetOf(index: number): number {
    const at = index * ENTRY_INTS
    return ((this.entries[at + 2] as number) >>> 0) + (this.entries[at + 3] as number) * 0x1_0000_0000
  }

  /** The first `count` entries; what is added later does not change them. */
  first(count: number): Int32Array {
    return this.entries.subarray(0, count * ENTRY_INTS)
  }

  /** @param expected entries there may come to be */
  grow(expected: number): void {
    const capacity = Math.max(FIRST_ENTRIES, this.nexts.length * 2, expected)
    this.entries = larger(this.entries, capacity * ENTRY_INTS)
    this.nexts = larger(this.nexts, capacity)
    if (this.laterNexts !== undefined) this.laterNexts = larger(this.laterNexts, capacity)
  }

  /** The larger table is made. */
  takeLater(): void {
    if (this.laterNexts !== undefined) this.nexts = this.laterNexts
    this.laterNexts = undefined
  }
}

function larger(numbers: Int32Array, capacity: number): Int32Array {
  const copy = new Int32Array(capacity)
  copy.set(numbers)
  return copy
}
