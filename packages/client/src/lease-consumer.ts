import { isRetryTopic, PropertyName } from '@tandemmq/protocol'
import { sleep } from '@tandemmq/remoting'
import { AckBatcher } from './ack-batcher.ts'
import { groupConfig, settingsOfConfig } from './admin-groups.ts'
import { ClientError, messageOf, toClientError } from './client-error.ts'
import type { ConsumedMessage } from './consumed-message.ts'
import type { Consumption, ConsumptionPort, PopSource } from './consumption.ts'
import { HandlerRunner } from './handler-runner.ts'
import type { Lease } from './lease.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import type { LeaseLane } from './lease-lane.ts'
import { HAND_BACK_MS, LeaseSettler } from './lease-settler.ts'
import { LeaseSource } from './lease-source.ts'
import { BrokerOffsetStore } from './offset-store.ts'
import { ReconsumeLater, RejectMessage } from './outcome.ts'
import type { QueueConsumer } from './queue-consumer.ts'
import type { TopicRoute } from './route.ts'
import { Rounds } from './rounds.ts'
import { StartOffsets } from './start-offsets.ts'
import type { Subscription } from './subscription.ts'

/** For answers to questions that a broker goes on holding though they were withdrawn: a stock one. */
const LAST_ANSWERS_MS = 500

/**
 * Mode `lease`: RocketMQ 5 POP (remoting.md 2B-POP, broker.md 6). Every member asks every broker of a topic for messages of any of
 * its queues, so there is no assignment and nothing an operator has to switch: a stock broker serves POP_MESSAGE to any client,
 * whereas QUERY_ASSIGNMENT (400) answers "pull" until somebody set the group's request mode (401).
 */
export class LeaseConsumer implements Consumption {
  readonly handlers: HandlerRunner<LeaseLane, Lease>
  readonly #port: ConsumptionPort
  readonly #starts: StartOffsets
  readonly #rounds: Rounds
  readonly #keeper: LeaseKeeper
  readonly #settler: LeaseSettler
  readonly #sources = new Map<string, LeaseSource>()
  #isOrdered: boolean
  #isOrderOpen: boolean
  #isStopped = false
  #lastAnswers: Promise<unknown> = Promise.resolve()

