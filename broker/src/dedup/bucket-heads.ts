const CHUNK_SHIFT = 16
const CHUNK = 1 << CHUNK_SHIFT

/**
 * Heads of the chains of a hash table that grows by one bucket at a time (linear hashing: Litwin, 1980), so that no insert
 * ever waits for the whole table to be laid out anew. 4 bytes a bucket, in pieces of 256 KiB.
 */
export class BucketHeads {
  readonly #chunks: Int32Array[] = []
  /** Buckets of the level; between `#level` and twice as many exist. */
  #level = 1024
  #count = 1024

  /** Buckets there are. */
  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#chunks.length * CHUNK * 4
  }

  /** Makes room for `entries` without growing on the way; all heads are `nothing`. */
  reset(entries: number, nothing: number): void {
    this.#level = 1024
    while (this.#level * 2 <= entries) this.#level *= 2
    this.#count = Math.max(this.#level, entries)
    this.#chunks.length = 0
    for (let at = 0; at < this.#count; at += CHUNK) this.#chunks.push(new Int32Array(CHUNK).fill(nothing))
  }

  /** Gives the memory back. */
  free(): void {
    this.#chunks.length = 0
  }

  get isFree(): boolean {
    return this.#chunks.length === 0
  }

  bucketOf(hash: number): number {
    const bucket = hash & (this.#level * 2 - 1)
    return bucket < this.#count ? bucket : bucket - this.#level
  }

  get(bucket: number): number {
    return (this.#chunks[bucket >>> CHUNK_SHIFT] as Int32Array)[bucket & (CHUNK - 1)] as number
  }

  set(bucket: number, head: number): void {
    ;(this.#chunks[bucket >>> CHUNK_SHIFT] as Int32Array)[bucket & (CHUNK - 1)] = head
  }

  /** Adds a bucket. @returns the one whose entries are now shared by both; `moves` tells which of them go */
  grow(nothing: number): number {
    const added = this.#count++
    if (added >>> CHUNK_SHIFT === this.#chunks.length) this.#chunks.push(new Int32Array(CHUNK).fill(nothing))
    this.set(added, nothing)
    const shared = added - this.#level
    if (this.#count === this.#level * 2) this.#level *= 2
    return shared
  }
}
