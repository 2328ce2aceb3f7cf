/** Totals at one moment. */
interface Sample {
  at: number
  totals: readonly number[]
}

const MEMORY_MS = 600_000

/**
 * Rates of growing totals over the last seconds, from samples taken now and then: from the youngest sample that is old enough, or
 * the first one, up to the moment of the question.
 */
export class MovingRate {
  readonly #totals: () => readonly number[]
  readonly #samples: Sample[] = []

  /** @param totals what only grows, always in the same order */
  constructor(totals: () => readonly number[], now: number) {
    this.#totals = totals
    this.sample(now)
  }

  sample(now: number): void {
    const samples = this.#samples
    samples.push({ at: now, totals: this.#totals() })
    // One that is old enough for the longest window stays.
    while ((samples[1]?.at ?? Number.POSITIVE_INFINITY) <= now - MEMORY_MS) samples.shift()
  }

  /**
   * @param index of the total
   * @param windowMs at most 600,000
   * @returns per second
   */
  rate(index: number, windowMs: number, now: number): number {
    const from = this.#samples.findLast(({ at }) => at <= now - windowMs) ?? this.#samples[0]
    const elapsed = now - (from?.at ?? now)
    if (elapsed <= 0) return 0
    const grown = (this.#totals()[index] ?? 0) - (from?.totals[index] ?? 0)
    return (grown * 1000) / elapsed
  }
}
