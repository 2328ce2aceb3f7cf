import type { Clock } from './clock.ts'
import type { Connection } from './connection.ts'
import { IdleSweep, type SweepLimits } from './idle-sweep.ts'

/** The connections of a server or client that have not ended. */
export class OpenConnections {
  readonly #all = new Set<Connection>()
  readonly #clock: Clock
  readonly #idleSweep: IdleSweep
  #whenEmpty: (() => void) | undefined

  constructor(clock: Clock, limits: SweepLimits) {
    this.#clock = clock
    this.#idleSweep = new IdleSweep(clock, this.#all, limits)
  }

  get all(): ReadonlySet<Connection> {
    return this.#all
  }

  add(connection: Connection): void {
    this.#all.add(connection)
    this.#idleSweep.wake()
  }

  delete(connection: Connection): void {
    this.#all.delete(connection)
    if (this.#all.size === 0) this.#whenEmpty?.()
  }

  /** Lets output leave; what is still open after `drainTimeoutMs` is destroyed. */
  async close(drainTimeoutMs: number): Promise<void> {
    for (const connection of this.#all) connection.close()
    if (this.#all.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.setTimer(drainTimeoutMs, () => {
          for (const connection of this.#all) connection.destroy()
        })
        this.#whenEmpty = () => {
          timer.cancel()
          resolve()
        }
      })
    }
    this.#idleSweep.stop()
  }
}
