const FIRST_CAPACITY = 64

/**
 * Min-heap of timer numbers by due time, then place in the log, so that messages of one instant keep their order. Four
 * children per node, 4 bytes an entry: the times stand in the table's columns.
 */
export class DueHeap {
  #ids = new Int32Array(FIRST_CAPACITY)
  #size = 0
  #dueAt: Float64Array
  #physical: Float64Array

  constructor(dueAt: Float64Array, physical: Float64Array) {
    this.#dueAt = dueAt
    this.#physical = physical
  }

  /** The columns grew; their values are the same. */
  set columns({ dueAt, physical }: { dueAt: Float64Array; physical: Float64Array }) {
    this.#dueAt = dueAt
    this.#physical = physical
  }

  get size(): number {
    return this.#size
  }

  /** Infinity when empty. */
  get nextTime(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : (this.#dueAt[this.#ids[0] as number] as number)
  }

  push(id: number): void {
    if (this.#size === this.#ids.length) this.#resize(this.#size * 2)
    const ids = this.#ids
    let at = this.#size++
    while (at > 0) {
      const parent = (at - 1) >> 2
      if (!this.#isBefore(id, ids[parent] as number)) break
      ids[at] = ids[parent] as number
      at = parent
    }
    ids[at] = id
  }

  /** Removes the first one; -1 when empty. */
  pop(): number {
    if (this.#size === 0) return -1
    const first = this.#ids[0] as number
    this.#size--
    if (this.#size > 0) this.#siftDown(0, this.#ids[this.#size] as number)
    if (this.#size > FIRST_CAPACITY && this.#size * 4 < this.#ids.length) this.#resize(this.#ids.length / 2)
    return first
  }

  /** Drops every one `keep` refuses, in one pass. */
  retain(keep: (id: number) => boolean): void {
    const ids = this.#ids
    let kept = 0
    for (let i = 0; i < this.#size; i++) {
      const id = ids[i] as number
      if (keep(id)) ids[kept++] = id
    }
    this.#size = kept
    for (let i = (kept - 2) >> 2; i >= 0; i--) this.#siftDown(i, ids[i] as number)
  }

  #siftDown(from: number, id: number): void {
    const ids = this.#ids
    const size = this.#size
    let at = from
    for (;;) {
      const first = 4 * at + 1
      if (first >= size) break
      let least = first
      const last = Math.min(first + 4, size)
      for (let child = first + 1; child < last; child++) {
        if (this.#isBefore(ids[child] as number, ids[least] as number)) least = child
      }
      if (!this.#isBefore(ids[least] as number, id)) break
      ids[at] = ids[least] as number
      at = least
    }
    ids[at] = id
  }

  #isBefore(a: number, b: number): boolean {
    const difference = (this.#dueAt[a] as number) - (this.#dueAt[b] as number)
    return difference < 0 || (difference === 0 && (this.#physical[a] as number) < (this.#physical[b] as number))
  }

  #resize(capacity: number): void {
    const ids = new Int32Array(capacity)
    ids.set(this.#ids.subarray(0, this.#size))
    this.#ids = ids
  }
}
