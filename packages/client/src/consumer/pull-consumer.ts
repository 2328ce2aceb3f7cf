import { ClientError, messageOf } from '../client-error.ts'
import { ClientCore } from '../cluster/client-core.ts'
import type { Filter, Membership } from '../cluster/heartbeat.ts'
import { subscriptionData } from '../cluster/heartbeat.ts'
import type { MessageQueue } from '../cluster/route.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import { readMessages } from '../message/record-reader.ts'
import type { GroupOptions } from '../options.ts'
import { checkGroup, checkTopic, settingsOf } from '../options.ts'
import { sharedController } from '../shared-signal.ts'
import { MessageStream } from './message-stream.ts'
import { maxOffset, minOffset, offsetAt } from './offset-requests.ts'
import { BrokerOffsetStore } from './offset-store.ts'
import type { PullAnswer } from './pull-request.ts'
import { pull } from './pull-request.ts'
import { sortQueues } from './queue/rebalance.ts'
import { checkedFilter } from './subscription.ts'

export interface PullConsumerOptions extends GroupOptions {
  /** How long the broker may hold a pull when nothing is there, ms. Default 15,000. */
  holdMs?: number | undefined
}

/** A place in a queue: the next message to read. */
export interface QueuePosition {
  readonly brokerName: string
  readonly queueId: number
  readonly offset: bigint
}

/**
 * `first`, `last` (only what comes from now on), an instant (by store time), positions (queues not named start at their
 * beginning), or `committed` (where `commit` left off; a queue without a position starts at its beginning).
 */
export type ReadFrom = 'first' | 'last' | 'committed' | Date | readonly QueuePosition[]

export interface ReadOptions {
  /** Default `first`. */
  from?: ReadFrom | undefined
  /** Default `'*'`. */
  filter?: Filter | undefined
  /** Aborted: the loop ends, without an error. */
  signal?: AbortSignal | undefined
  /** Messages asked for at a time per queue. Default 64. */
  batchMax?: number | undefined
}

export interface PullOptions {
  /** Default 32. */
  batchMax?: number | undefined
  /** How long the broker may wait for a message, ms. Default 0. */
  waitMs?: number | undefined
  /** Default `'*'`. */
  filter?: Filter | undefined
  signal?: AbortSignal | undefined
}

/** What one pull of one queue gave. */
export interface PullResult {
  readonly messages: readonly ConsumedMessage[]
  /** Where to go on. */
  readonly nextOffset: bigint
  readonly minOffset: bigint
  readonly maxOffset: bigint
}

/**
 * Reads topics at the application's own pace and from any position. It does not share queues with other members of its
 * group, commits nothing by itself, and is not part of any rebalance.
 */
export class PullConsumer {
  readonly group: string
  readonly #core: ClientCore
  readonly #offsets: BrokerOffsetStore
  readonly #holdMs: number
  readonly #closing = sharedController()
  #closed: Promise<void> | undefined

  /** @throws {ClientError} OPTION_INVALID, GROUP_NAME_INVALID */
  constructor(options: PullConsumerOptions) {
    this.group = checkGroup(options.group)
    this.#holdMs = options.holdMs ?? 15_000
    this.#core = new ClientCore(settingsOf(options), { membership: () => this.#membership(), onRequest: () => false })
    this.#offsets = new BrokerOffsetStore(this.#core, this.group)
  }

