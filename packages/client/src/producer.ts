import type { HeaderView } from '@tandemmq/protocol'
import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { sendBatches } from './batch-sender.ts'
import { ClientError, errorOfAnswer } from './client-error.ts'
import type { ConsumedMessage } from './consumed-message.ts'
import type { MessageBody, OutgoingMessage } from './message.ts'
import type { ProducerOptions, SendOptions } from './producer-base.ts'
import { ProducerBase } from './producer-base.ts'
import type { RequestOptions } from './requester.ts'
import { Requester } from './requester.ts'
import type { ReplyMessage } from './requester.ts'
import type { SendReceipt } from './send-receipt.ts'

/** What became of a delayed message that was to be cancelled. */
export type CancelOutcome = 'cancelled' | 'fired' | 'unknown'

/**
 * Sends messages. Works with TandemMQ and, within what its brokers can do, with Apache RocketMQ 4.9 and 5.x.
 *
 * A send that fails in a retryable way is repeated up to `retriesMax` times within `sendTimeoutMs`, always with the same
 * message id: TandemMQ recognises the repeat, Apache RocketMQ stores it again.
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
        single: (message) => this.sendOne(message, options),
        batch: (first, frame, finish) => this.dispatch(first, frame, options, finish, RequestCode.SEND_BATCH_MESSAGE),
      },
      messages,
    )
  }

  /**
   * Sends without waiting for an answer: fast, and lost when anything goes wrong on the way.
   * @throws {ClientError} MESSAGE_TOO_LARGE, MESSAGE_ILLEGAL, TOPIC_NAME_INVALID, NOT_STARTED, CLOSED
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
    return this.#requester.request(message, options, this.sendTimeoutMs, (extra, sendOptions) => {
      this.requireOpen()
      return this.dispatch(message, this.frameOf(message, messageId, extra), sendOptions, () => undefined)
    })
  }

  /**
   * Replies to a consumed message that was sent by `request`.
   * @throws {ClientError} MESSAGE_ILLEGAL when it was not a request; SYSTEM_ERROR when the requester is gone
   */
  async reply(request: ConsumedMessage, body: MessageBody, options?: SendOptions): Promise<void> {
    this.requireOpen()
    const { message, extra } = Requester.replyTo(request, body)
    const frame = this.frameOf(message, this.nextMessageId(), extra)
    await this.core.routes.load(request.topic).catch(() => undefined)
    await this.#requester.sendReply(request.brokerName, message.topic, this.group, frame, options)
  }

  /**
   * Cancels a delayed message. The answer is true at the moment it is given, and durable.
   * `unknown`: the broker knows no such message. Apache RocketMQ (5.3.2+, `recallMessageEnable=true`) tells only that it
   * took the request, which is returned as `cancelled`, and does it for `delayMs` and `deliverAt`, not for levels.
   * @throws {ClientError} INVALID_PARAMETER when the receipt is not of a delayed message; NO_PERMISSION when switched off
   */
  async cancel(receipt: SendReceipt): Promise<CancelOutcome> {
    this.requireOpen()
    if (receipt.recallHandle === undefined) {
      throw new ClientError('INVALID_PARAMETER', `message ${receipt.messageId} was not delayed, or cannot be cancelled`)
    }
    const { core } = this
    const extFields = { producerGroup: this.group, topic: receipt.topic, recallHandle: receipt.recallHandle }
    const answer = await core.request(core.brokerAddress(receipt.brokerName), {
      code: RequestCode.RECALL_MESSAGE,
      extFields: { ...extFields, bname: receipt.brokerName },
    })
    const outcome = answer.extFields['outcome']
    if (outcome === 'cancelled' || outcome === 'fired' || outcome === 'unknown') return outcome
    if (answer.code === ResponseCode.SUCCESS) return 'cancelled'
    // A stock broker refuses a handle of its own only when its time has passed.
    if (answer.code === ResponseCode.ILLEGAL_OPERATION) return 'fired'
    throw errorOfAnswer(answer.code, answer.remark, `cancel ${receipt.messageId}`)
  }

  override close(): Promise<void> {
    return super.close().finally(() => this.#requester.close())
  }

  protected override onRequest(connection: Connection, header: HeaderView): boolean {
    return header.code === RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT && this.#requester.onReplyPushed(connection, header)
  }
}
