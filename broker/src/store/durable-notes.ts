import type { Clock, Timer } from '@tandemmq/remoting'

const EVERY_MS = 1_000

/** Tells the journal how far the log is durable: about once a second, and after the last sync before a pause. */
export class DurableNotes {
  readonly #clock: Clock
  readonly #note: () => void
  #timer: Timer | undefined
  #notedAt = -Infinity
  #isStopped = false

  constructor(clock: Clock, note: () => void) {
    this.#clock = clock
    this.#note = note
  }

  /** The log is durable further than before. */
  follow(): void {
    if (this.#timer !== undefined || this.#isStopped) return
    const now = this.#clock.monotonic()
    const waitMs = this.#notedAt + EVERY_MS - now
    if (waitMs > 0) {
      this.#timer = this.#clock.setTimer(waitMs, () => {
        this.#timer = undefined
        this.follow()
      })
      return
    }
    this.#notedAt = now
    this.#note()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }
}
