import type { ConnectionOptions, PreparedMessage } from '@tandemmq/client'
import { TransactionProducer } from '@tandemmq/client'
import type { OutgoingMessage } from '../foundation.ts'
import { OutboxError } from '../outbox-error.ts'
import { GivenUpHalves } from './given-up-halves.ts'
import type {
  CheckAnswer,
  CheckedDomain,
  CheckedMessage,
  EndOutcome,
  Half,
  HalfEnd,
  HalfMessage,
  HalfSender,
} from './half-sender.ts'

export interface ClientHalfSenderOptions extends Omit<ConnectionOptions, 'nameServers'> {
  nameServers?: string | readonly string[] | undefined
  group: string
}

/** The broker through a TransactionProducer of @tandemmq/client. */
export class ClientHalfSender implements HalfSender {
  readonly #producer: TransactionProducer
  readonly #givenUp: GivenUpHalves
  #check: (message: CheckedMessage) => Promise<CheckAnswer> = async () => 'unknown'

  /** @throws {TandemError} OPTION_INVALID, GROUP_NAME_INVALID */
  constructor(options: ClientHalfSenderOptions) {
    const { nameServers } = options
    if (nameServers === undefined) throw new OutboxError('OPTION_INVALID', 'nameServers is missing')
    const { clock, network, logger, requestTimeoutMs, drainTimeoutMs } = options
    const connection = { nameServers, clock, network, logger, requestTimeoutMs, drainTimeoutMs }
    this.#givenUp = new GivenUpHalves(connection)
    this.#producer = new TransactionProducer({
      ...connection,
      group: options.group,
      clientId: options.clientId,
      // A second attempt under the same key is what the protocol forbids; the outbox table is our retry.
      retriesMax: 0,
      check: (message) => this.#check(message),
    })
  }

  start(check: (message: CheckedMessage) => Promise<CheckAnswer>, domain?: CheckedDomain): Promise<void> {
    this.#check = check
    // Before the first heartbeat, so that what waits for an answer is asked as soon as we are there.
    if (domain !== undefined) this.#producer.answerFor(domain.id, (transactionIds) => domain.check(transactionIds))
    return this.#producer.start()
  }

  async close(): Promise<void> {
    await Promise.all([this.#producer.close(), this.#givenUp.close()])
  }

  async prepare(message: HalfMessage, options: { timeoutMs: number }): Promise<Half> {
    const { transactionId } = message
    return { opaque: await this.#producer.prepare(message, { timeoutMs: options.timeoutMs, transactionId }) }
  }

  async endMany(ends: readonly HalfEnd[]): Promise<EndOutcome[]> {
    const prepared = ends.map(({ half, decision }) => ({ prepared: half.opaque as PreparedMessage, decision }))
    const results = await this.#producer.endMany(prepared)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined && results.every((result) => result.status === 'rejected')) throw failed.reason
    return results.map((result) => (result.status === 'fulfilled' ? result.value : 'pending'))
  }

  pendingOf(transactionIds: readonly string[]): Promise<readonly string[]> {
    return this.#producer.pendingOf(transactionIds)
  }

  givenUpOf(transactionIds: readonly string[], domainId: string): Promise<readonly string[]> {
    return this.#givenUp.of(transactionIds, domainId)
  }

  brokersOf(topic: string): readonly string[] {
    return this.#producer.brokersOf(topic)
  }

  send(message: OutgoingMessage): Promise<unknown> {
    return this.#producer.send(message)
  }
}
