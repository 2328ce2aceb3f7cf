/** A member of {@link InFlight} knows its place in it. */
export interface Placed {
  place: number
}

/** What is under way, in no order. Cheaper than a Set: members are found by the place they keep, not by a hash. */
export class InFlight<T extends Placed> {
  readonly #members: T[] = []
  readonly #whenEmpty: () => void

  constructor(whenEmpty: () => void) {
    this.#whenEmpty = whenEmpty
  }

  get size(): number {
    return this.#members.length
  }

  add(member: T): void {
    member.place = this.#members.length
    this.#members.push(member)
  }

  /** The member must be in. */
  delete(member: T): void {
    const last = this.#members.pop()
    if (last !== undefined && last !== member) {
      this.#members[member.place] = last
      last.place = member.place
    }
    if (this.#members.length === 0) this.#whenEmpty()
  }

  /** A copy, because ending one takes it out. */
  all(): T[] {
    return [...this.#members]
  }
}
