/** The broker writes whole milliseconds. */
const ROUNDING_MS = 1

/**
 * Tells when leases began, by our monotonic clock. A lease begins when the broker takes the message, which is after the question was
 * sent and before the answer arrives. Between the two lies what the broker held the question for, which is none of the lease, and
 * what the answer took on its way, which is. The broker's stamp tells them apart once it is known how far its clock is at most ahead
 * of ours: every answer gives such a bound, its stamp less the time of its question, and the smallest is the truest. So an answer
 * that comes late never makes a lease longer, and after one quick answer a question that was held costs a lease nothing.
 */
export class LeaseClock {
  /** Broker's wall clock less our monotonic one, at most. */
  #aheadMax: number | undefined

  get isKnown(): boolean {
    return this.#aheadMax !== undefined
  }

  /**
   * @param stamp broker's wall clock, ms
   * @param askedAt monotonic ms, like the result
   * @returns the latest moment that is surely not after the stamp; the question at the earliest, the answer at the latest
   */
  beganAt(stamp: number, askedAt: number, arrivedAt: number): number {
    const most = stamp - askedAt + ROUNDING_MS
    // An answer cannot arrive before it is stamped: the broker's clock was set, or runs faster.
    const isWrong = this.#aheadMax !== undefined && stamp - arrivedAt > this.#aheadMax
    if (this.#aheadMax === undefined || isWrong || most < this.#aheadMax) this.#aheadMax = most
    return Math.min(Math.max(stamp - this.#aheadMax, askedAt), arrivedAt)
  }

  /** Another broker may answer from now on. */
  forget(): void {
    this.#aheadMax = undefined
  }
}
