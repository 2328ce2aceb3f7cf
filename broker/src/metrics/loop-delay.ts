import type { Clock, Timer } from '@tandemmq/remoting'
import { Latency } from '../measurements.ts'

const EVERY_MS = 100

/** How late timers are: everything the broker does shares one thread. */
export class LoopDelay {
  readonly latency = new Latency()
  readonly #clock: Clock
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  start(): void {
    const dueAt = this.#clock.monotonic() + EVERY_MS
    this.#timer = this.#clock.setTimer(EVERY_MS, () => {
      this.latency.observe(this.#clock.monotonic() - dueAt)
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }
}
