const FIRST_BUCKETS = 1024

/** Heads of the chains of a hash table. 4 bytes a bucket, which take memory when they are first used. */
export class BucketHeads {
  readonly #heads: Int32Array
  /** What 0 in `#heads` stands for, so that a fresh array says "nothing" everywhere. */
  readonly #zero: number

  /** At least as many buckets as `entries`; all heads are `nothing`. */
  constructor(entries: number, nothing: number) {
    let buckets = FIRST_BUCKETS
    while (buckets < entries) buckets *= 4
    this.#heads = new Int32Array(buckets)
    this.#zero = nothing
  }

  get count(): number {
    return this.#heads.length
  }

  get bytes(): number {
    return this.#heads.byteLength
  }

  get(hash: number): number {
    return ((this.#heads[hash & (this.#heads.length - 1)] as number) + this.#zero) | 0
  }

  set(hash: number, head: number): void {
    this.#heads[hash & (this.#heads.length - 1)] = (head - this.#zero) | 0
  }
}
