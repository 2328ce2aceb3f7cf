import type { Clock } from '@tandemmq/remoting'
import type { Deadlines } from './deadlines.ts'
import type { Lease } from './lease-queue.ts'
import type { DeadEnd, Revival } from './revival.ts'
import { REVIVAL_PAUSE_FIRST_MS, revivalPauseMs } from './revival-pause.ts'

/** What becomes of leases without keys that end without an acknowledgement: a copy takes the message's place, then they are settled. */
export class LeaseEnds {
  readonly #clock: Clock
  readonly #revival: Revival
  readonly #deadlines: Deadlines<Lease>
  readonly #onSettled: (lease: Lease) => void

  /** @param options.onSettled a copy took the place of the lease's message, or there is nothing to copy */
  constructor(options: {
    clock: Clock
    revival: Revival
    deadlines: Deadlines<Lease>
    onSettled: (lease: Lease) => void
  }) {
    this.#clock = options.clock
    this.#revival = options.revival
    this.#deadlines = options.deadlines
    this.#onSettled = options.onSettled
  }

  /** Its time is up. */
  expired(lease: Lease): void {
    lease.isReviving = true
    this.#revival.revive(lease, (error) => {
      if (lease.queue.find(lease.offset) !== lease) return
      if (error === undefined) return this.#onSettled(lease)
      // Nobody else has the message yet, so an ack may still settle it.
      lease.isReviving = false
      lease.timer = this.#deadlines.add(this.#clock.monotonic() + revivalPauseMs(lease), lease)
    })
  }

  /** Whoever holds it gives it up. @param done with an error: the lease goes on, and its end brings the message again */
  bury(lease: Lease, end: DeadEnd, done: (error?: Error) => void): void {
    lease.isReviving = true
    this.#deadlines.cancel(lease.timer)
    lease.timer = 0
    this.#revival.bury(lease.queue, lease.offset, end, (error) => {
      if (lease.queue.find(lease.offset) === lease) {
        if (error === undefined) this.#onSettled(lease)
        else {
          lease.isReviving = false
          const soonest = this.#clock.monotonic() + REVIVAL_PAUSE_FIRST_MS
          lease.timer = this.#deadlines.add(Math.max(lease.deadline, soonest), lease)
        }
      }
      done(error)
    })
  }
}
