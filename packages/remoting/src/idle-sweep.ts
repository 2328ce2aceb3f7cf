import type { Clock, Timer } from './clock.ts'
import type { Connection } from './connection.ts'

/** Output buffers are kept for a connection that was active this recently. */
const BUFFERS_KEPT_MS = 10_000

/** One timer for all connections of a server or client: ends those from which nothing came for `idleTimeoutMs`. */
export class IdleSweep {
  #clock: Clock
  #idleTimeoutMs: number
  #connections: ReadonlySet<Connection>
  #timer: Timer | undefined
  #sweep = (): void => this.#run()

  constructor(clock: Clock, idleTimeoutMs: number, connections: ReadonlySet<Connection>) {
    this.#clock = clock
    this.#idleTimeoutMs = idleTimeoutMs
    this.#connections = connections
  }

  /** To be called when a connection was added; the timer runs only while there are any. */
  wake(): void {
    if (this.#timer === undefined && this.#idleTimeoutMs > 0) this.#arm(this.#idleTimeoutMs)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #arm(delayMs: number): void {
    // Many connections about to expire one after the other must not become a timer each.
    this.#timer = this.#clock.setTimer(Math.max(delayMs, this.#idleTimeoutMs / 16), this.#sweep)
  }

  #run(): void {
    this.#timer = undefined
    const now = this.#clock.monotonic()
    let earliest = now
    for (const connection of this.#connections) {
      if (connection.isReadingPaused) continue
      if (now - connection.lastActiveAt >= this.#idleTimeoutMs) {
        connection.destroyIdle(this.#idleTimeoutMs)
        continue
      }
      if (now - connection.lastActiveAt >= BUFFERS_KEPT_MS) connection.releaseBuffers()
      earliest = Math.min(earliest, connection.lastActiveAt)
    }
    if (this.#connections.size > 0) this.#arm(earliest + this.#idleTimeoutMs - now)
  }
}
