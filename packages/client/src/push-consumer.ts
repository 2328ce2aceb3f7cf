import type { HeaderView } from '@tandemmq/protocol'
import { RequestCode, retryTopic } from '@tandemmq/protocol'
import type { Connection, Timer } from '@tandemmq/remoting'
import { Assignment } from './assignment.ts'
import { CacheBudget } from './cache-budget.ts'
import { ClientCore } from './client-core.ts'
import { ClientError, errorOfAnswer, messageOf, toClientError } from './client-error.ts'
import { ConsumeSettler } from './consume-settler.ts'
import type { Delivery } from './consume-window.ts'
import { answerBroker } from './consumer-requests.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Filter, Membership } from './heartbeat.ts'
import { BrokerOffsetStore, OwnOffsetStore } from './offset-store.ts'
import { checkGroup, checkTopic, settingsOf } from './options.ts'
import type { ConsumerSettings, PushConsumerOptions } from './push-consumer-options.ts'
import { consumerSettings } from './push-consumer-options.ts'
import type { ConsumeContext } from './queue-consumer.ts'
import { QueueConsumer } from './queue-consumer.ts'
import { QueueSet } from './queue-set.ts'
import { StartOffsets } from './start-offsets.ts'
import type { MessageHandler, Subscription } from './subscription.ts'
import { RunningHandler, subscriptionOf } from './subscription.ts'

/** Numbers of a consumer at this moment. */
export interface PushConsumerStats {
  readonly queues: number
  readonly cachedMessages: number
  readonly cachedBytes: number
  readonly runningHandlers: number
  readonly consumed: number
  readonly failed: number
}

/**
 * Gets messages pushed into handlers. Delivery is at least once: a message comes again when its handler threw, when the
 * process died before its position was committed (at most `commitIntervalMs` later), and may come again when the group
 * changes. `close()` waits for running handlers and commits, so nothing finished comes again after it.
 *
 * Works with TandemMQ and with Apache RocketMQ 4.9 and 5.x; members of a group may be of either kind of client.
 */
export class PushConsumer {
  readonly group: string
  readonly clientId: string
  readonly #settings: ConsumerSettings
  readonly #core: ClientCore
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #queues: QueueSet
  readonly #dispatcher: Dispatcher<QueueConsumer>
  readonly #budget: CacheBudget
  readonly #assignment: Assignment
  readonly #settler: ConsumeSettler
  readonly #running = new Map<Delivery, RunningHandler>()
  #sweep: Timer | undefined
  #startedAt = 0
  #consumed = 0
  #failed = 0
  #closed: Promise<void> | undefined
  #isOver = false