  constructor(port: ConsumptionPort) {
    const { core, group, settings } = port
    this.#port = port
    this.#isOrdered = settings.isOrdered
    this.#isOrderOpen = settings.isOrderOpen
    this.#starts = new StartOffsets(core, new BrokerOffsetStore(core, group), settings.startFrom)
    this.handlers = new HandlerRunner({
      core,
      group,
      concurrencyMax: settings.concurrencyMax,
      handlerTimeoutMs: settings.handlerTimeoutMs,
      subscriptionOf: (_, lease) => this.#subscriptionOf(lease),
      hooks: port.hooks,
      done: (lane, lease) => {
        lane.ended()
        this.#settler.acknowledge(lease)
      },
      failed: (lane, lease, error) => this.#failed(lane, lease, error),
    })
    this.#keeper = new LeaseKeeper({
      core,
      group,
      invisibleMs: settings.invisibleMs,
      isAbandoned: (lease) => this.handlers.isAborted(lease),
      lost: (lease) => this.handlers.abort(lease, new ClientError('LEASE_LOST', 'the message is delivered again')),
    })
    this.#settler = new LeaseSettler({
      core,
      group,
      attemptsMax: () => port.attempts.max,
      acks: new AckBatcher(core, group),
      free: (lease) => this.#free(lease),
    })
    this.#rounds = new Rounds({
      clock: core.clock,
      logger: core.logger,
      name: `search for brokers of ${group}`,
      intervalMs: settings.rebalanceIntervalMs,
      once: () => this.#once(),
    })
  }

  get isOrdered(): boolean {
    return this.#isOrdered
  }

  get sources(): number {
    return this.#sources.size
  }

  get lastAnswerAt(): number {
    return this.popSources().reduce((last, { lastPopAt }) => Math.max(last, lastPopAt), 0)
  }

  start(): Promise<void> {
    return this.#rounds.run()
  }

  refresh(): Promise<void> {
    return this.#rounds.run()
  }

  stopFetching(): void {
    this.#isStopped = true
    const sources = [...this.#sources.values()]
    for (const source of sources) this.#stop(source)
    if (sources.length > 0) this.#lastAnswers = this.#answersOf(sources)
  }

  async giveBack(): Promise<void> {
    await this.#rounds.stop()
    // What they bring is given back too.
    await this.#lastAnswers
    this.#keeper.stop()
    // Their handlers still run; nobody waits for them any more.
    for (const lease of this.#keeper.held) this.#settler.giveBack(lease, HAND_BACK_MS)
    await this.#settler.flush()
  }

  /** Leases belong to their receipts, not to a client id: those that nobody handles end by themselves. */
  abandon(): void {
    this.#keeper.stop()
  }

  queues(): readonly QueueConsumer[] {
    return []
  }

  popSources(): readonly PopSource[] {
    return [...this.#sources.values()]
  }

  /** Positions of a group that leases are the broker's alone. */
  reset(): void {
    return
  }

  /** Makes the sources those of the routes. */
  async #once(): Promise<boolean> {
    const { core } = this.#port
    if (this.#isOrderOpen && !(await this.#askForOrder())) return false
    this.#port.attempts.look()
    let isComplete = true
    const wanted = new Set<string>()
    for (const topic of this.#port.topics()) {
      const route = await this.#routeOf(topic)
      if (route === undefined) isComplete = false
      const names = new Set(route?.readQueues.map(({ brokerName }) => brokerName))
      for (const brokerName of names) wanted.add(`${topic}@${brokerName}`)
      if (route === undefined || this.#isStopped) continue
      try {
        if (!isRetryTopic(topic)) await this.#starts.prepare(topic, route.readQueues)
        for (const brokerName of names) this.#open(topic, brokerName)
      } catch (error) {
        isComplete = false
        core.logger.warn(`${topic} is not asked for messages yet: ${messageOf(error)}`)
      }
    }
    for (const [key, source] of this.#sources) {
      // Without a route nobody knows where a topic is; it may be the name server that does not.
      const isGone = core.routes.find(source.queue.topic) !== undefined || !this.#hasTopic(source.queue.topic)
      if (wanted.has(key) || !isGone) continue
      this.#sources.delete(key)
      this.#stop(source)
    }
    return isComplete
  }

  /** A message that comes again may be the one its consumer died of: the broker hears of it before the handler begins. */
  #subscriptionOf(lease: Lease): Subscription | undefined {
    const subscription = this.#port.subscriptionOf(lease.topic)
    if (subscription === undefined || lease.message.attempt === 1) return subscription
    return {
      ...subscription,
      handler: async (message, context) => {
        await this.#keeper.begin(lease)
        if (lease.state === 'lost') throw new ClientError('LEASE_LOST', 'the message is delivered again')
        return subscription.handler(message, context)
      },
    }
  }

  #hasTopic(topic: string): boolean {
    return this.#port.topics().includes(topic)
  }

  async #routeOf(topic: string): Promise<TopicRoute | undefined> {
    const { routes, logger } = this.#port.core
    const known = routes.find(topic)
    if (known !== undefined && !known.isTemplate) return known
    try {
      return await routes.load(topic)
    } catch (error) {
      if (error instanceof ClientError && error.code === 'ROUTE_NOT_FOUND') this.#starts.topicIsYounger(topic)
      logger.debug(`no route of ${topic} yet: ${messageOf(error)}`)
      return undefined
    }
  }

  #open(topic: string, brokerName: string): void {
    const key = `${topic}@${brokerName}`
    if (this.#sources.has(key) || this.#isStopped) return
    const { core, group, budget, settings } = this.#port
    const source = new LeaseSource(
      {
        core,
        group,
        budget,
        isOrdered: this.#isOrdered,
        isByKey: settings.isByKey,
        invisibleMs: settings.invisibleMs,
        holdMs: settings.holdMs,
        batchMax: settings.pullBatchMax,
        subscriptionOf: (name) => this.#port.subscriptionOf(name),
        arrived: (lease) => this.#arrived(lease),
        wake: (lane) => this.handlers.dispatcher.wake(lane),
        dropped: (lease) => this.#dropped(lease),
      },
      topic,
      brokerName,
    )
    this.#sources.set(key, source)
    source.start()
  }

  async #answersOf(sources: readonly LeaseSource[]): Promise<void> {
    const enough = new AbortController()
    const ended = Promise.all(sources.map((source) => source.ended)).finally(() => enough.abort())
    const { clock } = this.#port.core
    await Promise.race([ended, sleep(clock, LAST_ANSWERS_MS, enough.signal).catch(() => undefined)])
  }

  #stop(source: LeaseSource): void {
    for (const lease of source.stop()) this.#settler.giveBack(lease, HAND_BACK_MS)
  }

  /** @returns true when the answer counts: the group is configured for order or not, or is not configured at all */
  async #askForOrder(): Promise<boolean> {
    const { core, group } = this.#port
    for (const address of core.brokerAddresses()) {
      try {
        const config = await groupConfig(core, address, group)
        this.#isOrdered = config !== undefined && settingsOfConfig(config).ordered
        this.#isOrderOpen = false
        return true
      } catch (error) {
        core.logger.debug(`settings of ${group}: ${toClientError(error, 'ask').message}`)
      }
    }
    return false
  }

  /** @returns false when the message needs no handler */
  #arrived(lease: Lease): boolean {
    const { accepts, settings } = this.#port
    const { message, topic } = lease
    const tags = this.#port.subscriptionOf(topic)?.tags
    // The broker compared hashes only, and different tags share one.
    if ((tags !== undefined && !tags.has(message.tag)) || accepts?.(message) === false) {
      this.#settler.acknowledge(lease)
      return false
    }
    lease.isCounted = true
    lease.origin.waitingForAck++
    lease.origin.bytes += message.storedBytes
    this.#port.budget.take(message.storedBytes)
    this.#keeper.hold(lease)
    const before = message.attempt - 1
    const { max } = this.#port.attempts
    if (settings.isBlocking || before < max || (before === max && this.#isFirstUnseen(message))) return true
    this.#settler
      .bury(lease, `${before} deliveries and none ended`)
      .catch((error: unknown) => this.#port.core.logger.error(`settling failed: ${messageOf(error)}`, error))
    return false
  }

  /** Whether the first delivery counts though it may have reached no handler; of those after it each began. Of what comes in order nobody knows. */
  #isFirstUnseen({ properties }: ConsumedMessage): boolean {
    return this.#isOrdered || properties[PropertyName.FIRST_UNSEEN] !== undefined
  }

  /** Nobody here wants the message, or it is no longer ours. */
  #dropped(lease: Lease): void {
    if (lease.state === 'lost') this.#free(lease)
    else this.#settler.giveBack(lease, HAND_BACK_MS)
  }

  #free(lease: Lease): void {
    this.#keeper.release(lease)
    if (!lease.isCounted) return
    lease.isCounted = false
    lease.origin.waitingForAck--
    lease.origin.bytes -= lease.message.storedBytes
    this.#port.budget.release(1, lease.message.storedBytes)
  }

  #blocks(lease: Lease, error: unknown): boolean {
    if (!this.#port.settings.isBlocking || error instanceof RejectMessage) return false
    return this.#settler.isLast(lease, error)
  }

  async #failed(lane: LeaseLane, lease: Lease, error: unknown): Promise<void> {
    const { logger, clock } = this.#port.core
    const { message } = lease
    lease.hasFailed = true
    const report = error instanceof ReconsumeLater || error instanceof RejectMessage ? 'info' : 'warn'
    logger[report](`handler of ${message.messageId} failed, attempt ${message.attempt}: ${messageOf(error)}`, error)
    if (lease.state === 'held' && this.#isOrdered && this.#blocks(lease, error)) {
      logger.error(
        `${message.messageId} failed ${message.attempt} times: it blocks ${lease.topic} queue ${message.queueId}`,
      )
      return lane.suspend(lease)
    }
    if (lease.state === 'held' && this.#isOrdered && !this.#settler.isLast(lease, error)) {
      message.attempt++
      lane.suspend(lease)
      const delayMs = error instanceof ReconsumeLater ? error.delayMs : this.#port.settings.orderedRetryMs
      clock.setTimer(delayMs, () => {
        lane.resume()
        this.handlers.dispatcher.wake(lane)
      })
      return
    }
    if (lease.state === 'lost') {
      this.#free(lease)
      // It comes again, and what follows it must not be done before that.
      if (this.#isOrdered) for (const behind of lane.takeBehind(lease)) this.#dropped(behind)
    } else if (lease.state === 'held') {
      if (this.#settler.isLast(lease, error)) await this.#settler.bury(lease, messageOf(error))
      else this.#settler.retry(lease, error)
    }
    lane.ended()
  }
}
