import type { HeaderView } from '@tandemmq/protocol'
import { RequestCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import type { Sending } from '../hooks/hook-list.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import type { MessageBody, OutgoingMessage } from '../message/message.ts'
import type { SendReceipt } from '../message/send-receipt.ts'
import { sendBatches } from './batch-sender.ts'
import { ProducerBase } from './producer-base.ts'
import type { ProducerOptions, SendOptions } from './producer-options.ts'
import type { RequestOptions } from './requester.ts'
import { Requester } from './requester.ts'
import type { ReplyMessage } from './requester.ts'
import type { CancelOutcome, TimerKey, TimerTime } from './timer-requests.ts'
import { cancelKey, cancelReceipt, rescheduleKey, rescheduleReceipt } from './timer-requests.ts'

/**
 * Sends messages. Works with TandemMQ and, within what its brokers can do, with Apache RocketMQ 4.9 and 5.x.
 *
 * A send that fails in a retryable way is repeated up to `retriesMax` times within `sendTimeoutMs`, always with the same
 * message id: TandemMQ recognises the repeat, Apache RocketMQ stores it again.
 * An attempt without an answer is repeated after its part of that time (`attemptTimeoutMs`). The second attempt goes to the same
 * queue; the third may go to another broker, which cannot know what the first one holds.
 */
export class Producer extends ProducerBase {
  readonly #requester: Requester

  constructor(options: ProducerOptions) {
    super(options)
    this.#requester = new Requester(this.core, this.clientId)
  }

  /**
   * Resolves when the broker answered that it stored the message.
   * @throws {ClientError} MESSAGE_TOO_LARGE, MESSAGE_ILLEGAL, TOPIC_NAME_INVALID, ROUTE_NOT_FOUND, REQUEST_TIMEOUT,
   * CONNECT_FAILED, CONNECTION_CLOSED, ABORTED, NOT_STARTED, CLOSED, or what the broker answered. After a retryable one
   * the message may have been stored all the same.
   */
  send(message: OutgoingMessage, options?: SendOptions): Promise<SendReceipt> {
    return this.sendOne(message, options)
  }

  /**
   * Sends many in as few requests as possible; messages for one topic share batches of at most `bodyBytesMax` bytes.
   * Delayed ones and those with a `dedupKey` or a `priority` travel alone. Not atomic: when it rejects, some may have been stored.
   * @returns one receipt per message, in their order
   */
  sendAll(messages: readonly OutgoingMessage[], options?: SendOptions): Promise<SendReceipt[]> {
    return sendBatches(
      {
        bodyBytesMax: this.bodyBytesMax,
        requireOpen: () => this.requireOpen(),
        checkTopic: (topic) => this.checkTopic(topic),
        now: () => Math.floor(this.core.clock.now()),
        nextMessageId: () => this.nextMessageId(),
        hooks: this.hooks,
        group: this.group,
        single: (message, sending) => this.sendOne(message, options, sending),
        batch: (first, frame, finish) => this.dispatch(first, frame, options, finish, RequestCode.SEND_BATCH_MESSAGE),
      },
      messages,
    )
  }

  /**
   * Sends without waiting for an answer: fast, and lost when anything goes wrong on the way. While a broker has asked for a
   * pause, or is not reached yet, up to 1,000 messages and 8 MiB wait in line with the other sends; `close()` waits for them.
   * @throws {ClientError} MESSAGE_TOO_LARGE, MESSAGE_ILLEGAL, TOPIC_NAME_INVALID, NOT_STARTED, CLOSED; SYSTEM_BUSY when more would
   * have to wait, or when the broker has not taken 32 MiB sent before
   */
  sendOneway(message: OutgoingMessage): void {
    this.sendUnanswered(message)
  }

  /**
   * Sends a message and waits for the reply of its consumer (RocketMQ request-reply).
   * @throws {ClientError} REQUEST_TIMEOUT when nobody replied within `timeoutMs` (default 3000), or as send
   */
  request(message: OutgoingMessage, options: RequestOptions = {}): Promise<ReplyMessage> {
    const messageId = message.messageId ?? this.nextMessageId()
    const { hooks } = this
    return this.#requester.request(message, options, this.sendTimeoutMs, (extra, sendOptions) => {
      this.requireOpen()
      const send = (sent: OutgoingMessage, sending?: Sending): Promise<void> => {
        const frame = this.frameOf(sent, messageId, extra)
        return this.dispatch(sent, frame, sendOptions, () => undefined, RequestCode.SEND_MESSAGE_V2, sending)
      }
      if (hooks === undefined) return send(message)
      const sending = hooks.beforeSend(this.group, 'request', messageId, message)
      return hooks.watch(sending, async () => send(sending.message, sending))
    })
  }

  /**
   * Replies to a consumed message that was sent by `request`.
   * @throws {ClientError} MESSAGE_ILLEGAL when it was not a request; SYSTEM_ERROR when the requester is gone
   */
  async reply(request: ConsumedMessage, body: MessageBody, options?: SendOptions): Promise<void> {
    this.requireOpen()
    const { message, extra } = Requester.replyTo(request, body)
    const messageId = this.nextMessageId()
    const send = async (sent: OutgoingMessage): Promise<void> => {
      const frame = this.frameOf(sent, messageId, extra)
      await this.core.routes.load(request.topic).catch(() => undefined)
      await this.#requester.sendReply(request.brokerName, message.topic, this.group, frame, options)
    }
    const { hooks } = this
    if (hooks === undefined) return send(message)
    const sending = hooks.beforeSend(this.group, 'reply', messageId, message)
    await hooks.watch(sending, () => send(sending.message))
  }

  /**
   * Cancels a delayed message, or every delayed message to a topic that waits under a key. The answer is true at the moment
   * it is given, and durable: `cancelled` will never be delivered, `fired` was delivered or is on its way, `unknown` is no
   * such message, or one settled too long ago (an hour, 100,000 messages). With a key: `cancelled` when at least one waited,
   * and then all that waited are; when none did, what became of the newest one. A receipt stays good when its message is
   * rescheduled.
   *
   * Apache RocketMQ (5.3.2+, `recallMessageEnable=true`) tells only that it took the request, which is returned as
   * `cancelled`, and does it for receipts of `delayMs` and `deliverAt`, not for levels or keys.
   * @throws {ClientError} INVALID_PARAMETER when the receipt is not of a delayed message; NO_PERMISSION when switched off;
   * REQUEST_NOT_SUPPORTED for a key on Apache RocketMQ; SERVICE_NOT_AVAILABLE when the broker's disk failed under it
   */
  async cancel(target: SendReceipt | TimerKey): Promise<CancelOutcome> {
    this.requireOpen()
    const { hooks, group } = this
    if (hooks === undefined) return this.#cancel(target)
    try {
      const outcome = await this.#cancel(target)
      hooks.afterCancel({ group, target, outcome, error: undefined })
      return outcome
    } catch (error) {
      hooks.afterCancel({ group, target, outcome: undefined, error })
      throw error
    }
  }

  async #cancel(target: SendReceipt | TimerKey): Promise<CancelOutcome> {
    if ('messageId' in target) return cancelReceipt(this.core, this.group, target)
    return (await cancelKey(this.core, await this.#brokersOf(target.topic), target)).outcome
  }

  /**
   * Moves a delayed message to another time, at once when that has passed; with a key every message to the topic that waits
   * under it. Old and new time never both count, whenever the broker dies.
   * @param time one of `delayMs` (from now) and `deliverAt`, up to the broker's horizon (`delayMsMax`, default a year)
   * @returns the receipt of the waiting message, with a key that of the newest one; or why nothing was moved
   * @throws {ClientError} INVALID_PARAMETER, MESSAGE_ILLEGAL beyond the horizon, REQUEST_NOT_SUPPORTED on Apache RocketMQ,
   * SERVICE_NOT_AVAILABLE when the broker's disk failed under it
   */
  async reschedule(target: SendReceipt | TimerKey, time: TimerTime): Promise<SendReceipt | CancelOutcome> {
    this.requireOpen()
    const { outcome, receipts } =
      'messageId' in target
        ? await rescheduleReceipt(this.core, target, time)
        : await rescheduleKey(this.core, await this.#brokersOf(target.topic), target, time)
    return receipts[0] ?? (outcome === 'rescheduled' ? 'unknown' : outcome)
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND */
  async #brokersOf(topic: string): Promise<Map<string, string>> {
    this.checkTopic(topic)
    const brokers = new Map<string, string>()
    for (const { name, address } of (await this.core.routes.load(topic)).brokers.values()) {
      if (address !== undefined) brokers.set(name, address)
    }
    return brokers
  }

  override close(): Promise<void> {
    return super.close().finally(() => this.#requester.close())
  }

  protected override onRequest(connection: Connection, header: HeaderView): boolean {
    return header.code === RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT && this.#requester.onReplyPushed(connection, header)
  }
}
