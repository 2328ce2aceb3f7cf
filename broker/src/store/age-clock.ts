import type { Clock } from '@tandemmq/remoting'

/** Ahead of the steady clock by more than this, the wall clock has jumped. */
const TOLERANCE_MS = 60_000
/** A clock that goes too fast is told of so often at most. */
const TOLD_EVERY_MS = 3_600_000
/** Half of the default `retentionHours`. */
const PAUSE_MAX_MS = 36 * 3_600_000

/** What the age clock showed, and the latest the wall clock had ever shown, both ms. */
export interface AgeMark {
  at: number
  wall: number
}

export interface AgeClockOptions {
  clock: Clock
  /** The last one noted; undefined in a directory without one. */
  mark: AgeMark | undefined
  /** Store time of the newest record, ms since 1970; 0 when there is none. Asked only without a mark. */
  newest: number
  /** The shortest limit of age, ms: a pause of the broker counts for half of it at most. */
  limitMs: number
  /** @param byMs how far the wall clock went forward */
  onJump?: ((byMs: number) => void) | undefined
}

/**
 * The time by which retention judges age: how long the broker ran, by the steady clock, and how long it did not, by the wall
 * clock, each pause for at most half of the shortest limit. So no single setting of the wall clock makes a message old.
 */
export class AgeClock {
  readonly #clock: Clock
  readonly #onJump: ((byMs: number) => void) | undefined
  readonly #start: number
  readonly #since: number
  #wall: number
  #wallSince: number
  #toldAt = Number.NEGATIVE_INFINITY

  constructor({ clock, mark, newest, limitMs, onJump }: AgeClockOptions) {
    this.#clock = clock
    this.#onJump = onJump
    const wall = clock.now()
    this.#since = this.#wallSince = clock.monotonic()
    this.#wall = wall
    const pauseMax = Math.min(limitMs / 2, PAUSE_MAX_MS)
    // Without a mark a start that finds everything too old doubts the clock, not the messages.
    if (mark === undefined) this.#start = newest > 0 && wall - newest > limitMs ? newest : wall
    else this.#start = mark.at + Math.min(Math.max(0, wall - mark.wall), pauseMax)
  }

  /** ms; only differences mean anything */
  now(): number {
    this.#watch()
    return this.#start + (this.#clock.monotonic() - this.#since)
  }

  #watch(): void {
    const steady = this.#clock.monotonic()
    const wall = this.#clock.now()
    const aheadMs = wall - this.#wall - (steady - this.#wallSince)
    this.#wall = wall
    this.#wallSince = steady
    if (aheadMs <= TOLERANCE_MS || steady - this.#toldAt < TOLD_EVERY_MS) return
    this.#toldAt = steady
    this.#onJump?.(aheadMs)
  }
}
