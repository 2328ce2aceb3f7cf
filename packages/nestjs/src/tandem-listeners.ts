import { Inject, Injectable, Logger } from '@nestjs/common'
import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common'
import { TandemError } from '@tandemmq/client'
import type { ConsumedMessage, MessageHandler, PushConsumer } from '@tandemmq/client'
import { ListenerDiscovery } from './listener-discovery.ts'
import type { FoundListener } from './listener-discovery.ts'
import { ListenerInvoker } from './listener-invoker.ts'
import { planConsumers } from './listener-plan.ts'
import type { ConsumerPlan } from './listener-plan.ts'
import { messageHandlerOf } from './outcome.ts'
import { TandemConnection } from './tandem-connection.ts'

/**
 * Starts the listeners of an application and ends them in the order that redelivers nothing finished: no new messages
 * from `onModuleDestroy` on, while every provider still works; handlers have ended when `beforeApplicationShutdown`
 * returns; pools that close in `onApplicationShutdown` outlive them.
 */
@Injectable()
export class TandemListeners implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  private readonly connection: TandemConnection
  private readonly discovery: ListenerDiscovery
  private readonly invoker: ListenerInvoker
  private readonly logger = new Logger('TandemListeners')
  private consumers: PushConsumer[] = []
  private started: Promise<void> | undefined
  private stopped: Promise<void> | undefined

  constructor(
    @Inject(TandemConnection) connection: TandemConnection,
    @Inject(ListenerDiscovery) discovery: ListenerDiscovery,
    @Inject(ListenerInvoker) invoker: ListenerInvoker,
  ) {
    this.connection = connection
    this.discovery = discovery
    this.invoker = invoker
  }

  async onApplicationBootstrap(): Promise<void> {
    const plans = this.plan()
    if (this.connection.enabled && this.connection.options.listeners?.autoStart !== false) await this.start(plans)
  }

  /**
   * Starts every listener. Idempotent: Nest runs the bootstrap hooks of a hybrid application twice under
   * `deferInitialization`.
   * @throws {TandemError} LISTENER_INVALID when listeners contradict each other, and whatever the client throws
   */
  start(plans: ConsumerPlan<FoundListener>[] = this.plan()): Promise<void> {
    this.started ??= this.startAll(plans)
    return this.started
  }

  onModuleDestroy(): void {
    this.stopped ??= this.stopAll()
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopped ??= this.stopAll()
    await this.stopped
  }

  /** Contradictions fail the boot even where nothing is started, so that a test without a broker finds them. */
  private plan(): ConsumerPlan<FoundListener>[] {
    const found = this.discovery.find()
    const listeners = found.map((handler) => ({ name: handler.name, options: handler.options, handler }))
    return planConsumers(listeners, { drainTimeoutMs: 25_000, ...this.connection.options.listeners })
  }

  private async startAll(plans: ConsumerPlan<FoundListener>[]): Promise<void> {
    try {
      for (const plan of plans) {
        if (this.stopped !== undefined) return
        const consumer = this.consumerOf(plan)
        this.consumers.push(consumer)
        await consumer.start()
        const topics = plan.listeners.map(({ options }) => options.topic)
        this.logger.log(`group ${plan.group} listens to ${topics.join(', ')}`)
      }
    } catch (error) {
      await this.stopAll()
      this.started = undefined
      throw error
    }
  }

  private consumerOf(plan: ConsumerPlan<FoundListener>): PushConsumer {
    const consumer = this.connection.consumer(plan.group, plan.settings)
    for (const { name, options, handler: found } of plan.listeners) {
      const run = {
        name,
        options,
        invoke: this.invoker.invocationOf(found),
        isPayloadRefusal: this.invoker.isPayloadRefusal.bind(this.invoker),
        reply: async (message: ConsumedMessage, value: unknown) => {
          await (await this.connection.producer()).reply(message, value)
        },
      }
      const { tags, sql } = options
      const selector = sql === undefined ? (tags === undefined ? '*' : { tags: [...tags] }) : { sql }
      const handler = messageHandlerOf(run)
      consumer.subscribe(options.topic, selector, options.inbox ? this.withInbox(options.group, handler) : handler)
    }
    return consumer
  }

  private withInbox(group: string, handler: MessageHandler): MessageHandler {
    const inbox = this.connection.inbox(group)
    return (message, delivery) => {
      const once = inbox.handler((given: ConsumedMessage, trx) =>
        this.connection.scopes.run({ trx, messages: noMessages }, () => handler(given, delivery)),
      )
      return once(message)
    }
  }

  /** `close` stops fetching at once and resolves when the handlers have ended, or after `drainTimeoutMs`. */
  private async stopAll(): Promise<void> {
    const ending = this.consumers
    this.consumers = []
    const results = await Promise.allSettled(ending.map((consumer) => consumer.close()))
    for (const result of results) {
      if (result.status === 'rejected') this.logger.error('stopping a listener failed', result.reason)
    }
  }
}

/** An inbox transaction has no marker row, so nothing could ever decide about a message of it. */
const noMessages = {
  send(message: { topic: string }): never {
    const detail = `enqueue to ${message.topic}: a listener with inbox: true has no outbox transaction; call transaction() in a listener without it`
    throw new TandemError('NO_TRANSACTION', detail)
  },
}
