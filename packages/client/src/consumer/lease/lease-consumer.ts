import { PropertyName } from '@tandemmq/protocol'
import { groupConfig, settingsOfConfig } from '../../admin/admin-groups.ts'
import { ClientError, messageOf, toClientError } from '../../client-error.ts'
import type { ConsumedMessage } from '../../message/consumed-message.ts'
import { ReconsumeLater, RejectMessage } from '../../message/outcome.ts'
import type { Consumption, ConsumptionPort, PopSource } from '../consumption.ts'
import { HandlerRunner } from '../handler-runner.ts'
import { BrokerOffsetStore } from '../offset-store.ts'
import type { QueueConsumer } from '../queue/queue-consumer.ts'
import { StartOffsets } from '../start-offsets.ts'
import type { Subscription } from '../subscription.ts'
import { AckBatcher } from './ack-batcher.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import type { LeaseLane } from './lease-lane.ts'
import { HAND_BACK_MS, LeaseSettler } from './lease-settler.ts'
import { LeaseSource } from './lease-source.ts'
import { LeaseSources } from './lease-sources.ts'
import type { Lease } from './lease.ts'

/**
 * Mode `lease`: RocketMQ 5 POP (remoting.md 2B-POP, broker.md 6). Every member asks every broker of a topic for messages of any of
 * its queues, so there is no assignment and nothing an operator has to switch: a stock broker serves POP_MESSAGE to any client,
 * whereas QUERY_ASSIGNMENT (400) answers "pull" until somebody set the group's request mode (401).
 */
export class LeaseConsumer implements Consumption {
  readonly handlers: HandlerRunner<LeaseLane, Lease>
  readonly #port: ConsumptionPort
  readonly #keeper: LeaseKeeper
  readonly #settler: LeaseSettler
  readonly #sources: LeaseSources
  #isOrdered: boolean
  #isOrderOpen: boolean

  constructor(port: ConsumptionPort) {
    const { core, group, settings } = port
    this.#port = port
    this.#isOrdered = settings.isOrdered
    this.#isOrderOpen = settings.isOrderOpen
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
    this.#sources = new LeaseSources({
      core,
      group,
      intervalMs: settings.rebalanceIntervalMs,
      starts: new StartOffsets(core, new BrokerOffsetStore(core, group), settings.startFrom),
      topics: () => port.topics(),
      prepare: () => this.#prepare(),
      make: (topic, brokerName) => this.#sourceOf(topic, brokerName),
      unwanted: (lease) => this.#settler.giveBack(lease, HAND_BACK_MS),
    })
  }

  get isOrdered(): boolean {
    return this.#isOrdered
  }

  get sources(): number {
    return this.#sources.all.length
  }

  get lastAnswerAt(): number {
    return this.popSources().reduce((last, { lastPopAt }) => Math.max(last, lastPopAt), 0)
  }

  start(): Promise<void> {
    return this.#sources.run()
  }

  refresh(): Promise<void> {
    return this.#sources.run()
  }

  stopFetching(): void {
    this.#sources.stop()
  }

  async giveBack(): Promise<void> {
    // What comes last is given back too.
    await this.#sources.ended()
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
    return this.#sources.all
  }

  /** Positions of a group that leases are the broker's alone. */
  reset(): void {
    return
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

  #sourceOf(topic: string, brokerName: string): LeaseSource {
    const { core, group, budget, settings } = this.#port
    return new LeaseSource(
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
  }

  /** @returns false when it is not known yet whether order counts */
  async #prepare(): Promise<boolean> {
    if (this.#isOrderOpen && !(await this.#askForOrder())) return false
    this.#port.attempts.look()
    return true
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
