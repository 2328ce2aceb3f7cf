import type { Clock, Timer } from '@tandemmq/remoting'
import { messageOf } from './client-error.ts'
import type { Logger } from './logger.ts'

export interface RoundsPort {
  readonly clock: Clock
  readonly logger: Logger
  /** What is done, as it should read in a log: `rebalance of billing`. */
  readonly name: string
  readonly intervalMs: number
  /** One round. @returns false when something is left to do: the next round comes soon */
  once(): Promise<boolean>
}

const RETRY_FIRST_MS = 1_000
const RETRY_MAX_MS = 5_000

/** Work that is done again and again: periodically, when somebody says that things have changed, and sooner after a failure. */
export class Rounds {
  readonly #port: RoundsPort
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #isAgain = false
  #isStopped = false
  #failures = 0

  constructor(port: RoundsPort) {
    this.#port = port
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** Runs now; a round under way is followed by another one. Resolves when the picture is as new as this call. */
  async run(): Promise<void> {
    if (this.#isStopped) return
    if (this.#running !== undefined) {
      this.#isAgain = true
      return this.#running
    }
    this.#running = this.#loop()
    return this.#running
  }

  /** Waits for a round under way; starts none any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#running
  }

  async #loop(): Promise<void> {
    const { clock, logger, name, intervalMs } = this.#port
    this.#timer?.cancel()
    let isComplete: boolean
    do {
      this.#isAgain = false
      isComplete = await this.#port.once().catch((error: unknown) => {
        logger.warn(`${name} failed: ${messageOf(error)}`)
        return false
      })
    } while (this.#isAgain && !this.#isStopped)
    // In the same step as the last look at isAgain, so that no call falls in between.
    this.#running = undefined
    if (this.#isStopped) return
    this.#failures = isComplete ? 0 : this.#failures + 1
    const again = Math.min(RETRY_FIRST_MS * 2 ** Math.min(this.#failures - 1, 10), RETRY_MAX_MS)
    const delayMs = isComplete ? intervalMs : Math.min(again, intervalMs)
    this.#timer = clock.setTimer(delayMs, () => {
      this.run().catch((error: unknown) => logger.error(`${name} failed: ${messageOf(error)}`))
    })
  }
}
