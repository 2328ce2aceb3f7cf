/** A source of work: one queue of the consumer. */
export interface DeliverySource<D> {
  /** Owned by the dispatcher. */
  isQueued: boolean
  hasWork(): boolean
  next(): D | undefined
}

/** Runs at most `concurrencyMax` handlers at a time and takes from the queues in turn, so that none starves. */
export class Dispatcher<S extends DeliverySource<D>, D> {
  readonly #concurrencyMax: number
  readonly #run: (source: S, delivery: D) => void
  #ring: S[] = []
  #head = 0
  #running = 0
  #isPumping = false
  #isStopped = false
  #whenIdle: (() => void)[] = []

  constructor(concurrencyMax: number, run: (source: S, delivery: D) => void) {
    this.#concurrencyMax = concurrencyMax
    this.#run = run
  }

  get running(): number {
    return this.#running
  }

  /** The source may have work now. */
  wake(source: S): void {
    if (!source.isQueued && source.hasWork()) {
      source.isQueued = true
      this.#ring.push(source)
    }
    this.#pump()
  }

  /** A handler that `run` was called for has ended. */
  finished(source: S): void {
    this.#running--
    this.wake(source)
    if (this.#running > 0) return
    const waiting = this.#whenIdle
    this.#whenIdle = []
    for (const resolve of waiting) resolve()
  }

  /** Starts nothing any more. */
  stop(): void {
    this.#isStopped = true
  }

  /** Resolves when no handler runs. */
  idle(): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve))
  }

  #pump(): void {
    // A handler that ends at once comes back here through finished(): one loop, no recursion.
    if (this.#isPumping || this.#isStopped) return
    this.#isPumping = true
    while (this.#running < this.#concurrencyMax && !this.#isStopped) {
      const source = this.#ring[this.#head]
      if (source === undefined) break
      this.#head++
      source.isQueued = false
      const delivery = source.next()
      if (delivery === undefined) continue
      if (source.hasWork()) {
        source.isQueued = true
        this.#ring.push(source)
      }
      this.#running++
      this.#run(source, delivery)
    }
    if (this.#head === this.#ring.length) {
      this.#ring = []
      this.#head = 0
    } else if (this.#head > 1_024) {
      this.#ring = this.#ring.slice(this.#head)
      this.#head = 0
    }
    this.#isPumping = false
  }
}
