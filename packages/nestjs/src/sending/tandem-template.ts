import { Logger } from '@nestjs/common'
import { isTopic, TandemError } from '@tandemmq/client'
import type {
  CancelOutcome,
  MessageFields,
  OutgoingMessage,
  Producer,
  ReplyMessage,
  RequestOptions,
  SendOptions,
  SendReceipt,
  TimerKey,
  TimerTime,
  Topic,
} from '@tandemmq/client'
import type { Database, Messages, TransactionOf, TransactionOptions } from '@tandemmq/outbox'
import type { Knex } from 'knex'
import type { TandemConnection } from '../connection/tandem-connection.ts'
import { ask } from './ask.ts'

/**
 * Sends. Everything fails with a `TandemError`: branch on `code`, ask `retryable`.
 *
 * `D` is the database of the module and decides what a transaction hands out: `Knex.Transaction` for knex (default),
 * `PoolClient` for `TandemTemplate<pg.Pool>`.
 */
export class TandemTemplate<D extends Database = Knex> {
  private readonly connection: TandemConnection
  private readonly logger = new Logger('TandemTemplate')
  private startedProducer: Producer | undefined

  constructor(connection: TandemConnection) {
    this.connection = connection
  }

  /**
   * Sends now, whatever becomes of a transaction around the call; {@link enqueue} is the one that joins it.
   * Resolved: the broker has stored it as its flush policy says.
   *
   * With a topic of `defineTopic`: `send(orders, payload, { tag, keys, … })`, rejected with PAYLOAD_INVALID before anything
   * is sent when the payload does not fit.
   */
  send(message: OutgoingMessage, options?: SendOptions): Promise<SendReceipt>
  send<In>(
    topic: Topic<In, unknown, unknown>,
    payload: NoInfer<In>,
    fields?: MessageFields,
    options?: SendOptions,
  ): Promise<SendReceipt>
  async send(
    first: OutgoingMessage | Topic,
    second?: unknown,
    fields?: MessageFields,
    options?: SendOptions,
  ): Promise<SendReceipt> {
    if (!isTopic(first)) return (await this.producer()).send(first, second as SendOptions | undefined)
    const message = await first.messageLater(second, fields)
    return (await this.producer()).send(message, options)
  }

  /** Many in as few requests as possible, one receipt each. Not atomic: when it rejects, some may have been stored. */
  async sendAll(messages: readonly OutgoingMessage[], options?: SendOptions): Promise<SendReceipt[]> {
    return (await this.producer()).sendAll(messages, options)
  }

  /**
   * Sends without waiting for an answer; a failure is logged, nothing else tells.
   * @throws {TandemError} PAYLOAD_INVALID, and OPTION_INVALID when the topic's schema answers later
   */
  sendOneway(message: OutgoingMessage): void
  sendOneway<In>(topic: Topic<In, unknown, unknown>, payload: NoInfer<In>, fields?: MessageFields): void
  sendOneway(first: OutgoingMessage | Topic, payload?: unknown, fields?: MessageFields): void {
    const message = isTopic(first) ? first.message(payload, fields) : first
    if (this.startedProducer !== undefined) return this.startedProducer.sendOneway(message)
    this.producer().then(
      (producer) => producer.sendOneway(message),
      (error: unknown) => this.logger.error(`one-way message to ${message.topic} was not sent`, error),
    )
  }

  /** Undoes a delayed send, or all that wait under `{ topic, key }`: `'cancelled' | 'fired' | 'unknown'`. */
  async cancel(target: SendReceipt | TimerKey): Promise<CancelOutcome> {
    return (await this.producer()).cancel(target)
  }

  /** Moves a delayed message, or all that wait under `{ topic, key }`, to another time; see {@link Producer.reschedule}. */
  async reschedule(target: SendReceipt | TimerKey, time: TimerTime): Promise<SendReceipt | CancelOutcome> {
    return (await this.producer()).reschedule(target, time)
  }

