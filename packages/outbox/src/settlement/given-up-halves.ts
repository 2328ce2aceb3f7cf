import { type ConnectionOptions, PullConsumer } from '@tandemmq/client'
import { transactionIdOf } from '../message.ts'
import { DOMAIN } from './half-sender.ts'

/** Where a stock broker puts a copy of each half message that it asked about too often (`transactionCheckMax`, default 15). */
const GIVEN_UP_TOPIC = 'TRANS_CHECK_MAX_TIME_TOPIC'
/** A group that every broker has, for who reads without consuming. */
const GROUP = 'TOOLS_CONSUMER'
const PULLS_PER_LOOK = 500
const IDS_MAX = 100_000

/**
 * Transactions some half message of which a stock broker has given up, as far as this process has read. Every look reads on where
 * the one before ended; the newest 100,000 ids are kept.
 */
export class GivenUpHalves {
  readonly #options: ConnectionOptions
  readonly #ids = new Set<string>()
  /** By broker and queue, what comes next. */
  readonly #offsets = new Map<string, bigint>()
  #consumer: Promise<PullConsumer> | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /**
   * Those of `transactionIds`, of this domain, that were given up.
   * @throws {ClientError} when a broker does not answer
   */
  async of(transactionIds: readonly string[], domainId: string): Promise<string[]> {
    await this.#readOn(domainId)
    return transactionIds.filter((id) => this.#ids.has(id))
  }

  async #readOn(domainId: string): Promise<void> {
    const consumer = await this.#started()
    const queues = await consumer.queues(GIVEN_UP_TOPIC).catch((error: unknown) => {
      // The topic begins with the first of them.
      if ((error as { code?: unknown }).code === 'ROUTE_NOT_FOUND') return []
      throw error
    })
    let pullsLeft = PULLS_PER_LOOK
    for (const queue of queues) {
      const name = `${queue.brokerName} ${queue.queueId}`
      for (; pullsLeft > 0; pullsLeft--) {
        const { messages, nextOffset } = await consumer.pull(queue, this.#offsets.get(name) ?? 0n)
        this.#offsets.set(name, nextOffset)
        for (const { properties } of messages)
          if (properties[DOMAIN] === domainId) this.#add(transactionIdOf(properties))
        if (messages.length === 0) break
      }
    }
  }

  #add(id: string): void {
    this.#ids.add(id)
    if (this.#ids.size <= IDS_MAX) return
    const [oldest] = this.#ids
    if (oldest !== undefined) this.#ids.delete(oldest)
  }

  #started(): Promise<PullConsumer> {
    this.#consumer ??= this.#start().catch((error: unknown) => {
      this.#consumer = undefined
      throw error
    })
    return this.#consumer
  }

  async #start(): Promise<PullConsumer> {
    const consumer = new PullConsumer({ ...this.#options, group: GROUP })
    await consumer.start()
    return consumer
  }

  /** Never rejects. */
  async close(): Promise<void> {
    const consumer = await this.#consumer?.catch(() => undefined)
    await consumer?.close()
  }
}
