/** A set of physical offsets, 8 bytes each. Made for ones that mostly arrive in order. */
export class SortedOffsets {
  #values: Float64Array
  #count: number

  constructor(values: Float64Array = new Float64Array(64)) {
    this.#values = values
    this.#count = 0
  }

  /** @param values ascending */
  static of(values: Float64Array): SortedOffsets {
    const set = new SortedOffsets(values.length === 0 ? new Float64Array(64) : values)
    set.#count = values.length
    return set
  }

  get size(): number {
    return this.#count
  }

  has(offset: number): boolean {
    const at = this.#indexOf(offset)
    return at < this.#count && this.#values[at] === offset
  }

  add(offset: number): void {
    const at = this.#indexOf(offset)
    if (at < this.#count && this.#values[at] === offset) return
    if (this.#count === this.#values.length) {
      const wider = new Float64Array(this.#count * 2)
      wider.set(this.#values)
      this.#values = wider
    }
    this.#values.copyWithin(at + 1, at, this.#count)
    this.#values[at] = offset
    this.#count++
  }

  delete(offset: number): void {
    const at = this.#indexOf(offset)
    if (at >= this.#count || this.#values[at] !== offset) return
    this.#values.copyWithin(at, at + 1, this.#count)
    this.#count--
  }

  deleteBefore(offset: number): void {
    const at = this.#indexOf(offset)
    this.#values.copyWithin(0, at, this.#count)
    this.#count -= at
  }

  /** A copy, ascending. */
  toArray(): Float64Array {
    return this.#values.slice(0, this.#count)
  }

  /** Where it is or would be. */
  #indexOf(offset: number): number {
    const last = this.#values[this.#count - 1]
    if (last === undefined || this.#count === 0 || last < offset) return this.#count
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#values[middle] as number) < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
