import type { HeaderView } from '@tandemmq/protocol'
import { RequestCode, retryTopic } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { ClientError, errorOfAnswer, messageOf } from '../client-error.ts'
import { ClientCore } from '../cluster/client-core.ts'
import type { Filter, Membership } from '../cluster/heartbeat.ts'
import type { Observation } from '../hooks/observation.ts'
import { observationOf } from '../hooks/observation.ts'
import type { TraceStats } from '../hooks/trace-dispatcher.ts'
import { checkGroup, checkTopic, settingsOf } from '../options.ts'
import { CacheBudget } from './cache-budget.ts'
import { answerBroker } from './consumer-requests.ts'
import type { Consumption, ConsumptionPort } from './consumption.ts'
import { GroupAttempts } from './group-attempts.ts'
import { LeaseConsumer } from './lease/lease-consumer.ts'
import type { ConsumerSettings, PushConsumerOptions } from './push-consumer-options.ts'
import { consumerSettings } from './push-consumer-options.ts'
import { QueueConsumption } from './queue/queue-consumption.ts'
import { ConflictWatch } from './subscription-conflicts.ts'
import type { MessageHandler, Subscription } from './subscription.ts'
import { subscriptionOf } from './subscription.ts'

/** Answers to a first heartbeat that will not get better by waiting. */
const REFUSALS: ReadonlySet<string> = new Set(['SUBSCRIPTION_INVALID', 'CLIENT_ID_TAKEN'])

/** Numbers of a consumer at this moment. */
export interface PushConsumerStats {
  /** Queues assigned; with mode `lease` the pairs of topic and broker that are asked for messages. */
  readonly queues: number
  readonly cachedMessages: number
  readonly cachedBytes: number
  readonly runningHandlers: number
  readonly consumed: number
  readonly failed: number
  /** Trace records sent and dropped; undefined without option `trace`. */
  readonly traces: TraceStats | undefined
  /** A connection to a broker is open on which this member is registered. */
  readonly isConnected: boolean
  /** When a broker last answered a question for messages, also with none; by the client's clock, ms. 0 = never. */
  readonly lastAnswerAt: number
}

/**
 * Gets messages pushed into handlers. Delivery is at least once: a message comes again when its handler threw, when the
 * process died before its position was committed (at most `commitIntervalMs` later) or its lease acknowledged, and may
 * come again when the group changes. `close()` waits for running handlers and commits, so nothing finished comes again.
 *
 * Works with TandemMQ and with Apache RocketMQ 4.9 and 5.x (mode `lease`: 5.x); members of a group may be of either kind
 * of client.
 */
export class PushConsumer {
  readonly group: string
  readonly clientId: string
  readonly #settings: ConsumerSettings
  readonly #core: ClientCore
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #conflicts: ConflictWatch
  readonly #budget: CacheBudget
  readonly #consumption: Consumption
  readonly #observation: Observation
  #startedAt = 0
  #closed: Promise<void> | undefined

