import type { GroupLine } from './group-line.ts'

/** Cleared away together: moving the rest costs as much as the rest is long. */
const CLEARED_AT_ONCE = 256

/** Who left a line, and what was known of it then. */
export interface Departure {
  line: GroupLine
  place: number
  record: number
  size: number
  /** Log offset of the record that says so. */
  by: number
}

/**
 * Who left a line by a record that is not safe yet: a checkpoint must still show them in line, because a crash may lose that
 * record and nothing before it.
 */
export class Departures {
  readonly #durableOffset: () => number
  #gone: Departure[] = []
  #cleared = 0

  constructor(durableOffset: () => number) {
    this.#durableOffset = durableOffset
  }

  /** @param departure its `by` is above all others */
  add(departure: Departure): void {
    this.#clear(this.#durableOffset())
    this.#gone.push(departure)
  }

  /** Those that a log which ends at `before` does not know to have left, in the order of their going. */
  after(before: number): readonly Departure[] {
    return this.#gone.slice(this.#cleared).filter(({ by }) => by >= before)
  }

  /** Log offset of the oldest held record among them, Infinity without one. */
  earliestRecord(): number {
    this.#clear(this.#durableOffset())
    let earliest = Number.POSITIVE_INFINITY
    for (let at = this.#cleared; at < this.#gone.length; at++) {
      const { record } = this.#gone[at] as Departure
      if (record >= 0 && record < earliest) earliest = record
    }
    return earliest
  }

  #clear(durable: number): void {
    const gone = this.#gone
    while (this.#cleared < gone.length && (gone[this.#cleared] as Departure).by < durable) this.#cleared++
    if (this.#cleared < CLEARED_AT_ONCE || 2 * this.#cleared < gone.length) return
    this.#gone = gone.slice(this.#cleared)
    this.#cleared = 0
  }
}
