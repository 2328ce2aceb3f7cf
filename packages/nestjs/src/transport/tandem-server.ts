import { Logger } from '@nestjs/common'
import { Server } from '@nestjs/microservices'
import type { ConsumerDeserializer, MessageHandler } from '@nestjs/microservices'
import { TandemError } from '@tandemmq/client'
import type { PushConsumer } from '@tandemmq/client'
import type { Observable } from 'rxjs'
import { TandemConnection } from '../connection/tandem-connection.ts'
import { moveWatchesInside } from '../listeners/handler-watch.ts'
import { planConsumers } from '../listeners/listener-plan.ts'
import type { ConsumerPlan } from '../listeners/listener-plan.ts'
import type { TandemContext } from '../listeners/tandem-context.ts'
import type { TandemModuleOptions } from '../module-options.ts'
import { tandemTransport } from '../tokens.ts'
import type { PatternExtras } from './tandem-patterns.ts'
import type { TandemTransports } from './tandem-transports.ts'
import { deliveryHandler } from './transport-delivery.ts'
import { handlerKeys, handlerOptions, subscriptionsOf } from './transport-plan.ts'
import type { TransportHandler } from './transport-plan.ts'

/** Where a server or client of the transport gets its producer and consumers from. */
export type TransportConnection =
  /** One of `TandemModule`, which stays open when the server or client closes. */
  | { connection: TandemConnection }
  /** One of its own; options as for `TandemModule.forRoot`. */
  | Pick<TandemModuleOptions, 'nameServers' | 'group' | 'listeners' | 'producer' | 'client' | 'enabled'>

export type TandemServerOptions = TransportConnection & {
  /** Consumer group of handlers that name none. Default: the connection's `group`. */
  defaultGroup?: string
  /** Name that handlers give as `connection`. Default: those that give none. */
  name?: string
  /**
   * Turns what was read from the body into what the handler gets: `deserialize(payload, { topic, message })` returns a packet
   * with `data`, now or later. Default: the body's JSON as it is, also when it has fields `pattern` and `data`.
   */
  deserializer?: ConsumerDeserializer
  /** Tells the server when the application is up and when it ends. Given by `connectTandem` and `tandemStrategy`. */
  lifecycle?: TandemTransports
  /** Called when the server begins to close: where that ends the application, whatever else fetches ends at the same time. */
  closing?: () => void
  /** Groups that something else of this process consumes with, and its name. */
  groupsTaken?: () => ReadonlyMap<string, string>
}

/** `connecting`, then `listening`; `draining` while running handlers end, then `closed`; `failed` when it could not start. */
export type TandemServerStatus = 'connecting' | 'listening' | 'draining' | 'closed' | 'failed'

/** What {@link TandemServer.on} tells. */
export type TandemServerEvents = {
  /** A handler has ended without an error. */
  consumed: (context: TandemContext) => void
  /** It has not; what becomes of the message follows from the error. */
  failed: (context: TandemContext, error: unknown) => void
}

/**
 * Nest's transport for controllers: `NestFactory.createMicroservice(App, { strategy: new TandemServer({ nameServers, group }) })`.
 * In an application with `TandemModule` use `connectTandem(app)` or `tandemStrategy()`: they share the module's connection and stop
 * fetching before anything is torn down, which a strategy alone cannot do when a signal ends the process.
 *
 * A handler is known by its group, topic and tag, so that one topic may have handlers in several groups, each of which gets
 * every message. Subscriptions exist for what handlers declare and nothing else.
 */
export class TandemServer extends Server<TandemServerEvents, TandemServerStatus> {
  /** Failures settle the message and are logged with it, so Nest need not report them. */
  override readonly propagatesEventHandlerErrors = true
  private readonly options: TandemServerOptions
  private readonly connection: TandemConnection
  private readonly ownsConnection: boolean
  private readonly handlers: TransportHandler<MessageHandler>[] = []
  private readonly watchers: { [E in keyof TandemServerEvents]: TandemServerEvents[E][] } = { consumed: [], failed: [] }
  private readonly log = new Logger('TandemServer')
  private consumers: PushConsumer[] = []
  private starting: Promise<void> | undefined
  private closing: Promise<void> | undefined

  /** @throws {TandemError} OPTION_INVALID without `nameServers` or `group` */
  constructor(options: TandemServerOptions) {
    super()
    this.options = options
    this.ownsConnection = !('connection' in options)
    this.connection = 'connection' in options ? options.connection : new TandemConnection(options, {})
    this.transportId = tandemTransport(options.name)
    moveWatchesInside()
  }

  override get status(): Observable<TandemServerStatus> {
    return super.status
  }

  /** Registers one more watcher, also before `listen`. What it throws is logged and changes nothing. */
  override on<E extends keyof TandemServerEvents = keyof TandemServerEvents>(
    event: E,
    callback: TandemServerEvents[E],
  ): void {
    this.watchers[event].push(callback)
  }

  /** The consumers, one per group. @throws {TandemError} NOT_STARTED */
  override unwrap<T = PushConsumer[]>(): T {
    if (this.consumers.length === 0) throw new TandemError('NOT_STARTED', 'the transport has no consumer running')
    return [...this.consumers] as T
  }

  /**
   * Called by Nest for each pattern of each controller.
   * @throws {TandemError} LISTENER_INVALID when a message could reach two handlers of one group
   */
  override addHandler(
    pattern: unknown,
    callback: MessageHandler,
    isEventHandler = false,
    extras: PatternExtras = {},
  ): void {
    const group = this.options.defaultGroup ?? this.connection.options.group
    const options = handlerOptions(pattern, extras, group)
    const handler = { name: extras.handler ?? `handler of ${String(pattern)}`, options, handler: callback }
    subscriptionsOf([...this.handlers, handler])
    callback.isEventHandler = isEventHandler
    callback.extras = extras
    this.handlers.push(handler)
    for (const key of handlerKeys(options)) this.messageHandlers.set(key, callback)
  }

