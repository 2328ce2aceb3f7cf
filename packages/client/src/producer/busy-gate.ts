import type { Clock } from '@tandemmq/remoting'
import { honoured } from '../back-off.ts'

/** What goes on when its broker may be asked again. */
export interface Waiting {
  resume(): void
}

interface Closed {
  /** Monotonic ms. */
  until: number
  waiting: Waiting[]
}

/**
 * Brokers that said when they want to be asked again. Until then nothing is sent to them: what is refused and what comes new waits
 * in one line per broker, so that sends keep their order.
 */
export class BusyGate {
  readonly #clock: Clock
  readonly #closed = new Map<string, Closed>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Closes the gate of a broker, for at least `retryAfterMs` and at most twice as long. */
  close(brokerName: string, retryAfterMs: number): void {
    // Sends that were under way together are refused together: that is one pause.
    if (this.#closed.has(brokerName)) return
    const pauseMs = honoured(this.#clock, retryAfterMs)
    this.#closed.set(brokerName, { until: this.#clock.monotonic() + pauseMs, waiting: [] })
    this.#clock.setTimer(pauseMs, () => this.#open(brokerName))
  }

  /** Monotonic ms at which the broker may be asked; undefined = now. */
  opensAt(brokerName: string): number | undefined {
    return this.#closed.size === 0 ? undefined : this.#closed.get(brokerName)?.until
  }

  /** `waiting` goes on when the gate opens, after those that wait already; at once when it is open. */
  wait(brokerName: string, waiting: Waiting): void {
    const closed = this.#closed.get(brokerName)
    if (closed === undefined) waiting.resume()
    else closed.waiting.push(waiting)
  }

  #open(brokerName: string): void {
    const closed = this.#closed.get(brokerName)
    this.#closed.delete(brokerName)
    for (const waiting of closed?.waiting ?? []) waiting.resume()
  }
}
