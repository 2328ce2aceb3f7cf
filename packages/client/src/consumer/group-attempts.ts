import { groupConfig, settingsOfConfig } from '../admin/admin-groups.ts'
import { messageOf, toClientError } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'

/** Deliveries of a message where neither consumer nor operator said a number. */
const ATTEMPTS_MAX = 16
/** `retryMaxTimes` of a group nobody configured. */
const UNCHANGED = 17

/** How many deliveries a message gets: what the consumer says, else what operators set for its group, else 16. */
export class GroupAttempts {
  readonly #core: ClientCore
  readonly #group: string
  readonly #isOpen: boolean
  #max: number

  constructor(core: ClientCore, group: string, given: number | undefined) {
    this.#core = core
    this.#group = group
    this.#isOpen = given === undefined
    this.#max = given ?? ATTEMPTS_MAX
  }

  get max(): number {
    return this.#max
  }

  /** Asks the first broker that answers, without making anybody wait. What was known before holds when none does. */
  look(): void {
    if (!this.#isOpen) return
    this.#ask().catch((error: unknown) => this.#core.logger.debug(`attempts of ${this.#group}: ${messageOf(error)}`))
  }

  async #ask(): Promise<void> {
    for (const address of this.#core.brokerAddresses()) {
      try {
        const config = await groupConfig(this.#core, address, this.#group)
        const asked = config === undefined ? UNCHANGED : settingsOfConfig(config).attemptsMax
        this.#max = asked === UNCHANGED ? ATTEMPTS_MAX : asked
        return
      } catch (error) {
        this.#core.logger.debug(`attempts of ${this.#group}: ${toClientError(error, 'ask').message}`)
      }
    }
  }
}