  /** @throws {ClientError} OPTION_INVALID, GROUP_NAME_INVALID */
  constructor(options: PushConsumerOptions) {
    this.group = checkGroup(options.group)
    const settings = settingsOf(options)
    this.#settings = consumerSettings(options)
    const { isBroadcasting, isOrdered, startFrom, rebalanceIntervalMs } = this.#settings
    this.clientId = settings.clientId
    this.#core = new ClientCore(settings, {
      membership: () => this.#membership(),
      onRequest: (connection, header) => this.#onRequest(connection, header),
    })
    const core = this.#core
    const { group } = this
    this.#budget = new CacheBudget(this.#settings)
    this.#dispatcher = new Dispatcher(this.#settings.concurrencyMax, (queue, delivery) => this.#run(queue, delivery))
    const offsets = isBroadcasting
      ? new OwnOffsetStore(group, options.broadcastOffsets, (error) =>
          core.logger.warn(`position of ${group} not stored: ${messageOf(error)}`),
        )
      : new BrokerOffsetStore(core, group)
    const starts = new StartOffsets(core, offsets, startFrom)
    const context: ConsumeContext = {
      core,
      group,
      budget: this.#budget,
      dispatcher: this.#dispatcher,
      pullBatchMax: this.#settings.pullBatchMax,
      holdMs: this.#settings.holdMs,
      subscriptionOf: (topic) => this.#subscriptions.get(topic),
      moved: (queue, offset) => this.#moved(queue, offset),
    }
    this.#queues = new QueueSet({
      context,
      offsets,
      starts,
      isOrdered,
      commitIntervalMs: this.#settings.commitIntervalMs,
      lockIntervalMs: rebalanceIntervalMs,
    })
    this.#assignment = new Assignment({
      core,
      group,
      isBroadcasting,
      starts,
      intervalMs: rebalanceIntervalMs,
      topics: () => [...this.#subscriptions.keys()],
      assign: (topic, mine, all) => this.#queues.assign(topic, mine, all),
    })
    const { attemptsMax, orderedRetryMs } = this.#settings
    this.#settler = new ConsumeSettler({ core, group, isBroadcasting, attemptsMax, orderedRetryMs })
    core.routes.onChange = () => this.#rebalance()
  }

  /**
   * Chooses what to get. Again for the same topic: replaces the choice. All members of a group should choose the same.
   * @param filter `'*'`, `{ tags: ['created', 'paid'] }` or `{ sql: "region = 'eu'" }`
   * @throws {ClientError} SUBSCRIPTION_INVALID, TOPIC_NAME_INVALID, CLOSED
   */
  subscribe(topic: string, filter: Filter, handler: MessageHandler): this {
    if (this.#closed !== undefined) throw new ClientError('CLOSED', `consumer ${this.group} is closed`)
    this.#subscriptions.set(topic, subscriptionOf(checkTopic(topic), filter, handler, this.#core.clock.now()))
    if (this.#core.isStarted) this.#announce()
    return this
  }

  /**
   * Joins the group and takes its first queues. A cluster that cannot be reached is not an error: the search goes on in
   * the background.
   * @throws {ClientError} SUBSCRIPTION_INVALID when the broker refuses a filter; CLOSED
   */
  async start(): Promise<void> {
    if (this.#closed !== undefined) throw new ClientError('CLOSED', `consumer ${this.group} is closed`)
    if (this.#core.isStarted) return
    const core = this.#core
    core.start()
    this.#startedAt = core.clock.now()
    if (!this.#settings.isBroadcasting) this.#subscribeRetries()
    await this.#findBrokers()
    const refused = (await core.heartbeat()).find((failure) => failure.code === 'SUBSCRIPTION_INVALID')
    if (refused !== undefined) throw refused
    await this.#checkExpressions()
    this.#queues.start()
    this.#sweepHandlers()
    await this.#assignment.run()
  }

  /**
   * Pulls no more, waits up to `drainTimeoutMs` for running handlers (then aborts their signals), commits what is
   * finished, leaves the group. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  stats(): PushConsumerStats {
    return {
      queues: this.#queues.all.length,
      cachedMessages: this.#budget.messages,
      cachedBytes: this.#budget.bytes,
      runningHandlers: this.#dispatcher.running,
      consumed: this.#consumed,
      failed: this.#failed,
    }
  }

  #membership(): Membership {
    const { isBroadcasting, startFrom } = this.#settings
    const where = startFrom instanceof Date ? 'TIMESTAMP' : startFrom === 'first' ? 'FIRST_OFFSET' : 'LAST_OFFSET'
    return {
      producers: [],
      consumers: [
        {
          groupName: this.group,
          consumeType: 'CONSUME_PASSIVELY',
          messageModel: isBroadcasting ? 'BROADCASTING' : 'CLUSTERING',
          consumeFromWhere: `CONSUME_FROM_${where}` as const,
          subscriptionDataSet: [...this.#subscriptions.values()].map((subscription) => subscription.data),
          unitMode: false,
        },
      ],
    }
  }

  #subscribeRetries(): void {
    const topic = retryTopic(this.group)
    const handler: MessageHandler = (message, context) => {
      const subscription = this.#subscriptions.get(message.topic)
      if (subscription !== undefined) return subscription.handler(message, context)
      throw new ClientError('SUBSCRIPTION_NOT_EXIST', `retry of topic ${message.topic}, which has no handler here`)
    }
    this.#subscriptions.set(topic, subscriptionOf(topic, '*', handler, this.#core.clock.now()))
  }

  async #findBrokers(): Promise<void> {
    const { routes, logger } = this.#core
    await Promise.all(
      [...this.#subscriptions.keys()].map((topic) =>
        routes.load(topic).catch((error: unknown) => logger.debug(`no route of ${topic}: ${messageOf(error)}`)),
      ),
    )
    if (routes.brokers().length > 0) return
    await routes
      .discover()
      .catch((error: unknown) => logger.warn(`consumer ${this.group} found no broker yet: ${messageOf(error)}`))
  }

  /** SQL is compiled by the broker; a stock one would deliver unfiltered when it cannot. */
  async #checkExpressions(): Promise<void> {
    const core = this.#core
    const expressions = [...this.#subscriptions.values()].filter(({ data }) => data.expressionType === 'SQL92')
    for (const { data } of expressions) {
      for (const address of core.brokerAddresses()) {
        const body = Buffer.from(JSON.stringify({ clientId: this.clientId, group: this.group, subscriptionData: data }))
        const answer = await core.request(address, { code: RequestCode.CHECK_CLIENT_CONFIG, body })
        if (answer.code === 0) continue
        const error = errorOfAnswer(answer.code, answer.remark, `subscription ${data.subString} of ${data.topic}`)
        throw new ClientError('SUBSCRIPTION_INVALID', error.message, { cause: error })
      }
    }
  }

  #announce(): void {
    this.#core
      .heartbeat()
      .then(() => this.#assignment.run())
      .catch((error: unknown) => this.#core.logger.warn(`subscription not announced: ${messageOf(error)}`))
  }

  #rebalance(): void {
    if (!this.#core.isStarted || this.#closed !== undefined || this.#startedAt === 0) return
    this.#assignment.run().catch((error: unknown) => this.#core.logger.warn(`rebalance failed: ${messageOf(error)}`))
  }

  #moved(queue: QueueConsumer, offset: number): void {
    this.#core.logger.info(`the broker moved ${queue.queue.topic} queue ${queue.queue.queueId} to ${offset}`)
    this.#queues
      .reset(queue, offset)
      .catch((error: unknown) => this.#core.logger.warn(`new position not committed: ${messageOf(error)}`))
  }

  #onRequest(connection: Connection, header: HeaderView): boolean {
    return answerBroker(
      {
        group: this.group,
        isOrdered: this.#settings.isOrdered,
        startedAt: this.#startedAt,
        nameServers: this.#core.settings.nameServers,
        queues: this.#queues.all,
        subscriptions: [...this.#subscriptions.values()],
        rebalance: () => this.#rebalance(),
        reset: (queue, offset) => {
          const consumer = this.#queues.find(queue)
          if (consumer !== undefined) this.#moved(consumer, offset)
        },
      },
      connection,
      header,
    )
  }

  #run(queue: QueueConsumer, delivery: Delivery): void {
    const context = new RunningHandler(this.#core.clock.monotonic())
    this.#running.set(delivery, context)
    let result: unknown
    try {
      const subscription = this.#subscriptions.get(queue.queue.topic)
      if (subscription === undefined) throw new ClientError('SUBSCRIPTION_NOT_EXIST', queue.queue.topic)
      result = subscription.handler(delivery.message, context)
    } catch (error) {
      this.#handlerFailed(queue, delivery, error)
      return
    }
    if (isThenable(result)) {
      result.then(
        () => this.#handlerDone(queue, delivery),
        (error: unknown) => this.#handlerFailed(queue, delivery, error),
      )
    } else this.#handlerDone(queue, delivery)
  }

  #handlerDone(queue: QueueConsumer, delivery: Delivery): void {
    this.#consumed++
    queue.finish(delivery)
    this.#ended(queue, delivery)
  }

  #handlerFailed(queue: QueueConsumer, delivery: Delivery, error: unknown): void {
    this.#failed++
    // After close() gave up waiting there is no connection left, and the message comes again by itself.
    const settled = this.#isOver ? Promise.resolve() : this.#settler.failed(queue, delivery, error)
    settled
      .catch((failure: unknown) => this.#core.logger.error(`settling failed: ${messageOf(failure)}`, failure))
      .finally(() => this.#ended(queue, delivery))
  }

  #ended(queue: QueueConsumer, delivery: Delivery): void {
    this.#running.delete(delivery)
    this.#dispatcher.finished(queue)
  }

  #sweepHandlers(): void {
    const { clock, logger } = this.#core
    const { handlerTimeoutMs } = this.#settings
    this.#sweep = clock.setTimer(Math.min(1_000, handlerTimeoutMs), () => {
      const oldest = clock.monotonic() - handlerTimeoutMs
      for (const [delivery, running] of this.#running) {
        if (running.startedAt > oldest || running.isAborted) continue
        logger.warn(`the handler of ${delivery.message.messageId} runs for more than ${handlerTimeoutMs} ms`)
        running.abort(new ClientError('ABORTED', `the handler ran for more than ${handlerTimeoutMs} ms`))
      }
      if (this.#closed === undefined) this.#sweepHandlers()
    })
  }

  async #close(): Promise<void> {
    const core = this.#core
    this.#sweep?.cancel()
    this.#dispatcher.stop()
    this.#queues.stopPulling()
    if (core.isStarted) {
      await this.#drain()
      this.#isOver = true
      await this.#assignment.stop()
      await this.#queues.giveBackAll().catch((error: unknown) => {
        core.logger.warn(`last commit of ${this.group} failed: ${toClientError(error, 'close').message}`)
      })
    }
    await core.close()
  }

  async #drain(): Promise<void> {
    const { clock, settings, logger } = this.#core
    let timer: Timer | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = clock.setTimer(settings.drainTimeoutMs, resolve)
    })
    await Promise.race([this.#dispatcher.idle(), deadline])
    timer?.cancel()
    if (this.#running.size === 0) return
    logger.warn(`consumer ${this.group} closed while ${this.#running.size} handlers were running`)
    for (const running of this.#running.values()) {
      running.abort(new ClientError('ABORTED', 'the consumer was closed before the handler ended'))
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
