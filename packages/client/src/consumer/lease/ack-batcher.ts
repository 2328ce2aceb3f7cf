import { sleep } from '@tandemmq/remoting'
import { backOffMs } from '../../back-off.ts'
import type { ClientError } from '../../client-error.ts'
import { toClientError } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import { ack, ackBatch } from './lease-requests.ts'
import type { Lease } from './lease.ts'

/** Acknowledgements in one request, and requests for single ones at a time. */
const BATCH_MAX = 512
const SINGLES_MAX = 64
/** A batch spans so many queue offsets; beyond that its bit set costs more than a request of its own. */
const SPAN_MAX = 4_096

interface Outbox {
  pending: Lease[]
  /** Resolves when everything added so far was sent or given up. */
  sending: Promise<void> | undefined
}

/**
 * Tells brokers which messages are done. What comes while a request is under way goes with the next one, so a fast consumer sends
 * few large requests and a slow one loses no time. A request that fails is repeated until the leases have run out: then the
 * messages are delivered again.
 */
export class AckBatcher {
  readonly #core: ClientCore
  readonly #group: string
  readonly #outboxes = new Map<string, Outbox>()
  /** Brokers without BATCH_ACK_MESSAGE, i.e. 5.0. */
  readonly #singles = new Set<string>()
  readonly #closing = new AbortController()

  constructor(core: ClientCore, group: string) {
    this.#core = core
    this.#group = group
  }

  add(lease: Lease): void {
    let outbox = this.#outboxes.get(lease.brokerName)
    if (outbox === undefined) {
      outbox = { pending: [], sending: undefined }
      this.#outboxes.set(lease.brokerName, outbox)
    }
    outbox.pending.push(lease)
    if (outbox.sending === undefined) outbox.sending = this.#send(lease.brokerName, outbox)
  }

  /** Tries once more what is left, then gives up what fails. */
  async flush(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#outboxes.values()].map(({ sending }) => sending))
  }

  async #send(brokerName: string, outbox: Outbox): Promise<void> {
    // What other handlers finish in this turn goes along.
    await new Promise<void>((resolve) => this.#core.clock.soon(resolve))
    let failures = 0
    while (outbox.pending.length > 0) {
      const leases = outbox.pending.splice(0, this.#singles.has(brokerName) ? SINGLES_MAX : BATCH_MAX)
      const error = await this.#tell(brokerName, leases)
      if (error === undefined) {
        failures = 0
        continue
      }
      outbox.pending.unshift(...this.#worthAnother(leases))
      await sleep(this.#core.clock, backOffMs(this.#core.clock, failures++), this.#closing.signal).catch(
        () => undefined,
      )
    }
    outbox.sending = undefined
  }

  /** @returns the failure of those that may be tried again */
  async #tell(brokerName: string, leases: readonly Lease[]): Promise<ClientError | undefined> {
    const isFar = ({ receipt }: Lease): boolean => {
      const distance = receipt.offset - receipt.startOffset
      return distance < 0 || distance > SPAN_MAX
    }
    const single = this.#singles.has(brokerName) || leases.length === 1
    const batch = single ? [] : leases.filter((lease) => !isFar(lease))
    const alone = single ? leases : leases.filter(isFar)
    const outcomes = await Promise.all([
      this.#outcomeOf(batch.length === 0 ? undefined : ackBatch(this.#core, this.#group, batch)),
      ...alone.map((lease) => this.#outcomeOf(ack(this.#core, this.#group, lease))),
    ])
    const [first] = outcomes
    if (first?.code === 'REQUEST_NOT_SUPPORTED') {
      this.#core.logger.info(`broker ${brokerName} takes acknowledgements one by one`)
      this.#singles.add(brokerName)
      return this.#tell(brokerName, batch)
    }
    return outcomes.find((outcome) => outcome?.retryable === true)
  }
  /** Undefined for success. */
  async #outcomeOf(request: Promise<void> | undefined): Promise<ClientError | undefined> {
    try {
      await request
      return undefined
    } catch (error) {
      const failure = toClientError(error, 'acknowledge')
      this.#core.logger.warn(failure.message)
      return failure
    }
  }

  #worthAnother(leases: readonly Lease[]): Lease[] {
    if (this.#closing.signal.aborted) return []
    const now = this.#core.clock.monotonic()
    const alive = leases.filter(({ deadline }) => deadline > now)
    const dead = leases.length - alive.length
    if (dead > 0) this.#core.logger.warn(`${dead} messages could not be acknowledged in time, they are delivered again`)
    return alive
  }
}
