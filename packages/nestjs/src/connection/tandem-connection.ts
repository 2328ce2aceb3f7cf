import { Logger } from '@nestjs/common'
import type { OnApplicationShutdown, OnModuleInit } from '@nestjs/common'
import { Producer, PushConsumer, TandemError, TransactionProducer } from '@tandemmq/client'
import type {
  BroadcastOffsetStore,
  ClientHook,
  ConnectionOptions,
  ProducerOptions,
  TransactionProducerOptions,
} from '@tandemmq/client'
import { Inbox, Outbox } from '@tandemmq/outbox'
import type { Database, OutboxStats } from '@tandemmq/outbox'
import type { InboxSettings } from '../listeners/listener-options.ts'
import type { ConsumerSettings } from '../listeners/listener-plan.ts'
import { overridden } from '../module-options.ts'
import type { ConnectionHost, LookUp, TandemModuleOptions } from '../module-options.ts'
import { nestLogger } from '../nest-logger.ts'
import { Telemetry } from '../observability/telemetry.ts'
import { Once } from '../once.ts'
import { DEFAULT_CONNECTION } from '../tokens.ts'
import { databaseOf, hookedTransaction, settingsOfOutbox } from './outbox-wiring.ts'
import { TransactionScopes } from './transaction-scope.ts'
import type { CurrentTransaction } from './transaction-scope.ts'

/** The client objects of one `TandemModule.forRoot`: what its template sends through and its listeners consume with. */
export class TandemConnection implements OnModuleInit, OnApplicationShutdown {
  readonly name: string
  readonly options: TandemModuleOptions
  readonly scopes = new TransactionScopes()
  readonly telemetry: Telemetry
  private readonly host: Partial<ConnectionHost>
  private readonly lookUp: LookUp
  private readonly logger = new Logger('Tandem')
  private readonly inboxes = new Map<string, Promise<Inbox<Database>>>()
  private readonly producers: Once<Producer>
  private readonly outboxes: Once<Outbox<Database>>
  private started: Outbox<Database> | undefined
  private closed = false

  /**
   * @param host the application around it; left out: none
   * @throws {TandemError} OPTION_INVALID
   */
  constructor(options: TandemModuleOptions, host: Partial<ConnectionHost> = {}, name: string = DEFAULT_CONNECTION) {
    this.name = name
    this.host = host
    this.lookUp = (token) => {
      if (host.lookUp === undefined) throw new TandemError('OPTION_INVALID', 'there is no container to ask')
      return host.lookUp(token)
    }
    const { overrides } = host
    this.options = checked(overridden(overridden(options, overrides?.options), overrides?.connections?.[name]))
    this.telemetry = new Telemetry(this.options.telemetry, host.events, name)
    this.producers = new Once(() => this.startProducer())
    this.outboxes = new Once(() => this.startOutbox())
    host.opened?.(this, name)
  }

  get enabled(): boolean {
    return this.options.enabled !== false
  }

  /** Check-back has to answer from the first moment on: another process of the group may have died in between. */
  async onModuleInit(): Promise<void> {
    if (!this.enabled) return
    await this.producer()
    if (this.options.outbox !== undefined) await this.outbox()
  }

  /** Started on first use, also before the application's own hooks ran. */
  producer(): Promise<Producer> {
    return this.producers.get()
  }

  /** @throws {TandemError} OPTION_INVALID when the module was configured without `outbox` */
  outbox(): Promise<Outbox<Database>> {
    return this.outboxes.get()
  }

  /** The same without waiting. @throws {TandemError} NOT_STARTED */
  startedOutbox(): Outbox<Database> {
    if (this.started === undefined) {
      throw new TandemError(
        'NOT_STARTED',
        'the outbox of TandemModule runs only with its option outbox, once the module is initialised',
      )
    }
    return this.started
  }

  /** For a health check: whether a broker is there, and what the outbox counts; undefined for what was not started. */
  async state(): Promise<{ isConnected: boolean | undefined; outbox: OutboxStats | undefined; isClosed: boolean }> {
    const producer = await this.producers.made()
    return { isConnected: producer?.isConnected, outbox: this.started?.stats(), isClosed: this.closed }
  }

  /**
   * A consumer of `group`, not started.
   * @param positions of a broadcasting one, unless the options say where
   */
  consumer(group: string, settings: ConsumerSettings, positions?: BroadcastOffsetStore): PushConsumer {
    const { consumer } = this.options.listeners ?? {}
    const own = { ...consumer, ...settings, group }
    const isBroadcasting = own.mode === 'broadcasting'
    const told = { attemptsMax: own.attemptsMax, isBroadcasting }
    const hooks = [...this.telemetry.eventHooks(told), ...(consumer?.hooks ?? [])]
    const made = new PushConsumer({ broadcastOffsets: positions, ...this.shared(), ...own, hooks })
    return this.telemetry.watch(made, isBroadcasting)
  }

