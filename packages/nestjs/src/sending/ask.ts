import { Logger } from '@nestjs/common'
import { ReplyMessage, TandemError } from '@tandemmq/client'
import type { ConsumedMessage, MessageHandler, OutgoingMessage, Producer, RequestOptions } from '@tandemmq/client'
import type { TandemConnection } from '../connection/tandem-connection.ts'
import { isReplyPacket, packetError, PACKETS, REPLY_FORMAT, wantsPackets } from '../transport/rpc-packets.ts'
import type { ReplyPacket } from '../transport/rpc-packets.ts'

const logger = new Logger('TandemListener')

/** Sends a request that a Nest application may also answer with what went wrong; any other answer is passed on as it is. */
export async function ask(
  producer: Producer,
  message: OutgoingMessage,
  options?: RequestOptions,
): Promise<ReplyMessage> {
  const properties = { ...message.properties, [REPLY_FORMAT]: PACKETS }
  const reply = await producer.request({ ...message, properties }, options)
  const packet = packetOf(reply)
  if (packet === undefined) return reply
  if (packet.err !== undefined) throw failureOf(message.topic, packet.err)
  const value = packet.responses.at(-1) ?? null
  const body = typeof value === 'string' ? value : JSON.stringify(value)
  return new ReplyMessage(Buffer.from(body), reply.properties)
}

function packetOf(reply: ReplyMessage): ReplyPacket | undefined {
  try {
    const value: unknown = reply.json()
    return isReplyPacket(value) ? value : undefined
  } catch {
    return undefined
  }
}

function failureOf(topic: string, err: unknown): TandemError {
  const message = (err as { message?: unknown } | null)?.message
  const words = typeof message === 'string' ? message : JSON.stringify(err)
  return new TandemError('REQUEST_FAILED', `request to ${topic}: ${words}`, { cause: err })
}

/** The answer of a listener in the form its asker reads. Bytes are bytes to everybody. */
export function replyOf(message: ConsumedMessage, value: unknown): unknown {
  return wantsPackets(message) && !(value instanceof Uint8Array) ? { responses: [value] } : value
}

/** Who asked is told of a failure, too; what becomes of the message does not change by it. */
export function tellingAskers(connection: TandemConnection, handler: MessageHandler): MessageHandler {
  const told = async (...given: Parameters<MessageHandler>): Promise<void> => {
    try {
      await handler(...given)
    } catch (error) {
      const packet: ReplyPacket = { responses: [], err: packetError(error) }
      const [message] = given
      await connection
        .producer()
        .then((producer) => producer.reply(message, packet))
        .catch((lost: unknown) => logger.warn(`no reply to request ${message.messageId} of ${message.topic}`, lost))
      throw error
    }
  }
  return (message, delivery) =>
    message.isRequest && wantsPackets(message) ? told(message, delivery) : handler(message, delivery)
}
