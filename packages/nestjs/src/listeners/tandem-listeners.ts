import { Inject, Injectable, Logger } from '@nestjs/common'
import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common'
import { TandemError } from '@tandemmq/client'
import type { TandemConnection } from '../connection/tandem-connection.ts'
import { TandemConnections } from '../connection/tandem-connections.ts'
import { DEFAULT_CONNECTION } from '../tokens.ts'
import { GroupConsumer } from './group-consumer.ts'
import { ListenerConsumers } from './listener-consumers.ts'
import type { ListenerTarget } from './listener-consumers.ts'
import { ListenerDiscovery } from './listener-discovery.ts'
import type { Invocation } from './listener-invoker.ts'
import type { ListenerOptions } from './listener-options.ts'
import { planConsumers } from './listener-plan.ts'
import type { ConsumerPlan, PlannedListener } from './listener-plan.ts'
import type { TandemBatchContext } from './tandem-batch-context.ts'
import { namedOptions } from './typed-listener.ts'
import type { AddedHandler, TypedBatchOptions, TypedListenerOptions } from './typed-listener.ts'

type Plan = ConsumerPlan<ListenerTarget>
type Planned = PlannedListener<ListenerTarget>

/** A group of listeners, as {@link TandemListeners.groups} shows it. */
export interface ListeningGroup {
  connection: string
  group: string
  topics: string[]
  mode: NonNullable<ListenerOptions['mode']>
  isPaused: boolean
}

/**
 * Starts the listeners of an application and ends them in the order that redelivers nothing finished: no new messages
 * from `onModuleDestroy` on, while every provider still works; handlers have ended when `beforeApplicationShutdown`
 * returns; pools that close in `onApplicationShutdown` outlive them.
 */
