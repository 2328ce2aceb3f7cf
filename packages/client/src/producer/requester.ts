import type { HeaderView, RemotingCommand } from '@tandemmq/protocol'
import { commandOf, decodeProperties, decompressBody, PropertyName, RequestCode, SysFlag } from '@tandemmq/protocol'
import type { Connection, Timer } from '@tandemmq/remoting'
import { ClientError, errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import type { ExtraProperties, MessageBody, OutgoingMessage } from '../message/message.ts'
import { BODY_BYTES_MAX } from '../message/message.ts'
import type { SendOptions } from './producer-options.ts'
import type { SendFrame } from './send-frame.ts'
import { SendTemplate } from './send-frame.ts'

export interface RequestOptions {
  /** How long to wait for the reply, ms. Default 3000. */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** The reply to a request. */
export class ReplyMessage {
  readonly body: Buffer
  readonly properties: Readonly<Record<string, string>>

  constructor(body: Buffer, properties: Readonly<Record<string, string>>) {
    this.body = body
    this.properties = properties
  }

  text(): string {
    return this.body.toString('utf8')
  }

  /** @throws {SyntaxError} when the body is not JSON */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T
  }
}

interface Waiting {
  resolve(reply: ReplyMessage): void
  reject(error: ClientError): void
  timer: Timer
}

/** Requests that wait for the reply of a consumer, by correlation id (remoting.md 4.11). */
export class Requester {
  readonly #core: ClientCore
  readonly #clientId: string
  readonly #waiting = new Map<string, Waiting>()

  constructor(core: ClientCore, clientId: string) {
    this.#core = core
    this.#clientId = clientId
  }

  request(
    message: OutgoingMessage,
    options: RequestOptions,
    sendTimeoutMs: number,
    send: (extra: ExtraProperties, options: SendOptions) => Promise<void>,
  ): Promise<ReplyMessage> {
    const timeoutMs = options.timeoutMs ?? 3_000
    const correlationId = this.#core.clock.randomBytes(16).toString('hex')
    const extra: ExtraProperties = [
      [PropertyName.CORRELATION_ID, correlationId],
      [PropertyName.REPLY_TO_CLIENT, this.#clientId],
      [PropertyName.TTL, String(timeoutMs)],
    ]
    return new Promise<ReplyMessage>((resolve, reject) => {
      const { signal } = options
      const settle = (): void => {
        this.#waiting.delete(correlationId)
        timer.cancel()
        signal?.removeEventListener('abort', abort)
      }
      const fail = (error: unknown): void => {
        settle()
        reject(error)
      }
      const abort = (): void =>
        fail(new ClientError('ABORTED', `request to ${message.topic}`, { cause: signal?.reason }))
      const timer = this.#core.clock.setTimer(timeoutMs, () =>
        fail(new ClientError('REQUEST_TIMEOUT', `no reply to a request to ${message.topic} within ${timeoutMs} ms`)),
      )
      this.#waiting.set(correlationId, {
        timer,
        reject: fail,
        resolve: (reply) => {
          settle()
          resolve(reply)
        },
      })
      if (signal?.aborted) return abort()
      signal?.addEventListener('abort', abort, { once: true })
      Promise.resolve()
        .then(() => send(extra, { timeoutMs: Math.min(timeoutMs, sendTimeoutMs) }))
        .catch(fail)
    })
  }

  /** 326: the broker hands over a reply. */
  onReplyPushed(connection: Connection, header: HeaderView): boolean {
    const command = commandOf(header)
    if (!header.isOneway) connection.reply(header, { code: 0 })
    const properties = decodeProperties(Buffer.from(command.extFields['properties'] ?? ''))
    const waiting = this.#waiting.get(properties[PropertyName.CORRELATION_ID] ?? '')
    // Late: the request has timed out.
    waiting?.resolve(new ReplyMessage(replyBody(command), properties))
    return true
  }

  /** The message that answers `request`, and the properties that lead it back. */
  static replyTo(request: ConsumedMessage, body: MessageBody): { message: OutgoingMessage; extra: ExtraProperties } {
    const { properties } = request
    const cluster = properties[PropertyName.CLUSTER]
    const correlationId = properties[PropertyName.CORRELATION_ID]
    const replyTo = properties[PropertyName.REPLY_TO_CLIENT]
    if (cluster === undefined || correlationId === undefined || replyTo === undefined) {
      throw new ClientError(
        'MESSAGE_ILLEGAL',
        `message ${request.messageId} is not a request, nobody waits for a reply`,
      )
    }
    return {
      message: { topic: `${cluster}_REPLY_TOPIC`, body },
      extra: [
        [PropertyName.MSG_TYPE, 'reply'],
        [PropertyName.CORRELATION_ID, correlationId],
        [PropertyName.REPLY_TO_CLIENT, replyTo],
        [PropertyName.TTL, properties[PropertyName.TTL] ?? '3000'],
      ],
    }
  }

  async sendReply(
    brokerName: string,
    topic: string,
    group: string,
    frame: SendFrame,
    options: SendOptions | undefined,
  ): Promise<void> {
    const connection = await this.#core.connect(this.#core.brokerAddress(brokerName))
    const template = new SendTemplate(group, topic, brokerName, RequestCode.SEND_REPLY_MESSAGE_V2)
    const timeoutMs = options?.timeoutMs ?? this.#core.settings.requestTimeoutMs
    await new Promise<void>((resolve, reject) =>
      template.write(connection, frame, timeoutMs, {
        onReply: (header) =>
          header.code === 0 ? resolve() : reject(errorOfAnswer(header.code, header.remark(), `reply to ${topic}`)),
        onFailure: reject,
      }),
    )
  }

  close(): void {
    // Each rejection takes itself out; a Map allows that while it is walked.
    for (const waiting of this.#waiting.values()) {
      waiting.reject(new ClientError('CLOSED', 'the producer was closed before the reply came'))
    }
  }
}

function replyBody(command: RemotingCommand): Buffer {
  const sysFlag = Number(command.extFields['sysFlag'] ?? 0)
  return (sysFlag & SysFlag.COMPRESSED) === 0 ? command.body : decompressBody(command.body, sysFlag, BODY_BYTES_MAX)
}
