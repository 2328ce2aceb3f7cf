import { messageOf, toClientError } from '../../client-error.ts'
import type { MessageQueue } from '../../cluster/route.ts'
import type { Consumption, ConsumptionPort, PopSource } from '../consumption.ts'
import { HandlerRunner } from '../handler-runner.ts'
import { BrokerOffsetStore, OwnOffsetStore } from '../offset-store.ts'
import { StartOffsets } from '../start-offsets.ts'
import { Assignment } from './assignment.ts'
import { ConsumeSettler } from './consume-settler.ts'
import type { Delivery } from './consume-window.ts'
import type { QueueConsumer } from './queue-consumer.ts'
import { QueueSet } from './queue-set.ts'

/** Modes `clustering` and `broadcasting`: whole queues are assigned to this member, which pulls and commits them. */
export class QueueConsumption implements Consumption {
  readonly isOrdered: boolean
  readonly handlers: HandlerRunner<QueueConsumer, Delivery>
  readonly #port: ConsumptionPort
  readonly #queues: QueueSet
  readonly #assignment: Assignment

  constructor(port: ConsumptionPort) {
    const { core, group, settings } = port
    const { isBroadcasting, isOrdered, isBlocking, orderedRetryMs, rebalanceIntervalMs } = settings
    this.isOrdered = isOrdered
    this.#port = port
    const settler = new ConsumeSettler({
      ...{ core, group, isBroadcasting, isBlocking, orderedRetryMs },
      attemptsMax: () => port.attempts.max,
    })
    this.handlers = new HandlerRunner({
      core,
      group,
      concurrencyMax: settings.concurrencyMax,
      handlerTimeoutMs: settings.handlerTimeoutMs,
      hooks: port.hooks,
      subscriptionOf: ({ queue }) => port.subscriptionOf(queue.topic),
      done: (queue, delivery) => queue.finish(delivery),
      failed: (queue, delivery, error) => settler.failed(queue, delivery, error),
    })
    const offsets = isBroadcasting
      ? new OwnOffsetStore(group, settings.broadcastOffsets, (error) =>
          core.logger.warn(`position of ${group} not stored: ${messageOf(error)}`),
        )
      : new BrokerOffsetStore(core, group)
    const starts = new StartOffsets(core, offsets, settings.startFrom)
    this.#queues = new QueueSet({
      context: {
        core,
        group,
        budget: port.budget,
        dispatcher: this.handlers.dispatcher,
        pullBatchMax: settings.pullBatchMax,
        holdMs: settings.holdMs,
        accepts: port.accepts,
        subscriptionOf: (topic) => port.subscriptionOf(topic),
        moved: (queue, offset) => this.#moved(queue, offset),
      },
      offsets,
      starts,
      isOrdered,
      commitIntervalMs: settings.commitIntervalMs,
      lockIntervalMs: rebalanceIntervalMs,
    })
    this.#assignment = new Assignment({
      core,
      group,
      isBroadcasting,
      starts,
      allocate: settings.allocate,
      intervalMs: rebalanceIntervalMs,
      topics: () => port.topics(),
      conflict: (topics, address) => port.conflict(topics, address),
      assign: (topic, mine, all, isHandedOver) => this.#queues.assign(topic, mine, all, isHandedOver),
    })
  }

  get sources(): number {
    return this.#queues.all.length
  }

  get lastAnswerAt(): number {
    return this.#queues.all.reduce((last, { lastPullAt }) => Math.max(last, lastPullAt), 0)
  }

  start(): Promise<void> {
    this.#queues.start()
    return this.refresh()
  }

  refresh(): Promise<void> {
    if (!this.#port.settings.isBroadcasting) this.#port.attempts.look()
    return this.#assignment.run()
  }

  stopFetching(): void {
    this.#queues.stopPulling()
  }

  async giveBack(): Promise<void> {
    await this.#assignment.stop()
    await this.#queues.giveBackAll().catch((error: unknown) => {
      const { core, group } = this.#port
      core.logger.warn(`last commit of ${group} failed: ${toClientError(error, 'close').message}`)
    })
  }

  abandon(): void {
    this.#assignment.stop().catch(() => undefined)
    this.#queues.abandon()
  }

  queues(): readonly QueueConsumer[] {
    return this.#queues.all
  }

  popSources(): readonly PopSource[] {
    return []
  }

  reset(queue: MessageQueue, offset: number): void {
    const consumer = this.#queues.find(queue)
    if (consumer !== undefined) this.#moved(consumer, offset)
  }

  #moved(queue: QueueConsumer, offset: number): void {
    const { logger } = this.#port.core
    logger.info(`the broker moved ${queue.queue.topic} queue ${queue.queue.queueId} to ${offset}`)
    this.#queues
      .reset(queue, offset)
      .catch((error: unknown) => logger.warn(`new position not committed: ${messageOf(error)}`))
  }
}
