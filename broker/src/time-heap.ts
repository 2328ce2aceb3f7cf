const FIRST_CAPACITY = 64

/** Min-heap of (time, value) pairs, four children per node, on typed arrays: 16 bytes an entry and nothing to collect. */
export class TimeHeap {
  #times = new Float64Array(FIRST_CAPACITY)
  #values = new Float64Array(FIRST_CAPACITY)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Smallest time, Infinity when empty. */
  get nextTime(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : (this.#times[0] as number)
  }

  /** Value with the smallest time; meaningless when empty. */
  get nextValue(): number {
    return this.#values[0] as number
  }

  push(time: number, value: number): void {
    if (this.#size === this.#times.length) this.#resize(this.#size * 2)
    this.#siftUp(this.#size++, time, value)
  }

  /** Removes the entry with the smallest time and returns its value; -1 when empty. */
  pop(): number {
    if (this.#size === 0) return -1
    const value = this.#values[0] as number
    this.#size--
    if (this.#size > 0) this.#siftDown(0, this.#times[this.#size] as number, this.#values[this.#size] as number)
    if (this.#size > FIRST_CAPACITY && this.#size * 4 < this.#times.length) this.#resize(this.#times.length / 2)
    return value
  }

  /** Drops every entry `keep` refuses, in one pass. */
  retain(keep: (value: number) => boolean): void {
    let kept = 0
    for (let i = 0; i < this.#size; i++) {
      const value = this.#values[i] as number
      if (!keep(value)) continue
      this.#times[kept] = this.#times[i] as number
      this.#values[kept++] = value
    }
    this.#size = kept
    for (let i = (kept - 2) >> 2; i >= 0; i--) {
      this.#siftDown(i, this.#times[i] as number, this.#values[i] as number)
    }
  }

  #siftUp(from: number, time: number, value: number): void {
    const times = this.#times
    const values = this.#values
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 2
      if ((times[parent] as number) <= time) break
      times[at] = times[parent] as number
      values[at] = values[parent] as number
      at = parent
    }
    times[at] = time
    values[at] = value
  }

  #siftDown(from: number, time: number, value: number): void {
    const times = this.#times
    const values = this.#values
    const size = this.#size
    let at = from
    for (;;) {
      const first = 4 * at + 1
      if (first >= size) break
      let least = first
      const last = Math.min(first + 4, size)
      for (let child = first + 1; child < last; child++) {
        if ((times[child] as number) < (times[least] as number)) least = child
      }
      if ((times[least] as number) >= time) break
      times[at] = times[least] as number
      values[at] = values[least] as number
      at = least
    }
    times[at] = time
    values[at] = value
  }

  #resize(capacity: number): void {
    const times = new Float64Array(capacity)
    const values = new Float64Array(capacity)
    times.set(this.#times.subarray(0, this.#size))
    values.set(this.#values.subarray(0, this.#size))
    this.#times = times
    this.#values = values
  }
}
