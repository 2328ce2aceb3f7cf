import type { Clock, Timer } from '@tandemmq/remoting'

/** A send as the watch sees it. */
export interface Watched {
  /** Place of its latest attempt in the order of sending. */
  readonly turn: number
  /** Monotonic ms at which {@link slow} is due; Infinity = nothing is waited for. */
  attemptUntil: number
  /** Changes `attemptUntil`. */
  slow(): void
}

/** Below that a busy disk looks like a lost answer, and every repeat would make it busier. */
const ATTEMPT_MS_MIN = 500

/**
 * How long an attempt has its caller's patience, ms: what is left, in equal parts for this attempt and those after it, within
 * 500 ms and `attemptMsMax`. The last one has all that is left.
 * @param attemptsAfter that may still follow
 */
export function attemptMs(remainingMs: number, attemptsAfter: number, attemptMsMax: number): number {
  if (attemptsAfter <= 0) return remainingMs
  return Math.min(Math.max(remainingMs / (attemptsAfter + 1), ATTEMPT_MS_MIN), attemptMsMax)
}

/**
 * Tells sends that their attempt has no answer and should have one. One timer, armed for the earliest, serves all sends of a
 * producer. A send that only stands in line, because answers come in but none yet to anything sent later, is left there: to
 * repeat it would make the line longer.
 */
export class AttemptWatch {
  readonly #clock: Clock
  readonly #all: () => readonly Watched[]
  // What has arrived is read before anybody is called slow: this process may have been busy itself.
  readonly #due = (): void => this.#clock.soon(this.#sweep)
  readonly #sweep = (): void => this.#look()
  #timer: Timer | undefined
  #armedFor = Number.POSITIVE_INFINITY
  #turns = 0
  /** The highest turn that was answered; and the same at the last look. */
  #newestAnswered = 0
  #newestBefore = 0

  /** @param all those under way; a copy, because `slow()` may end one */
  constructor(clock: Clock, all: () => readonly Watched[]) {
    this.#clock = clock
    this.#all = all
  }

  /** The turn of an attempt that is about to be sent. */
  nextTurn(): number {
    return ++this.#turns
  }

  /** Somebody waits until then, monotonic ms. */
  expect(until: number): void {
    if (until < this.#armedFor) this.#arm(until)
  }

  answered(turn: number): void {
    if (turn > this.#newestAnswered) this.#newestAnswered = turn
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#armedFor = Number.POSITIVE_INFINITY
  }

  #arm(until: number): void {
    if (this.#timer === undefined) this.#newestBefore = this.#newestAnswered
    this.#timer?.cancel()
    this.#armedFor = until
    this.#timer = this.#clock.setTimer(Math.max(0, until - this.#clock.monotonic()), this.#due)
  }

  #look(): void {
    const now = this.#clock.monotonic()
    const newest = this.#newestAnswered
    const isMoving = newest > this.#newestBefore
    this.stop()
    for (const one of this.#all()) {
      if (one.attemptUntil <= now && isMoving && one.turn > newest) one.attemptUntil = now + ATTEMPT_MS_MIN
      // What a slow one begins anew arms the timer by itself.
      if (one.attemptUntil <= now) one.slow()
      else this.expect(one.attemptUntil)
    }
  }
}