  /** @throws {ClientError} OPTION_INVALID, GROUP_NAME_INVALID */
  constructor(options: PushConsumerOptions) {
    this.group = checkGroup(options.group)
    const settings = settingsOf(options)
    this.#settings = consumerSettings(options)
    this.clientId = settings.clientId
    this.#core = new ClientCore(settings, {
      membership: () => this.#membership(),
      onRequest: (connection, header) => this.#onRequest(connection, header),
      onTaken: (reason) => this.#onTaken(reason),
      onHeartbeat: (answer, connection) =>
        this.#conflicts.saw(answer.extFields['subscriptionConflict'], (init) =>
          connection.request(init, settings.requestTimeoutMs),
        ),
    })
    this.#observation = observationOf(this.#core, this.group, options)
    this.#conflicts = new ConflictWatch(this.group, settings.logger)
    this.#budget = new CacheBudget(this.#settings)
    const port: ConsumptionPort = {
      core: this.#core,
      group: this.group,
      settings: this.#settings,
      budget: this.#budget,
      attempts: new GroupAttempts(this.#core, this.group, this.#settings.attemptsMax),
      topics: () => [...this.#subscriptions.keys()],
      conflict: (topics, address) => this.#conflicts.saw(topics, (init) => this.#core.request(address, init)),
      subscriptionOf: (topic) => this.#subscriptions.get(topic),
      hooks: this.#observation.hooks,
      accepts: this.#accepts(options.filter),
    }
    this.#consumption = this.#settings.isLeasing ? new LeaseConsumer(port) : new QueueConsumption(port)
    this.#core.routes.onChange = () => this.#refresh()
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
   * @throws {ClientError} SUBSCRIPTION_INVALID when the broker refuses a filter; CLIENT_ID_TAKEN; with
   *   `strictSubscriptions` SUBSCRIPTION_CONFLICT naming who wants what, closed then; CLOSED
   */
  async start(): Promise<void> {
    if (this.#closed !== undefined) throw new ClientError('CLOSED', `consumer ${this.group} is closed`)
    if (this.#core.isStarted) return
    const core = this.#core
    core.start()
    this.#startedAt = core.clock.now()
    if (!this.#settings.isBroadcasting) this.#subscribeRetries()
    await this.#findBrokers()
    const refused = (await core.heartbeat()).find(({ code }) => REFUSALS.has(code))
    if (refused !== undefined) throw refused
    await this.#checkExpressions()
    const conflict = this.#settings.isStrict ? await this.#conflicts.current() : undefined
    if (conflict !== undefined) {
      await this.close()
      throw conflict
    }
    this.#consumption.handlers.start()
    await this.#consumption.start()
  }

  /**
   * Asks for no more messages, waits up to `drainTimeoutMs` for running handlers (then aborts their signals), commits or
   * acknowledges what is finished, leaves the group. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  stats(): PushConsumerStats {
    const { handlers, sources } = this.#consumption
    return {
      queues: sources,
      cachedMessages: this.#budget.messages,
      cachedBytes: this.#budget.bytes,
      runningHandlers: handlers.running,
      consumed: handlers.consumed,
      failed: handlers.failed,
      traces: this.#observation.trace?.stats,
      isConnected: this.#core.isConnected,
      lastAnswerAt: this.#consumption.lastAnswerAt,
    }
  }

  #membership(): Membership {
    const { isBroadcasting, startFrom } = this.#settings
    const where = startFrom instanceof Date ? 'TIMESTAMP' : startFrom === 'first' ? 'FIRST_OFFSET' : 'LAST_OFFSET'
    return {
      absenceMs: this.#settings.rejoinMs,
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

  #accepts(filter: PushConsumerOptions['filter']): ConsumptionPort['accepts'] {
    if (filter === undefined) return undefined
    return (message) => {
      try {
        return filter(message)
      } catch (error) {
        // Handled once too often is harmless, never handled is not.
        this.#core.logger.error(`the filter threw for ${message.messageId}, it is handled: ${messageOf(error)}`, error)
        return true
      }
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
      .then(() => this.#consumption.refresh())
      .catch((error: unknown) => this.#core.logger.warn(`subscription not announced: ${messageOf(error)}`))
  }

  #refresh(): void {
    if (!this.#core.isStarted || this.#closed !== undefined || this.#startedAt === 0) return
    this.#consumption
      .refresh()
      .catch((error: unknown) => this.#core.logger.warn(`rebalance failed: ${messageOf(error)}`))
  }

  #onRequest(connection: Connection, header: HeaderView): boolean {
    return answerBroker(
      {
        group: this.group,
        startedAt: this.#startedAt,
        settings: this.#settings,
        core: this.#core,
        consumption: this.#consumption,
        subscriptions: this.#subscriptions,
        refresh: () => this.#refresh(),
      },
      connection,
      header,
    )
  }

  /** What is under way belongs to the other program now: nothing of it is committed. */
  #onTaken(reason: ClientError): void {
    if (this.#closed !== undefined) return
    const { logger } = this.#core
    logger.error(`consumer ${this.group} ${this.clientId} stops: ${reason.message}`, reason)
    this.#consumption.handlers.stop()
    this.#consumption.stopFetching()
    this.#consumption.abandon()
    this.#closed = this.#consumption.handlers
      .drain()
      .then(() => this.#core.close())
      .catch((error: unknown) => logger.warn(`closing ${this.group} failed: ${messageOf(error)}`))
  }

  async #close(): Promise<void> {
    const core = this.#core
    const { handlers } = this.#consumption
    handlers.stop()
    this.#consumption.stopFetching()
    if (core.isStarted) {
      await handlers.drain()
      await this.#consumption.giveBack()
    }
    await this.#observation.trace?.close(core.settings.drainTimeoutMs)
    await core.close()
  }
}