  /**
   * Sends and waits for the answer of one listener; with a topic of `defineTopic` that has a reply, for its checked payload.
   * @throws {TandemError} REQUEST_TIMEOUT after `timeoutMs`; REQUEST_FAILED when a Nest listener or controller failed, whatever
   * then becomes of the message; PAYLOAD_INVALID for a payload or a reply that does not fit
   */
  request(message: OutgoingMessage, options?: RequestOptions): Promise<ReplyMessage>
  request<In, Reply>(
    topic: Topic<In, unknown, Reply>,
    payload: [Reply] extends [void] ? never : NoInfer<In>,
    fields?: MessageFields,
    options?: RequestOptions,
  ): Promise<Reply>
  async request(
    first: OutgoingMessage | Topic,
    second?: unknown,
    fields?: MessageFields,
    options?: RequestOptions,
  ): Promise<unknown> {
    if (!isTopic(first)) return ask(await this.producer(), first, second as RequestOptions | undefined)
    const message = await first.messageLater(second, fields)
    return first.readReply(await ask(await this.producer(), message, options))
  }

  /**
   * Runs `work` in a database transaction that carries messages: consumers see them if and only if it committed.
   * Inside a transaction of this template, of a listener with an inbox, or of the application (option `currentTransaction`)
   * `work` joins it (Spring's REQUIRED): it commits with the outer one.
   * @returns what `work` returned, after the commit
   * @throws what `work` threw, after the rollback; {TandemError} TRANSACTION_ROLLED_BACK when the database rolled back by itself
   */
  async transaction<T>(
    work: (trx: TransactionOf<D>, messages: Messages) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T> {
    const { scopes } = this.connection
    const joined = this.connection.currentTransaction()
    const { telemetry } = this.connection
    if (joined !== undefined) return work(joined.trx as TransactionOf<D>, telemetry.messages(joined.messages))
    const outbox = await this.connection.outbox()
    return outbox.transaction(
      (trx, messages) =>
        scopes.run({ trx, messages }, () => work(trx as TransactionOf<D>, telemetry.messages(messages))),
      options,
    )
  }

  /**
   * Records a message in the transaction the call runs in, or in `trx`, one that you have begun yourself: your COMMIT then
   * waits for it and rejects unless the transaction is certainly committed ({@link Outbox.join}).
   * @throws {TandemError} NO_TRANSACTION outside of {@link transaction} and without `trx`: use {@link send} if that is meant;
   * OPTION_INVALID for a `trx` that is none; NOT_STARTED before the module is initialised or without its option `outbox`;
   * with a topic of `defineTopic` also PAYLOAD_INVALID, and OPTION_INVALID when its schema answers later
   */
  enqueue(message: OutgoingMessage, trx?: TransactionOf<D>): void
  enqueue<In>(
    topic: Topic<In, unknown, unknown>,
    payload: NoInfer<In>,
    fields?: MessageFields,
    trx?: TransactionOf<D>,
  ): void
  enqueue(first: OutgoingMessage | Topic, second?: unknown, fields?: MessageFields, fourth?: TransactionOf<D>): void {
    const isTyped = isTopic(first)
    const message = isTyped ? first.message(second, fields) : first
    const trx = isTyped ? fourth : (second as TransactionOf<D> | undefined)
    const { telemetry } = this.connection
    if (trx !== undefined) return this.connection.startedOutbox().join(trx).send(telemetry.enqueued(message))
    const scope = this.connection.currentTransaction()
    if (scope === undefined) {
      throw new TandemError('NO_TRANSACTION', `enqueue to ${message.topic} outside of transaction(); send() needs none`)
    }
    scope.messages.send(telemetry.enqueued(message))
  }

  /** The transaction the call runs in, if it runs in one. */
  currentTransaction(): TransactionOf<D> | undefined {
    return this.connection.currentTransaction()?.trx as TransactionOf<D> | undefined
  }

  private async producer(): Promise<Producer> {
    this.startedProducer ??= await this.connection.producer()
    return this.startedProducer
  }
}
