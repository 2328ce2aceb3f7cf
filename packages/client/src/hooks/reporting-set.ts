/** A set that says when it has become empty. */
export class ReportingSet<T> extends Set<T> {
  readonly #whenEmpty: () => void

  constructor(whenEmpty: () => void) {
    super()
    this.#whenEmpty = whenEmpty
  }

  override delete(value: T): boolean {
    const was = super.delete(value)
    if (this.size === 0) this.#whenEmpty()
    return was
  }
}
