/** A half message nobody has decided: what stands behind it waits. */
export const PENDING = -1
const GONE = -2

/** Numbers per place: log offset that took the place, log offset of the record to be released (or a mark), its bytes. */
const CELLS = 3
const COMPACT_ABOVE = 64

/**
 * The messages of one ordering key of one topic, from the first that is not visible yet, in the order in which they will be.
 * Half messages take their place when they are stored, others when they are accepted: so places ascend.
 */
export class GroupLine {
  readonly topic: string
  /** Bytes of the ordering key, one character each. */
  readonly key: string
  readonly hash: number
  /** Another line with the same hash. */
  sibling: GroupLine | undefined = undefined
  /** Messages that wait as records of their own, and their bytes. */
  held = 0
  heldBytes = 0
  /** Since when there are such, ms since 1970. */
  heldSince = 0
  #cells: number[] = []
  #head = 0
  #gone = 0

  constructor(topic: string, key: string, hash: number) {
    this.topic = topic
    this.key = key
    this.hash = hash
  }

  get isEmpty(): boolean {
    return this.#head === this.#cells.length
  }

  /** Of the first in line; only when there is one. */
  get firstPlace(): number {
    return this.#cells[this.#head] as number
  }

  /** Its held record, or {@link PENDING}. */
  get firstRecord(): number {
    return this.#cells[this.#head + 1] as number
  }

  get firstSize(): number {
    return this.#cells[this.#head + 2] as number
  }

  /** True when what is first waits for nobody. */
  get isReady(): boolean {
    return !this.isEmpty && this.firstRecord !== PENDING
  }

  /** @param place above all others @param record {@link PENDING} for an undecided half */
  push(place: number, record: number, size: number): void {
    this.#cells.push(place, record, size)
    if (record >= 0) this.#count(1, size)
  }

  /** The half that took `place` is committed: its message waits as `record`. */
  hold(place: number, record: number, size: number): void {
    const at = this.#find(place)
    if (at < 0 || this.#cells[at + 1] !== PENDING) return
    this.#cells[at + 1] = record
    this.#cells[at + 2] = size
    this.#count(1, size)
  }

  /** What took `place` is visible, or never will be. */
  leave(place: number): void {
    const at = this.#find(place)
    if (at < 0) return
    const record = this.#cells[at + 1] as number
    if (record === GONE) return
    if (record >= 0) this.#count(-1, this.#cells[at + 2] as number)
    this.#cells[at + 1] = GONE
    this.#gone++
    while (this.#head < this.#cells.length && this.#cells[this.#head + 1] === GONE) this.#head += CELLS
    if (this.#gone > COMPACT_ABOVE && 2 * CELLS * this.#gone > this.#cells.length) this.#compact()
  }

  /** Visits everybody in line, in order. */
  each(visit: (place: number, record: number, size: number) => void): void {
    const cells = this.#cells
    for (let at = this.#head; at < cells.length; at += CELLS) {
      if (cells[at + 1] !== GONE) visit(cells[at] as number, cells[at + 1] as number, cells[at + 2] as number)
    }
  }

  #count(messages: number, bytes: number): void {
    this.held += messages
    this.heldBytes += messages * bytes
  }

  #find(place: number): number {
    const cells = this.#cells
    let low = this.#head / CELLS
    let high = cells.length / CELLS
    while (low < high) {
      const middle = (low + high) >> 1
      if ((cells[middle * CELLS] as number) < place) low = middle + 1
      else high = middle
    }
    const at = low * CELLS
    return cells[at] === place ? at : -1
  }

  #compact(): void {
    const kept: number[] = []
    this.each((place, record, size) => kept.push(place, record, size))
    this.#cells = kept
    this.#head = this.#gone = 0
  }
}
