/** Upper bound of the first bucket, ms; each further one is twice as high, up to 16.384 s, and a last one takes the rest. */
const FIRST_MS = 1 / 16
const BOUNDS = 19

/** Upper bounds of the buckets but the last, in seconds. */
export const latencyBounds: readonly number[] = Array.from({ length: BOUNDS }, (_, at) => (FIRST_MS * 2 ** at) / 1000)

/** How long something took, as counts per bucket. Observing is a bucket index and two additions. */
export class Latency {
  /** Not cumulative; one more than {@link latencyBounds}. */
  readonly counts = new Float64Array(BOUNDS + 1)
  sumMs = 0

  observe(ms: number): void {
    if (!(ms > 0)) {
      this.counts[0]!++
      return
    }
    this.sumMs += ms
    // Beyond 2^31 units the bits would wrap, and a clock that jumped says nothing anyway.
    const units = ms > 1e6 ? 0x7fffffff : Math.ceil(ms / FIRST_MS) - 1
    const index = 32 - Math.clz32(units)
    this.counts[index > BOUNDS ? BOUNDS : index]!++
  }

  get count(): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
  }

  /** Upper bound, in ms, of the bucket that holds the given share of all observations; 0 without any, Infinity in the last. */
  quantile(share: number): number {
    const rank = share * this.count
    let seen = 0
    for (const [at, count] of this.counts.entries()) {
      seen += count
      if (seen > 0 && seen >= rank) return at === BOUNDS ? Number.POSITIVE_INFINITY : FIRST_MS * 2 ** at
    }
    return 0
  }
}

/** What the hot paths measure beside what they count, since the start of the process. */
export class Measurements {
  /** From the arrival of a send to its answer, when it was as safe as the flush policy promises. */
  readonly send = new Latency()
  /** One fdatasync of the log. */
  readonly sync = new Latency()
  /** Age of the oldest message of an answer when it was handed to a consumer. */
  readonly delivery = new Latency()
  /** Monotonic ms at which the answers that go out now became possible: read once for all of them. */
  now = 0
  /** Requests that were refused, by error code. */
  readonly refused = new Map<string, number>()

  refuse(code: string): void {
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1)
  }
}
