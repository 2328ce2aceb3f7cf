/** One value made at most once at a time: callers share the attempt, a failed attempt is forgotten. */
export class Once<T> {
  private attempt: Promise<T> | undefined
  private readonly make: () => Promise<T>

  constructor(make: () => Promise<T>) {
    this.make = make
  }

  get(): Promise<T> {
    if (this.attempt === undefined) {
      const attempt = this.make()
      this.attempt = attempt
      attempt.catch(() => {
        if (this.attempt === attempt) this.attempt = undefined
      })
    }
    return this.attempt
  }

  /** The value if somebody asked for it and got it. */
  async made(): Promise<T | undefined> {
    return this.attempt?.catch(() => undefined)
  }
}
