import type { Clock } from '@tandemmq/remoting'

/** Ahead of the steady clock by more than this, the wall clock has jumped. */
const TOLERANCE_MS = 60_000
/** A jump that lasts so long is believed. */
const DOUBT_MS = 3_600_000

export interface AgeClockOptions {
  clock: Clock
  /** Store time of the newest record, ms since 1970; 0 when there is none. */
  newest: number
  /** Everything older than this would be removed: a start that finds all of it so old doubts the clock, not the messages. */
  retentionMs: number
  /** @param byMs how far the wall clock went forward */
  onJump?: ((byMs: number) => void) | undefined
}

/**
 * The time by which retention judges age. It follows the wall clock, but a jump forward counts only after an hour: who set
 * the clock wrong for a moment must not lose every message. A jump back counts at once; it only makes messages younger.
 */
export class AgeClock {
  readonly #options: AgeClockOptions
  #trusted: number
  #since: number
  #doubtedSince: number | undefined

  constructor(options: AgeClockOptions) {
    const { clock, newest, retentionMs } = options
    this.#options = options
    const now = clock.now()
    this.#trusted = newest > 0 && now - newest > retentionMs ? newest : now
    this.#since = clock.monotonic()
  }

  /** ms since 1970 */
  now(): number {
    const { clock, onJump } = this.#options
    const wall = clock.now()
    const steady = clock.monotonic()
    const expected = this.#trusted + (steady - this.#since)
    const ahead = wall - expected
    if (ahead > TOLERANCE_MS) {
      if (this.#doubtedSince === undefined) {
        this.#doubtedSince = steady
        onJump?.(ahead)
      }
      if (steady - this.#doubtedSince < DOUBT_MS) return expected
    }
    this.#doubtedSince = undefined
    this.#trusted = wall
    this.#since = steady
    return wall
  }
}