  /** By its key (a JSON array of group, topic and `tag x`, `sql x` or `*`), or by topic when that has one handler. */
  override getHandlerByPattern(pattern: string): MessageHandler | null {
    const known = this.messageHandlers.get(pattern)
    if (known !== undefined) return known
    const [only, ...others] = this.handlers.filter(({ options }) => options.topic === pattern)
    return only !== undefined && others.length === 0 ? only.handler : null
  }

  /**
   * Begins to consume, or arranges that it begins once the application's providers are initialised. Failures go to `callback`.
   */
  override listen(callback: (error?: unknown) => unknown): void {
    this.begin().then(
      () => callback(),
      (error: unknown) => {
        this._status$.next('failed')
        callback(error)
      },
    )
  }

  /** Fetches no more, waits for running handlers as long as `listeners.drainTimeoutMs` says. Idempotent. */
  override close(): Promise<void> {
    this.closing ??= this.end()
    return this.closing
  }

  private async begin(): Promise<void> {
    const plans = this.plan()
    if (!this.connection.enabled) return
    const { lifecycle } = this.options
    if (lifecycle?.isWaiting === true) lifecycle.whenReady(() => this.start(plans))
    else await this.start(plans)
  }

  private plan(): ConsumerPlan<TransportHandler<MessageHandler>[]>[] {
    const defaults = { drainTimeoutMs: 25_000, ...this.connection.options.listeners }
    const plans = planConsumers(subscriptionsOf(this.handlers), defaults)
    const taken = this.options.groupsTaken?.()
    for (const { group, listeners } of plans) {
      const other = taken?.get(group)
      if (other === undefined) continue
      const names = listeners.map(({ name }) => name).join(', ')
      const detail = `${other} and ${names} share group ${group}: two members in one process would split its messages`
      throw new TandemError('LISTENER_INVALID', `${detail}; give one of them another group`)
    }
    return plans
  }

  /** Once: Nest runs the bootstrap hooks of a hybrid application twice under `deferInitialization`. */
  private start(plans: ConsumerPlan<TransportHandler<MessageHandler>[]>[]): Promise<void> {
    this.starting ??= this.startAll(plans)
    return this.starting
  }

  private async startAll(plans: ConsumerPlan<TransportHandler<MessageHandler>[]>[]): Promise<void> {
    this._status$.next('connecting')
    try {
      for (const plan of plans) {
        if (this.closing !== undefined) return
        const consumer = this.consumerOf(plan)
        this.consumers.push(consumer)
        await consumer.start()
        this.log.log(`group ${plan.group} listens to ${plan.listeners.map(({ options }) => options.topic).join(', ')}`)
      }
      if (this.closing === undefined) this._status$.next('listening')
    } catch (error) {
      await this.closeConsumers()
      this._status$.next('failed')
      throw error
    }
  }

  private consumerOf(plan: ConsumerPlan<TransportHandler<MessageHandler>[]>): PushConsumer {
    const consumer = this.connection.consumer(plan.group, plan.settings)
    for (const { options, handler: handlers } of plan.listeners) {
      const { tags, sql } = options
      const selector = sql === undefined ? (tags === undefined ? '*' : { tags: [...new Set(tags)] }) : { sql }
      const deliver = deliveryHandler(handlers, {
        producer: () => this.connection.producer(),
        deserializer: this.options.deserializer,
        process: (context, work) => this.process(context, work),
      })
      consumer.subscribe(options.topic, selector, deliver)
    }
    return consumer
  }

  /**
   * Runs `work` between the hooks instrumentation sets. The start hook calls `done` and returns its promise; a hook that only
   * calls it later, or returns nothing, must not make a message count as consumed before its handler ended.
   */
  private async process<T>(context: TandemContext, work: () => Promise<T>): Promise<T> {
    let running: Promise<T> | undefined
    const done = (): Promise<T> => {
      running ??= work().finally(() => this.onProcessingEndHook?.(this.transportId as symbol, context))
      return running
    }
    try {
      const hooked: unknown = this.onProcessingStartHook(this.transportId as symbol, context, done)
      if (running === undefined) await hooked
      if (running === undefined) throw new TandemError('NOT_STARTED', 'the processing hook did not run the handler')
      const value = await running
      this.tell('consumed', (watcher) => watcher(context))
      return value
    } catch (error) {
      this.tell('failed', (watcher) => watcher(context, error))
      throw error
    }
  }

  private tell<E extends keyof TandemServerEvents>(event: E, call: (watcher: TandemServerEvents[E]) => void): void {
    for (const watcher of this.watchers[event]) {
      try {
        call(watcher)
      } catch (error) {
        this.log.error(`what watches for ${event} threw`, error)
      }
    }
  }

  private async end(): Promise<void> {
    this._status$.next('draining')
    this.options.closing?.()
    await this.closeConsumers()
    // One that was starting closes what it had begun only when it sees that we end.
    await this.starting?.catch(() => {})
    await this.closeConsumers()
    if (this.ownsConnection) await this.connection.onApplicationShutdown()
    this._status$.next('closed')
  }

  private async closeConsumers(): Promise<void> {
    const ending = this.consumers
    this.consumers = []
    for (const result of await Promise.allSettled(ending.map((consumer) => consumer.close()))) {
      if (result.status === 'rejected') this.log.error('stopping a consumer failed', result.reason)
    }
  }
}