  /** What remembers, in the listener's transaction, which messages `group` has handled; one per group and settings. */
  inbox(group: string, settings: InboxSettings = {}): Promise<Inbox<Database>> {
    const key = JSON.stringify([group, settings])
    const known = this.inboxes.get(key)
    if (known !== undefined) return known
    const made = this.makeInbox(group, settings)
    this.inboxes.set(key, made)
    made.catch(() => this.inboxes.delete(key))
    return made
  }

  /** The transaction that the call runs in: the template's or a listener's, else what the option `currentTransaction` says. */
  currentTransaction(): CurrentTransaction | undefined {
    const scope = this.scopes.current()
    const { outbox } = this.options
    if (scope !== undefined || outbox?.currentTransaction === undefined) return scope
    const trx = hookedTransaction(outbox, this.lookUp)
    if (trx === undefined) return undefined
    return {
      trx,
      messages: {
        send: (message) =>
          this.startedOutbox()
            .join(trx as never)
            .send(message),
      },
    }
  }

  /** Last of all hooks: whatever ran until now may still have sent something. */
  async onApplicationShutdown(): Promise<void> {
    this.closed = true
    for (const [what, made] of [
      ['outbox', this.outboxes.made()],
      ['producer', this.producers.made()],
    ] as const) {
      try {
        await (await made)?.close()
      } catch (error) {
        this.logger.error(`closing the ${what} failed`, error)
      }
    }
    await this.host.closed?.(this)
  }

  private async startProducer(): Promise<Producer> {
    this.refuseWhenOff()
    const { group, outbox, producer: settings } = this.options
    // A plain producer in the outbox's group would be asked for outcomes it does not know.
    const own = outbox === undefined ? group : `${group}-send`
    return this.startProducerOf({ group: own, ...settings })
  }

  /** One more producer, its owner closes it. */
  async startProducerOf(settings: Omit<ProducerOptions, 'nameServers'>): Promise<Producer> {
    this.refuseWhenOff()
    const producer = new Producer({ ...this.shared(), ...settings, hooks: await this.sendHooks(settings.hooks) })
    await producer.start()
    return producer
  }

  /** The same for half messages. */
  async startTransactionProducer(
    settings: Omit<TransactionProducerOptions, 'nameServers'>,
  ): Promise<TransactionProducer> {
    this.refuseWhenOff()
    const producer = new TransactionProducer({
      ...this.shared(),
      ...settings,
      hooks: await this.sendHooks(settings.hooks),
    })
    await producer.start()
    return producer
  }

  private async sendHooks(own: readonly ClientHook[] = []): Promise<ClientHook[]> {
    await this.telemetry.ready()
    return [...this.telemetry.sendHooks(), ...own]
  }

  private async startOutbox(): Promise<Outbox<Database>> {
    this.refuseWhenOff()
    const { group, outbox: settings } = this.options
    if (settings === undefined) {
      throw new TandemError('OPTION_INVALID', 'transaction() needs TandemModule.forRoot({ outbox: { database } })')
    }
    await this.telemetry.ready()
    const outbox = new Outbox<Database>({
      logger: nestLogger,
      group: settings.group ?? group,
      ...settingsOfOutbox(settings),
      database: databaseOf(settings, this.lookUp),
      nameServers: this.options.nameServers,
    })
    await outbox.start()
    this.started = outbox
    return outbox
  }

  private async makeInbox(group: string, settings: InboxSettings): Promise<Inbox<Database>> {
    const { outbox } = this.options
    if (outbox === undefined) {
      throw new TandemError('LISTENER_INVALID', `inbox of group ${group} needs TandemModule.forRoot({ outbox: { … } })`)
    }
    const { schema } = outbox
    const database = databaseOf(outbox, this.lookUp)
    const shared = { database, group, outbox: await this.outbox(), logger: nestLogger }
    return new Inbox<Database>({ ...settings, ...shared, ...(schema === undefined ? {} : { schema }) })
  }

  private shared(): ConnectionOptions {
    return { logger: nestLogger, ...this.options.client, nameServers: this.options.nameServers }
  }

  private refuseWhenOff(): void {
    if (this.closed) throw new TandemError('CLOSED', 'the application is shut down')
    if (!this.enabled) throw new TandemError('NOT_STARTED', 'TandemModule is configured with enabled: false')
  }
}

function checked(options: TandemModuleOptions): TandemModuleOptions {
  if (options?.enabled === false) return options
  const { nameServers, group } = options ?? {}
  if (nameServers === undefined || nameServers.length === 0) {
    throw new TandemError('OPTION_INVALID', 'TandemModule needs nameServers, e.g. "127.0.0.1:9876"')
  }
  if (typeof group !== 'string' || group === '') {
    throw new TandemError('OPTION_INVALID', 'TandemModule needs group, the name of this application')
  }
  return options
}
