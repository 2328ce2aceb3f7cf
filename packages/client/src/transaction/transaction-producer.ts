import type { HeaderView, RemotingCommand } from '@tandemmq/protocol'
import { commandOf, PropertyName, RecordView, RequestCode, TandemRequestCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { ClientError, messageOf, toClientError } from '../client-error.ts'
import type { Membership } from '../cluster/heartbeat.ts'
import type { Sending } from '../hooks/hook-list.ts'
import { asArray, asObject, asText } from '../json.ts'
import { ConsumedMessage } from '../message/consumed-message.ts'
import type { ExtraProperties, OutgoingMessage } from '../message/message.ts'
import { isDelayed } from '../message/message.ts'
import type { PreparedMessage, TransactionDecision, TransactionOutcome } from '../message/prepared-message.ts'
import { decisionBits, halfProperties, outcomeOf } from '../message/prepared-message.ts'
import type { SendAnswer, SendReceipt } from '../message/send-receipt.ts'
import { physicalOffsetOf, receiptOf } from '../message/send-receipt.ts'
import { ProducerBase } from '../producer/producer-base.ts'
import type { ProducerOptions, SendOptions } from '../producer/producer-options.ts'
import type { DomainCheck } from './domain-checks.ts'
import { DomainChecks, isDomainCheck } from './domain-checks.ts'
import type { EndResults, TransactionEnd } from './end-batches.ts'
import { EndBatches } from './end-batches.ts'

/** Asked by the broker about a half message whose end it has not heard. May be asked several times, by several brokers. */
export type TransactionCheck = (message: ConsumedMessage) => Promise<TransactionDecision>

export interface TransactionProducerOptions extends ProducerOptions {
  /** Decides transactions whose end got lost. Throwing counts as `'unknown'`: the broker asks again later. */
  check: TransactionCheck
}

export interface PrepareOptions extends SendOptions {
  /** Found by `pendingOf`. Default: the message's property `__transactionId__`, else its id. */
  transactionId?: string | undefined
  /** No check-back before the half message is this old, ms; rounded up to seconds. Default: the broker's. */
  immunityMs?: number | undefined
}

const HALF_SYS_FLAG = 4
/** A broker takes 10,000 in one request. */
const PENDING_IDS_MAX = 5_000

/**
 * Messages that become visible when a local transaction commits. Classic RocketMQ: half message, local transaction, end;
 * when the end is lost, the broker asks `check`.
 *
 * On Apache RocketMQ an end is answered without the outcome, which is then assumed to be what was asked for; a half message
 * is given up after 15 checks, and `pendingOf` does not exist.
 */
export class TransactionProducer extends ProducerBase {
  readonly #check: TransactionCheck
  readonly #domainChecks: DomainChecks
  readonly #endBatches: EndBatches
  readonly #checking = new Set<Promise<void>>()

  /** @throws {ClientError} OPTION_INVALID without a `check`, GROUP_NAME_INVALID */
  constructor(options: TransactionProducerOptions) {
    if (typeof options.check !== 'function') throw new ClientError('OPTION_INVALID', 'check must be a function')
    super(options)
    this.#check = options.check
    this.#domainChecks = new DomainChecks(this.core.logger)
    this.#endBatches = new EndBatches({
      core: this.core,
      group: this.group,
      requireOpen: () => this.requireOpen(),
      endOne: ({ prepared, decision }, how) => this.end(prepared, decision, how),
      ended: (end, outcome, error) => this.#afterEnd(end, outcome, error),
    })
  }

  /**
   * Announces that this producer knows what became of the transactions of `domain` (one database), of whatever producer
   * group: half messages with property TANDEM_DOMAIN = `domain` are asked about many at once, by id, and nobody else's
   * producers are asked about them. Before or after `start`; nothing need ever be sent. Hooks are not told, there is no message
   * to show them. A stock broker knows no domains and
   * asks `check`, one message at a time, of any producer of the group.
   * @param domain 1 to 255 characters
   * @throws {ClientError} OPTION_INVALID
   */
  answerFor(domain: string, check: DomainCheck): void {
    this.#domainChecks.set(domain, check)
    if (!this.core.isStarted) return
    this.core.heartbeat().catch((error: unknown) => this.core.logger.warn(`domain not announced: ${messageOf(error)}`))
  }

  /** Sends an ordinary message, outside any transaction. */
  send(message: OutgoingMessage, options?: SendOptions): Promise<SendReceipt> {
    return this.sendOne(message, options)
  }

  /**
   * Stores the half message, runs `execute`, and ends the transaction as it says. When the end cannot be delivered the
   * check-back settles it later, so the returned outcome may be `pending`.
   * @throws what `execute` threw, after a rollback; {@link ClientError} when the half message was not stored
   */
  // `const` keeps the literal of `async () => 'commit'`, which TypeScript 7 widens to string in a plain union.
  async sendInTransaction<const Decision extends TransactionDecision>(
    message: OutgoingMessage,
    execute: (prepared: PreparedMessage) => Decision | Promise<Decision>,
    options?: PrepareOptions,
  ): Promise<PreparedMessage & { readonly outcome: TransactionOutcome }> {
    const prepared = await this.prepare(message, options)
    let decision: TransactionDecision
    try {
      decision = await execute(prepared)
    } catch (error) {
      await this.#endQuietly(prepared, 'rollback')
      throw error
    }
    const outcome = decision === 'unknown' ? 'pending' : await this.#endQuietly(prepared, decision)
    return { ...prepared, outcome }
  }

  /**
   * Stores a half message.
   * @throws {ClientError} MESSAGE_ILLEGAL for a delayed message, or as Producer.send. After a retryable one it may have
   * been stored all the same, and will be asked about.
   */
  prepare(message: OutgoingMessage, options: PrepareOptions = {}): Promise<PreparedMessage> {
    const messageId = message.messageId ?? this.nextMessageId()
    const given = message.properties?.[PropertyName.TRANSACTION_ID]
    const transactionId = options.transactionId ?? given ?? messageId
    try {
      this.requireOpen()
      if (isDelayed(message)) throw new ClientError('MESSAGE_ILLEGAL', 'a half message cannot be delayed')
      const extra = halfProperties(this.group, given === undefined ? transactionId : undefined, options.immunityMs)
      const ids = { messageId, transactionId }
      const { hooks } = this
      if (hooks === undefined) return this.#sendHalf(message, ids, extra, options)
      const sending = hooks.beforeSend(this.group, 'half', messageId, message)
      return hooks.watch(sending, async () => this.#sendHalf(sending.message, ids, extra, options, sending))
    } catch (error) {
      return Promise.reject(toClientError(error, `prepare for ${message.topic}`))
    }
  }

  #sendHalf(
    message: OutgoingMessage,
    { messageId, transactionId }: { messageId: string; transactionId: string },
    extra: ExtraProperties,
    options: PrepareOptions,
    sending?: Sending,
  ): Promise<PreparedMessage> {
    const frame = this.frameOf(message, messageId, extra)
    frame.sysFlag |= HALF_SYS_FLAG
    const finish = (answer: SendAnswer, brokerName: string): PreparedMessage => ({
      messageId: receiptOf(answer, brokerName, message.topic, messageId).messageId,
      transactionId,
      topic: message.topic,
      brokerName,
      queueOffset: answer.queueOffset,
      physicalOffset: physicalOffsetOf(answer.offsetMessageId),
      duplicate: answer.duplicate,
    })
    return this.dispatch(message, frame, options, finish, RequestCode.SEND_MESSAGE_V2, sending)
  }

  /**
   * Ends a transaction and resolves with what the half message has become: also the opposite of `decision` when it was
   * settled before, because the first decision wins. May be repeated.
   * @throws {ClientError} CONNECT_FAILED, CONNECTION_CLOSED, REQUEST_TIMEOUT: the decision may have arrived; repeat it or
   * leave it to the check-back
   */
  async end(
    prepared: PreparedMessage,
    decision: 'commit' | 'rollback',
    options: SendOptions = {},
  ): Promise<TransactionOutcome> {
    this.requireOpen()
    const address = this.core.brokerAddress(prepared.brokerName)
    const init = { code: RequestCode.END_TRANSACTION, extFields: this.#endFields(prepared, decision, false) }
    try {
      const outcome = outcomeOf(await this.core.request(address, init, options.timeoutMs, options.signal), decision)
      this.#afterEnd({ prepared, decision }, outcome, undefined)
      return outcome
    } catch (error) {
      this.#afterEnd({ prepared, decision }, undefined, error)
      throw error
    }
  }

  /**
   * Ends many at once: one request and one answer per broker (an Apache broker gets one per message). Results in the order
   * of the input; none rejects the whole.
   */
  endMany(ends: readonly TransactionEnd[], options: SendOptions = {}): Promise<EndResults> {
    return this.#endBatches.endMany(ends, options)
  }

  /** Names of the brokers that a message of this topic may go to, by the route in use; empty when none has been asked for yet. */
  brokersOf(topic: string): readonly string[] {
    return [...(this.core.routes.find(topic)?.brokers.keys() ?? [])]
  }

  #afterEnd({ prepared, decision }: TransactionEnd, outcome: TransactionOutcome | undefined, error: unknown): void {
    this.hooks?.afterEnd({ group: this.group, prepared, decision, outcome, fromCheck: false, error })
  }

  /**
   * Which of these transactions still have a half message that nobody ended, on any broker of the cluster.
   * @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ; CONNECT_FAILED, REQUEST_TIMEOUT when a broker does
   * not answer, because then nobody knows; ROUTE_NOT_FOUND when no broker is known
   */
  async pendingOf(transactionIds: readonly string[]): Promise<string[]> {
    this.requireOpen()
    if (transactionIds.length === 0) return []
    // A broker that joined since the start may hold some, so the list is asked anew.
    await this.core.routes.discover()
    // One that has left the name servers still holds what it was given.
    const addresses = this.core.everyBrokerAddress()
    if (addresses.length === 0) throw new ClientError('ROUTE_NOT_FOUND', 'no broker is known')
    const pending = new Set<string>()
    for (let at = 0; at < transactionIds.length; at += PENDING_IDS_MAX) {
      const body = Buffer.from(JSON.stringify({ transactionIds: transactionIds.slice(at, at + PENDING_IDS_MAX) }))
      const init = { code: TandemRequestCode.PENDING_TRANSACTIONS, body }
      const answers = await Promise.all(
        addresses.map((address) => this.core.ask(address, init, 'pending transactions')),
      )
      for (const answer of answers) {
        for (const id of asArray(asObject(JSON.parse(answer.body.toString('utf8')))['pending'])) pending.add(asText(id))
      }
    }
    return transactionIds.filter((id) => pending.has(id))
  }

  override close(): Promise<void> {
    // Answers to checks under way are worth waiting for: without them the broker asks again only seconds later.
    return Promise.allSettled(this.#checking).then(() => super.close())
  }

  protected override onRequest(connection: Connection, header: HeaderView): boolean {
    if (header.code === RequestCode.CHECK_TRANSACTION_STATE) {
      this.#track(this.#answerCheck(connection, commandOf(header)))
    } else if (isDomainCheck(header)) this.#track(this.#domainChecks.answer(connection, header))
    else return false
    return true
  }

  #track(work: Promise<void>): void {
    const checking = work
      .catch((error: unknown) => this.core.logger.warn(`check-back failed: ${messageOf(error)}`))
      .finally(() => this.#checking.delete(checking))
    this.#checking.add(checking)
  }

  protected override membership(): Membership {
    return { ...super.membership(), domains: this.#domainChecks.domains }
  }

  async #answerCheck(connection: Connection, command: RemotingCommand): Promise<void> {
    const view = new RecordView()
    if (!view.at(command.body, 0))
      throw new ClientError('RECORD_INVALID', 'the half message of a check-back is damaged')
    const message = new ConsumedMessage(command.body, 0, view, command.extFields['bname'] ?? '', this.group)
    // Another producer of this process answers for its own group.
    if (message.properties[PropertyName.PGROUP] !== this.group) return
    const decision = await this.#decisionOf(message)
    const { extFields } = command
    connection.oneway({
      code: RequestCode.END_TRANSACTION,
      extFields: {
        topic: message.topic,
        producerGroup: this.group,
        tranStateTableOffset: extFields['tranStateTableOffset'],
        commitLogOffset: extFields['commitLogOffset'],
        commitOrRollback: decisionBits[decision] ?? 0,
        fromTransactionCheck: true,
        msgId: extFields['msgId'] ?? message.messageId,
        transactionId: extFields['transactionId'],
        bname: extFields['bname'],
      },
    })
    const { hooks, group } = this
    if (hooks === undefined) return
    const { topic, brokerName, messageId } = message
    const transactionId = message.properties[PropertyName.TRANSACTION_ID] ?? extFields['transactionId'] ?? messageId
    const prepared = { messageId, transactionId, topic, brokerName }
    hooks.afterEnd({ group, prepared, decision, outcome: undefined, fromCheck: true, error: undefined })
  }

  async #decisionOf(message: ConsumedMessage): Promise<TransactionDecision> {
    const handling = this.hooks?.beforeCheck(this.group, message)
    let decision: TransactionDecision = 'unknown'
    let failure: unknown
    try {
      decision = await this.#check(message)
    } catch (error) {
      failure = error
      this.core.logger.warn(`check of ${message.messageId} failed, answered unknown: ${messageOf(error)}`)
    }
    if (handling !== undefined) this.hooks?.afterCheck(handling, decision, failure)
    return decision
  }

  async #endQuietly(prepared: PreparedMessage, decision: 'commit' | 'rollback'): Promise<TransactionOutcome> {
    try {
      return await this.end(prepared, decision)
    } catch (error) {
      this.core.logger.warn(`end of ${prepared.transactionId} failed, the broker will ask: ${messageOf(error)}`)
      return 'pending'
    }
  }

  #endFields(prepared: PreparedMessage, decision: TransactionDecision, fromCheck: boolean) {
    return {
      topic: prepared.topic,
      producerGroup: this.group,
      tranStateTableOffset: prepared.queueOffset,
      commitLogOffset: prepared.physicalOffset,
      commitOrRollback: decisionBits[decision],
      fromTransactionCheck: fromCheck,
      msgId: prepared.messageId,
      transactionId: prepared.transactionId,
      bname: prepared.brokerName,
    }
  }
}