@Injectable()
export class TandemListeners implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  private readonly connections: TandemConnections
  private readonly discovery: ListenerDiscovery
  private readonly consumers: ListenerConsumers
  private readonly logger = new Logger('TandemListeners')
  /** By connection and group. */
  private readonly running = new Map<string, GroupConsumer<ListenerTarget>>()
  private listeners: Planned[] | undefined
  private started: Promise<void> | undefined
  private stopped: Promise<void> | undefined

  constructor(
    @Inject(TandemConnections) connections: TandemConnections,
    @Inject(ListenerDiscovery) discovery: ListenerDiscovery,
    @Inject(ListenerConsumers) consumers: ListenerConsumers,
  ) {
    this.connections = connections
    this.discovery = discovery
    this.consumers = consumers
  }

  /** Contradictions fail the boot even where nothing is started, so that a test without a broker finds them. */
  async onApplicationBootstrap(): Promise<void> {
    this.plan(this.all())
    const isAutomatic = (connection: TandemConnection): boolean => connection.options.listeners?.autoStart !== false
    await this.startThose(isAutomatic)
  }

  /**
   * Starts every listener. Idempotent: Nest runs the bootstrap hooks of a hybrid application twice under
   * `deferInitialization`.
   * @throws {TandemError} LISTENER_INVALID when listeners contradict each other, and whatever the client throws
   */
  start(): Promise<void> {
    this.started ??= this.startThose(() => true).catch((error: unknown) => {
      this.started = undefined
      throw error
    })
    return this.started
  }

  /** The application ends: nothing is fetched any more. */
  get isEnding(): boolean {
    return this.stopped !== undefined
  }

  /** Every group that listens, also one that is paused. */
  groups(): ListeningGroup[] {
    return [...this.running].map(([key, { plan, isPaused }]) => {
      const [connection] = JSON.parse(key) as [string]
      const { group, listeners, settings } = plan
      const topics = topicsOf(listeners)
      return { connection, group, topics, mode: settings.mode ?? 'clustering', isPaused }
    })
  }

  /**
   * Stops the listeners of a group in this process; it leaves the group, so other processes get the messages. Resolves when
   * running handlers have ended, at most `drainTimeoutMs` later.
   * @throws {TandemError} LISTENER_INVALID when nothing of the group was started
   */
  pause(group: string, connection?: string): Promise<void> {
    return this.groupOf(group, connection).pause()
  }

  /** Undoes {@link pause}: from the group's position, also in a broadcasting one. @throws as pause, and as start */
  resume(group: string, connection?: string): Promise<void> {
    return this.groupOf(group, connection).resume()
  }

  /**
   * A listener from now on. Joining a group that listens already restarts its consumer: running handlers end first.
   * @param handler called with payload and context; guards, interceptors and pipes do not see it. With a topic of `defineTopic`
   *   one that does not fit it does not compile.
   * @throws {TandemError} LISTENER_INVALID when it contradicts the others; NOT_STARTED when the application is ending or the
   * connection is off; whatever the client throws, and then it is not added
   */
  async add<Out>(
    options: TypedBatchOptions<Out>,
    handler: AddedHandler<NoInfer<Out>[], void, TandemBatchContext>,
  ): Promise<void>
  async add<Out, Reply>(
    options: TypedListenerOptions<Out, Reply> & { batch?: never },
    handler: AddedHandler<NoInfer<Out>, NoInfer<Reply>>,
  ): Promise<void>
  async add(options: ListenerOptions, handler: Invocation): Promise<void>
  async add(
    given: ListenerOptions | TypedListenerOptions<unknown, unknown>,
    handler: Invocation | AddedHandler<never, unknown, never>,
  ): Promise<void> {
    const options = namedOptions(given)
    const listener: Planned = { name: `added for ${options.topic}`, options, handler: handler as Invocation }
    const { group, connection } = options
    this.refuseUnstarted(group, connection)
    const plan = this.planOf([...this.all(), listener], group, connection) as Plan
    this.all().push(listener)
    try {
      await this.changeTo(plan, connection)
    } catch (error) {
      this.listeners = this.all().filter((one) => one !== listener)
      throw error
    }
  }

  /**
   * Ends the listeners of a group, or only those of `topic`. Resolves when running handlers have ended.
   * @throws {TandemError} LISTENER_INVALID when there is no such listener
   */
  async remove(group: string, topic?: string, connection?: string): Promise<void> {
    const isMeant = ({ options }: Planned): boolean =>
      keyOf(options.group, options.connection) === keyOf(group, connection) &&
      (topic ?? options.topic) === options.topic
    const left = this.all().filter((listener) => !isMeant(listener))
    const consumer = this.groupOf(group, connection)
    if (left.length === this.all().length) refuse(`no listener of group ${group} listens to ${String(topic)}`)
    this.listeners = left
    const plan = this.planOf(left, group, connection)
    if (plan !== undefined) return consumer.change(plan)
    this.running.delete(keyOf(group, connection))
    await consumer.close()
  }

  onModuleDestroy(): void {
    this.stopped ??= this.stopAll()
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopped ??= this.stopAll()
    await this.stopped
  }

  private all(): Planned[] {
    this.listeners ??= this.discovery
      .find()
      .map((handler) => ({ name: handler.name, options: handler.options, handler }))
    return this.listeners
  }

  /** The consumers of every connection. */
  private plan(listeners: readonly Planned[]): Map<TandemConnection, Plan[]> {
    const names = new Set(listeners.map(({ options }) => options.connection ?? DEFAULT_CONNECTION))
    const plans = new Map<TandemConnection, Plan[]>()
    for (const name of names) {
      const own = listeners.filter(({ options }) => (options.connection ?? DEFAULT_CONNECTION) === name)
      const connection = this.connectionOf(name, own)
      plans.set(connection, planConsumers(own, { drainTimeoutMs: 25_000, ...connection.options.listeners }))
    }
    return plans
  }

  private planOf(listeners: readonly Planned[], group: string, name: string | undefined): Plan | undefined {
    const plans = this.plan(
      listeners.filter(({ options }) => keyOf(options.group, options.connection) === keyOf(group, name)),
    )
    return [...plans.values()].flat()[0]
  }

  private connectionOf(name: string, listeners: readonly Planned[]): TandemConnection {
    try {
      return this.connections.get(name)
    } catch (cause) {
      const names = listeners.map((listener) => listener.name).join(', ')
      throw new TandemError('LISTENER_INVALID', `${names}: ${(cause as Error).message}`, { cause })
    }
  }

  private async startThose(isMeant: (connection: TandemConnection) => boolean): Promise<void> {
    const plans = [...this.plan(this.all())].filter(([connection]) => connection.enabled && isMeant(connection))
    try {
      for (const [connection, plan] of plans.flatMap(([one, own]) => own.map((each) => [one, each] as const))) {
        if (this.stopped !== undefined) return
        await this.startOne(connection, plan)
      }
    } catch (error) {
      await this.stopAll()
      throw error
    }
  }

  private async startOne(connection: TandemConnection, plan: Plan): Promise<void> {
    const key = keyOf(plan.group, connection.name)
    if (this.running.has(key)) return this.running.get(key)?.start()
    const consumer = new GroupConsumer(plan, (now, positions) => this.consumers.make(connection, now, positions))
    this.running.set(key, consumer)
    try {
      await consumer.start()
    } catch (error) {
      this.running.delete(key)
      throw error
    }
    this.logger.log(`group ${plan.group} listens to ${topicsOf(plan.listeners).join(', ')}`)
  }

  private async changeTo(plan: Plan, name: string | undefined): Promise<void> {
    const known = this.running.get(keyOf(plan.group, name))
    await (known === undefined ? this.startOne(this.connections.get(name), plan) : known.change(plan))
  }

  private refuseUnstarted(group: string, name: string | undefined): void {
    if (this.stopped === undefined && this.connections.get(name).enabled) return
    throw new TandemError('NOT_STARTED', `group ${group}: the application is ending, or its connection is off`)
  }

  private groupOf(group: string, connection: string | undefined): GroupConsumer<ListenerTarget> {
    const found = this.running.get(keyOf(group, connection))
    return (
      found ?? refuse(`no listener of group ${group} was started on connection ${connection ?? DEFAULT_CONNECTION}`)
    )
  }

  private async stopAll(): Promise<void> {
    const ending = [...this.running.values()]
    this.running.clear()
    const results = await Promise.allSettled(ending.map((consumer) => consumer.close()))
    for (const result of results) {
      if (result.status === 'rejected') this.logger.error('stopping a listener failed', result.reason)
    }
  }
}

function topicsOf(listeners: readonly Planned[]): string[] {
  return [...new Set(listeners.map(({ options }) => options.topic))]
}

function keyOf(group: string, connection: string = DEFAULT_CONNECTION): string {
  return JSON.stringify([connection, group])
}

function refuse(detail: string): never {
  throw new TandemError('LISTENER_INVALID', detail)
}
