const FIRST_CAPACITY = 64
const NONE = -1

/**
 * Multimap from a 32-bit hash to small entry numbers: chains through typed arrays, 16 bytes an entry. Adding and removing
 * cost the same however many entries share a hash, so a producer that repeats one key a million times slows nobody.
 */
export class HashChains {
  /** First entry of each bucket. */
  #heads = new Int32Array(FIRST_CAPACITY).fill(NONE)
  #hashes = new Int32Array(FIRST_CAPACITY)
  #nexts = new Int32Array(FIRST_CAPACITY)
  #previous = new Int32Array(FIRST_CAPACITY)
  #size = 0
  #cursor = NONE
  #wanted = 0

  get size(): number {
    return this.#size
  }

  /** @param hash well mixed, signed 32 bits @param entry dense from 0, not in the table */
  add(hash: number, entry: number): void {
    if (entry >= this.#hashes.length) this.#grow(entry + 1)
    this.#hashes[entry] = hash
    this.#link(hash & (this.#heads.length - 1), entry)
    this.#size++
  }

  /** Hash of each entry; not to be changed. */
  get hashes(): Int32Array {
    return this.#hashes
  }

  hashOf(entry: number): number {
    return this.#hashes[entry] as number
  }

  /** One of the entries with exactly this hash, the newest first; -1 when there is none. {@link next} goes on. */
  first(hash: number): number {
    this.#wanted = hash
    this.#cursor = this.#heads[hash & (this.#heads.length - 1)] as number
    return this.next()
  }

  /** The table must not change between {@link first} and here. */
  next(): number {
    let entry = this.#cursor
    while (entry !== NONE && this.#hashes[entry] !== this.#wanted) entry = this.#nexts[entry] as number
    if (entry !== NONE) this.#cursor = this.#nexts[entry] as number
    return entry
  }

  /** @param entry in the table */
  remove(entry: number): void {
    const next = this.#nexts[entry] as number
    const previous = this.#previous[entry] as number
    if (previous === NONE) this.#heads[(this.#hashes[entry] as number) & (this.#heads.length - 1)] = next
    else this.#nexts[previous] = next
    if (next !== NONE) this.#previous[next] = previous
    this.#size--
  }

  clear(): void {
    this.#heads.fill(NONE)
    this.#size = 0
  }

  #link(bucket: number, entry: number): void {
    const head = this.#heads[bucket] as number
    this.#nexts[entry] = head
    this.#previous[entry] = NONE
    if (head !== NONE) this.#previous[head] = entry
    this.#heads[bucket] = entry
  }

  #grow(entries: number): void {
    let capacity = this.#hashes.length
    while (capacity < entries) capacity *= 2
    const heads = this.#heads
    const nexts = this.#nexts
    const hashes = new Int32Array(capacity)
    hashes.set(this.#hashes)
    this.#hashes = hashes
    this.#heads = new Int32Array(capacity).fill(NONE)
    this.#nexts = new Int32Array(capacity)
    this.#previous = new Int32Array(capacity)
    for (const head of heads) {
      for (let entry = head; entry !== NONE; entry = nexts[entry] as number) {
        this.#link((hashes[entry] as number) & (capacity - 1), entry)
      }
    }
  }
}
