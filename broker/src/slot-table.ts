const FIRST_CAPACITY = 64

/**
 * Multimap from a 32-bit hash to small entry numbers: open addressing with linear probing on typed arrays, 8 bytes a
 * slot, at most three quarters full. Removal shifts entries back instead of leaving tombstones, so a table that lives
 * for months under churn probes as briefly as a fresh one.
 */
export class SlotTable {
  #hashes = new Int32Array(FIRST_CAPACITY)
  /** Entry number + 1; 0 marks a free slot. */
  #entries = new Int32Array(FIRST_CAPACITY)
  #mask = FIRST_CAPACITY - 1
  #size = 0
  #cursor = 0
  #wanted = 0

  get size(): number {
    return this.#size
  }

  /** @param hash well mixed, signed 32 bits @param entry 0 .. 2^31 - 2 */
  add(hash: number, entry: number): void {
    if ((this.#size + 1) * 4 > this.#entries.length * 3) this.#grow()
    const entries = this.#entries
    const mask = this.#mask
    let at = hash & mask
    while (entries[at] !== 0) at = (at + 1) & mask
    entries[at] = entry + 1
    this.#hashes[at] = hash
    this.#size++
  }

  /** First entry with exactly this hash, -1 when there is none; {@link next} goes on from there. */
  first(hash: number): number {
    this.#wanted = hash
    this.#cursor = hash & this.#mask
    return this.next()
  }

  /** The table must not change between {@link first} and here. */
  next(): number {
    const entries = this.#entries
    const hashes = this.#hashes
    const mask = this.#mask
    const wanted = this.#wanted
    let at = this.#cursor
    for (;;) {
      const entry = entries[at] as number
      if (entry === 0) break
      const hash = hashes[at]
      at = (at + 1) & mask
      if (hash === wanted) {
        this.#cursor = at
        return entry - 1
      }
    }
    this.#cursor = at
    return -1
  }

  /** @returns whether the pair was there */
  remove(hash: number, entry: number): boolean {
    const entries = this.#entries
    const hashes = this.#hashes
    const mask = this.#mask
    let hole = hash & mask
    while (entries[hole] !== entry + 1) {
      if (entries[hole] === 0) return false
      hole = (hole + 1) & mask
    }
    for (let at = (hole + 1) & mask; entries[at] !== 0; at = (at + 1) & mask) {
      const home = (hashes[at] as number) & mask
      // The entry may move back into the hole only if its home does not lie behind the hole.
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      entries[hole] = entries[at] as number
      hashes[hole] = hashes[at] as number
      hole = at
    }
    entries[hole] = 0
    this.#size--
    return true
  }

  clear(): void {
    this.#entries.fill(0)
    this.#size = 0
  }

  #grow(): void {
    const entries = this.#entries
    const hashes = this.#hashes
    this.#entries = new Int32Array(entries.length * 2)
    this.#hashes = new Int32Array(entries.length * 2)
    this.#mask = this.#entries.length - 1
    this.#size = 0
    for (let i = 0; i < entries.length; i++) {
      if (entries[i] !== 0) this.add(hashes[i] as number, (entries[i] as number) - 1)
    }
  }
}
