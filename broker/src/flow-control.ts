import type { Clock } from '@tandemmq/remoting'

/** Told to clients: short enough that the disk does not run dry, long enough that asking costs less than the work. */
const RETRY_MS_MIN = 10
const RETRY_MS_MAX = 1_000
/** Until a rate is known. */
const RETRY_MS_FIRST = 100
const SAMPLE_MS = 100

/** How long the bytes that wait for the disk will take, from how fast it took those before them. */
export class DrainRate {
  readonly #clock: Clock
  readonly #drained: () => number
  #sampledAt: number
  #sample: number
  #bytesPerMs: number | undefined

  /** @param drained bytes that left so far; only grows */
  constructor(clock: Clock, drained: () => number) {
    this.#clock = clock
    this.#drained = drained
    this.#sampledAt = clock.monotonic()
    this.#sample = drained()
  }

  /** @returns when `bytes` of those that wait now will have left: whole ms, 10 to 1000; 1000 while nothing moves */
  retryAfterMs(bytes: number): number {
    const now = this.#clock.monotonic()
    const elapsed = now - this.#sampledAt
    if (elapsed >= SAMPLE_MS) {
      const drained = this.#drained()
      this.#bytesPerMs = (drained - this.#sample) / elapsed
      this.#sampledAt = now
      this.#sample = drained
    }
    if (this.#bytesPerMs === undefined) return RETRY_MS_FIRST
    if (this.#bytesPerMs <= 0) return RETRY_MS_MAX
    return Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, Math.ceil(bytes / this.#bytesPerMs)))
  }
}