  /** Registers the group with the brokers, which lets it commit. Unreachable brokers are not an error. */
  async start(): Promise<void> {
    if (this.#closed !== undefined) throw new ClientError('CLOSED', `consumer ${this.group} is closed`)
    if (this.#core.isStarted) return
    this.#core.start()
    try {
      await this.#core.routes.discover()
      await this.#core.heartbeat()
    } catch (error) {
      this.#core.logger.warn(`consumer ${this.group} found no broker yet: ${messageOf(error)}`)
    }
  }

  /** Ends all loops over `messages` and leaves. Idempotent. */
  close(): Promise<void> {
    this.#closing.abort()
    this.#closed ??= this.#core.close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Every message of the topic, each queue in its order, then waits for new ones; ends when `signal` is aborted, the loop
   * is left, or the consumer closed. Reads at most one batch per queue ahead. Queues added meanwhile are not read.
   * @throws {ClientError} ROUTE_NOT_FOUND when the topic does not exist, SUBSCRIPTION_INVALID; connection failures are waited out
   */
  messages(topic: string, options: ReadOptions = {}): AsyncIterableIterator<ConsumedMessage> {
    checkTopic(topic)
    const filter = checkedFilter(topic, options.filter ?? '*')
    return new MessageStream({
      core: this.#core,
      signals: options.signal === undefined ? [this.#closing.signal] : [this.#closing.signal, options.signal],
      open: async () => {
        this.#core.requireStarted()
        const queues = await this.queues(topic)
        const positions = await Promise.all(queues.map((queue) => this.#startOf(queue, options.from ?? 'first')))
        return queues.map((queue, index) => ({ queue, offset: positions[index] ?? 0 }))
      },
      pull: (queue, offset, signal) => this.#pull(queue, offset, options.batchMax ?? 64, this.#holdMs, filter, signal),
    })
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND */
  async queues(topic: string): Promise<readonly MessageQueue[]> {
    this.#core.requireStarted()
    return sortQueues((await this.#core.routes.load(checkTopic(topic))).readQueues)
  }

  /** One pull. An offset outside the queue gives no message and the nearest valid `nextOffset`. */
  async pull(queue: MessageQueue, offset: bigint, options: PullOptions = {}): Promise<PullResult> {
    this.#core.requireStarted()
    const filter = checkedFilter(queue.topic, options.filter ?? '*')
    await this.#know(queue)
    const { batchMax = 32, waitMs = 0, signal } = options
    const { answer, messages } = await this.#pull(queue, Number(offset), batchMax, waitMs, filter, signal)
    return {
      messages,
      nextOffset: BigInt(answer.nextOffset),
      minOffset: BigInt(answer.minOffset),
      maxOffset: BigInt(answer.maxOffset),
    }
  }

  /** Stores the group's position: everything up to and including this message is done. */
  async commit(message: ConsumedMessage): Promise<void>
  /** Stores the group's position in a queue: `offset` is the next message to read. */
  async commit(queue: MessageQueue, offset: bigint): Promise<void>
  async commit(place: ConsumedMessage | MessageQueue, offset?: bigint): Promise<void> {
    this.#core.requireStarted()
    const { topic, brokerName, queueId } = place
    const next = offset ?? (place as ConsumedMessage).queueOffset + 1n
    await this.#know(place)
    await this.#offsets.write({ topic, brokerName, queueId }, Number(next))
  }

  /** The group's position in a queue; undefined when it never committed. */
  async committed(queue: MessageQueue): Promise<bigint | undefined> {
    this.#core.requireStarted()
    await this.#know(queue)
    const offset = await this.#offsets.read(queue)
    return offset === undefined ? undefined : BigInt(offset)
  }

  #membership(): Membership {
    return {
      producers: [],
      consumers: [
        {
          groupName: this.group,
          consumeType: 'CONSUME_ACTIVELY',
          messageModel: 'BROADCASTING',
          consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
          subscriptionDataSet: [],
          unitMode: false,
        },
      ],
    }
  }

  /** Where a queue given from outside lives; its topic may not have been asked for yet. */
  async #know(queue: MessageQueue): Promise<void> {
    if (this.#core.routes.addressOf(queue.brokerName) === undefined) await this.#core.routes.load(queue.topic)
  }

  async #startOf(queue: MessageQueue, from: ReadFrom): Promise<number> {
    if (from === 'last') return maxOffset(this.#core, queue)
    if (from instanceof Date) return offsetAt(this.#core, queue, from)
    if (from === 'committed') return (await this.#offsets.read(queue)) ?? minOffset(this.#core, queue)
    if (from !== 'first') {
      const given = from.find((one) => one.brokerName === queue.brokerName && one.queueId === queue.queueId)
      if (given !== undefined) return Number(given.offset)
    }
    return minOffset(this.#core, queue)
  }

  async #pull(
    queue: MessageQueue,
    offset: number,
    messagesMax: number,
    holdMs: number,
    filter: Filter,
    signal: AbortSignal | undefined,
  ): Promise<{ answer: PullAnswer; messages: ConsumedMessage[] }> {
    // The expression travels in the pull: this group has no subscription a heartbeat could carry.
    const subscription = subscriptionData(queue.topic, filter, 0)
    const request = { group: this.group, queue, offset, messagesMax, holdMs, subVersion: 0, subscription }
    const answer = await pull(this.#core, request, signal)
    const messages: ConsumedMessage[] = []
    if (answer.status === 'found') {
      const tags = subscription.tagsSet.length > 0 ? new Set(subscription.tagsSet) : undefined
      readMessages(answer.body, queue.brokerName, this.group, (message) => {
        if (tags === undefined || tags.has(message.tag)) messages.push(message)
      })
    }
    return { answer, messages }
  }
}
