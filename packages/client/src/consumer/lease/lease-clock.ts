/** The broker writes whole milliseconds. */
const ROUNDING_MS = 1
/** Clocks run apart a little without being set. */
const DRIFT_MS = 1_000

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
  /** By how much that may be too much: the time of the question and answer it is from. */
  #slackMs = 0

  get isKnown(): boolean {
    return this.#aheadMax !== undefined
  }

  /**
   * @param stamp broker's wall clock, ms
   * @param askedAt monotonic ms, like the result
   * @returns the latest moment that is surely not after the stamp; the question at the earliest, the answer at the latest; undefined when
   * the broker's clock was set since the last answer: nothing is known of it any more
   */
  beganAt(stamp: number, askedAt: number, arrivedAt: number): number | undefined {
    const most = stamp - askedAt + ROUNDING_MS
    if (this.#aheadMax !== undefined) {
      // An answer cannot arrive before it is stamped, nor be stamped before it was asked for.
      const isSetOn = stamp - arrivedAt > this.#aheadMax + DRIFT_MS
      const isSetBack = most < this.#aheadMax - this.#slackMs - DRIFT_MS
      if (isSetOn || isSetBack) return this.forget()
    }
    if (this.#aheadMax === undefined || most < this.#aheadMax || stamp - arrivedAt > this.#aheadMax) {
      this.#aheadMax = most
      this.#slackMs = arrivedAt - askedAt
    }
    return Math.min(Math.max(stamp - this.#aheadMax, askedAt), arrivedAt)
  }

  /** Another broker may answer from now on, or the clock was set. */
  forget(): undefined {
    this.#aheadMax = undefined
    return undefined
  }
}
