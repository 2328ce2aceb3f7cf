import { Inject, Injectable, Logger } from '@nestjs/common'
import type { OnApplicationShutdown, OnModuleInit } from '@nestjs/common'
import { Producer, PushConsumer, TandemError } from '@tandemmq/client'
import type { ConnectionOptions } from '@tandemmq/client'
import { Inbox, Outbox } from '@tandemmq/outbox'
import type { Database } from '@tandemmq/outbox'
import { nestLogger } from './nest-logger.ts'
import type { ConsumerSettings } from './listener-plan.ts'
import { overridden } from './module-options.ts'
import type { TandemModuleOptions, TandemOverrides } from './module-options.ts'
import { TANDEM_OPTIONS, TANDEM_OVERRIDES } from './tokens.ts'
import { TransactionScopes } from './transaction-scope.ts'

/** One value made at most once at a time: callers share the attempt, a failed attempt is forgotten. */
class Once<T> {
  private attempt: Promise<T> | undefined
  private readonly make: () => Promise<T>

  constructor(make: () => Promise<T>) {
    this.make = make
  }

  get(): Promise<T> {
    if (this.attempt === undefined) {
      const attempt = this.make()
      this.attempt = attempt
      attempt.catch(() => {
        if (this.attempt === attempt) this.attempt = undefined
      })
    }
    return this.attempt
  }

  /** The value if somebody asked for it and got it. */
  async made(): Promise<T | undefined> {
    return this.attempt?.catch(() => undefined)
  }
}

/** The client objects of one application: what its template sends through and its listeners consume with. */
@Injectable()
export class TandemConnection implements OnModuleInit, OnApplicationShutdown {
  readonly options: TandemModuleOptions
  readonly scopes = new TransactionScopes()
  private readonly logger = new Logger('Tandem')
  private readonly producers: Once<Producer>
  private readonly outboxes: Once<Outbox<Database>>
  private started: Outbox<Database> | undefined
  private closed = false

  constructor(
    @Inject(TANDEM_OPTIONS) options: TandemModuleOptions,
    @Inject(TANDEM_OVERRIDES) private readonly overrides: TandemOverrides,
  ) {
    this.options = checked(overridden(options, overrides.options))
    this.producers = new Once(() => this.startProducer())
    this.outboxes = new Once(() => this.startOutbox())
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

  /** A consumer of `group`, not started. */
  consumer(group: string, settings: ConsumerSettings): PushConsumer {
    return new PushConsumer({ ...this.shared(), ...this.options.listeners?.consumer, ...settings, group })
  }

  /** What remembers, in the listener's transaction, which messages `group` has handled. */
  inbox(group: string): Inbox<Database> {
    const { outbox } = this.options
    if (outbox === undefined) {
      throw new TandemError(
        'LISTENER_INVALID',
        `inbox of group ${group} needs TandemModule.forRoot({ outbox: { database } })`,
      )
    }
    const { database, schema } = outbox
    return new Inbox<Database>({ database, group, ...(schema === undefined ? {} : { schema }) })
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
    await this.overrides.closed?.()
  }

  private async startProducer(): Promise<Producer> {
    this.refuseWhenOff()
    const { group, outbox, producer: settings } = this.options
    // A plain producer in the outbox's group would be asked for outcomes it does not know.
    const own = outbox === undefined ? group : `${group}-send`
    const producer = new Producer({ ...this.shared(), group: own, ...settings })
    await producer.start()
    return producer
  }

  private async startOutbox(): Promise<Outbox<Database>> {
    this.refuseWhenOff()
    const { group, outbox: settings } = this.options
    if (settings === undefined) {
      throw new TandemError('OPTION_INVALID', 'transaction() needs TandemModule.forRoot({ outbox: { database } })')
    }
    const outbox = new Outbox<Database>({
      logger: nestLogger,
      group,
      ...settings,
      nameServers: this.options.nameServers,
    })
    await outbox.start()
    this.started = outbox
    return outbox
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
