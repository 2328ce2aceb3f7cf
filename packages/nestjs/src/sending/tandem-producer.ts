import type { OnApplicationShutdown, OnModuleInit } from '@nestjs/common'
import { Logger } from '@nestjs/common'
import { TandemError } from '@tandemmq/client'
import type {
  CancelOutcome,
  OutgoingMessage,
  PreparedMessage,
  PrepareOptions,
  Producer,
  ProducerOptions,
  ReplyMessage,
  RequestOptions,
  SendOptions,
  SendReceipt,
  TimerKey,
  TransactionOutcome,
  TransactionProducer,
} from '@tandemmq/client'
import type { TandemConnections } from '../connection/tandem-connections.ts'
import { Once } from '../once.ts'
import type { TransactionListeners } from '../transaction/transaction-listeners.ts'
import { ask } from './ask.ts'

/** A producer of `TandemModule.forFeature`; also any option of a client's producer. */
export interface ProducerDefinition extends Partial<Omit<ProducerOptions, 'nameServers' | 'group'>> {
  /** For `@InjectProducer(name)` and `@TransactionListener({ producer: name })`. */
  name: string
  /** Producer group; default: the name. Transactional and plain producers need different groups. */
  group?: string
  /** True: `sendInTransaction`, answered for by the provider with `@TransactionListener({ producer: name })`. Default false. */
  transactional?: boolean
}

/** A producer of its own group: its name decides who is asked about its half messages. Started with the application. */
export class TandemProducer implements OnModuleInit, OnApplicationShutdown {
  readonly name: string
  readonly group: string
  readonly connection: string
  private readonly definition: ProducerDefinition
  private readonly connections: TandemConnections
  private readonly listeners: TransactionListeners
  private readonly logger = new Logger('TandemProducer')
  private readonly plain: Once<Producer>
  private readonly transactional: Once<TransactionProducer>

  /** @throws {TandemError} OPTION_INVALID without a name */
  constructor(
    definition: ProducerDefinition,
    connection: string,
    connections: TandemConnections,
    listeners: TransactionListeners,
  ) {
    if (typeof definition.name !== 'string' || definition.name === '') {
      throw new TandemError('OPTION_INVALID', 'a producer of forFeature needs a name')
    }
    this.name = definition.name
    this.group = definition.group ?? definition.name
    this.connection = connection
    this.definition = definition
    this.connections = connections
    this.listeners = listeners
    this.plain = new Once(() => this.startPlain())
    this.transactional = new Once(() => this.startTransactional())
    if (definition.transactional === true) listeners.declare(this.name, connection)
    connections.opened(this)
  }

  /** Check-backs are answered from the start, also for what another process of the group left behind. */
  async onModuleInit(): Promise<void> {
    if (this.definition.transactional === true) this.listeners.of(this.name, this.connection)
    if (!this.connections.get(this.connection).enabled) return
    await (this.definition.transactional === true ? this.transactional.get() : this.plain.get())
  }

  /** As {@link TandemTemplate.send}. */
  async send(message: OutgoingMessage, options?: SendOptions): Promise<SendReceipt> {
    return (await this.plain.get()).send(message, options)
  }

  /** As {@link TandemTemplate.sendAll}. */
  async sendAll(messages: readonly OutgoingMessage[], options?: SendOptions): Promise<SendReceipt[]> {
    return (await this.plain.get()).sendAll(messages, options)
  }

  /** As {@link TandemTemplate.sendOneway}. */
  sendOneway(message: OutgoingMessage): void {
    this.plain.get().then(
      (producer) => producer.sendOneway(message),
      (error: unknown) => this.logger.error(`one-way message to ${message.topic} was not sent`, error),
    )
  }

  /** As {@link TandemTemplate.cancel}. */
  async cancel(target: SendReceipt | TimerKey): Promise<CancelOutcome> {
    return (await this.plain.get()).cancel(target)
  }

  /** As {@link TandemTemplate.request}. */
  async request(message: OutgoingMessage, options?: RequestOptions): Promise<ReplyMessage> {
    return ask(await this.plain.get(), message, options)
  }

  /**
   * Stores a half message, runs `executeLocalTransaction` of this producer's {@link TransactionListener}, and commits or rolls
   * back as it says. An outcome `pending` is settled by the check-back.
   * @param argument handed to `executeLocalTransaction`
   * @throws what `executeLocalTransaction` threw, after a rollback; {TandemError} OPTION_INVALID when the producer is not
   * transactional or its listener has no such method; as {@link send} when the half message was not stored
   */
  async sendInTransaction(
    message: OutgoingMessage,
    argument?: unknown,
    options?: PrepareOptions,
  ): Promise<PreparedMessage & { readonly outcome: TransactionOutcome }> {
    if (this.definition.transactional !== true) {
      throw new TandemError('OPTION_INVALID', `producer ${this.name} is not declared with transactional: true`)
    }
    const listener = this.listeners.of(this.name, this.connection)
    if (listener.executeLocalTransaction === undefined) {
      throw new TandemError('OPTION_INVALID', `the listener of producer ${this.name} has no executeLocalTransaction`)
    }
    const producer = await this.transactional.get()
    const execute = async (prepared: PreparedMessage) =>
      listener.executeLocalTransaction?.(message, argument, prepared) ?? 'unknown'
    return producer.sendInTransaction(message, execute, options)
  }

  /** With the connections, last of all. */
  async onApplicationShutdown(): Promise<void> {
    for (const made of [this.transactional.made(), this.plain.made()]) {
      try {
        await (await made)?.close()
      } catch (error) {
        this.logger.error(`closing producer ${this.name} failed`, error)
      }
    }
    await this.connections.closed(this)
  }

  private startPlain(): Promise<Producer> {
    const { name: _, group: __, transactional, ...settings } = this.definition
    // Who sends plainly from the group of the half messages would be asked about them.
    const group = transactional === true ? `${this.group}-send` : this.group
    return this.connections.get(this.connection).startProducerOf({ ...settings, group })
  }

  private startTransactional(): Promise<TransactionProducer> {
    const { name: _, group: __, transactional: ___, ...settings } = this.definition
    const { name, connection, group } = this
    return this.connections.get(connection).startTransactionProducer({
      ...settings,
      group,
      check: async (message) => this.listeners.of(name, connection).checkLocalTransaction(message),
    })
  }
}
