import type { ConsumerDeserializer, MessageHandler as NestHandler } from '@nestjs/microservices'
import { conform, ReconsumeLater, RejectMessage } from '@tandemmq/client'
import type { ConsumedMessage, MessageHandler, Producer } from '@tandemmq/client'
import { Logger } from '@nestjs/common'
import { isObservable, lastValueFrom, tap } from 'rxjs'
import { failureOf } from '../listeners/handler-watch.ts'
import { messageHandlerOf } from '../listeners/outcome.ts'
import { payloadOf } from '../listeners/payload.ts'
import { routedByTag } from '../listeners/tag-routes.ts'
import type { TandemContext } from '../listeners/tandem-context.ts'
import { packetError, rpcErrorOf, wantsPackets } from './rpc-packets.ts'
import type { ReplyPacket } from './rpc-packets.ts'
import type { TransportHandler } from './transport-plan.ts'

/** What deliveries need of their server. */
export interface DeliveryPort {
  producer(): Promise<Producer>
  readonly deserializer: ConsumerDeserializer | undefined
  /** Runs the handler between the hooks of instrumentation; settles as `work` does. */
  process<T>(context: TandemContext, work: () => Promise<T>): Promise<T>
}

type Handler = TransportHandler<NestHandler>

const logger = new Logger('TandemServer')

/** What one subscription does with a message: the handler of its tag runs, and decides about it as a listener does. */
export function deliveryHandler(handlers: readonly Handler[], port: DeliveryPort): MessageHandler {
  return routedByTag(handlers.map((handler) => ({ tags: handler.options.tags, handler: runOf(handler, port) })))
}

function runOf(handler: Handler, port: DeliveryPort): MessageHandler {
  // The body is read and checked in `invoke`, where an asker can still be told that it could not.
  const { schema: _schema, ...options } = handler.options
  return messageHandlerOf({
    name: handler.name,
    options: { ...options, payload: () => undefined },
    invoke: (_, context) => invoke(handler, port, context),
    isPayloadRefusal: (context, error) => failureOf(context)?.isRefusal === true && !isOutcome(error),
    reply: (message, packet) => reply(port, message, packet as ReplyPacket),
  })
}

/**
 * Runs the handler and its stream to their end.
 * @returns the answer, should somebody wait for one
 * @throws what decides about the message. A failed request of which the asker has been told is not thrown: it is consumed,
 *   because nobody waits for the result of another try.
 */
async function invoke(handler: Handler, port: DeliveryPort, context: TandemContext): Promise<ReplyPacket> {
  const message = context.getMessage()
  const answers = wantsPackets(message)
  const responses: unknown[] = []
  let raised: unknown
  try {
    await port.process(context, async () => {
      try {
        const payload = await payloadFrom(handler, port, message)
        await collect(await handler.handler(payload, context), responses, answers)
      } catch (error) {
        raised = error
        throw rpcErrorOf(error, failureOf(context))
      }
    })
    return { responses }
  } catch (error) {
    if (!answers || error instanceof ReconsumeLater) throw error
    const packet = { responses, err: packetError(raised ?? error) }
    const isRejected = error instanceof RejectMessage || failureOf(context)?.isRefusal === true
    if (!isRejected) {
      const text = error instanceof Error ? error.message : String(error)
      logger.error(`${handler.name}: request ${message.messageId} to ${message.topic} is answered with: ${text}`, error)
      return packet
    }
    await reply(port, message, packet).catch((lost: unknown) => logger.warn(`no reply to ${message.messageId}`, lost))
    throw error
  }
}

async function payloadFrom({ options }: Handler, port: DeliveryPort, message: ConsumedMessage): Promise<unknown> {
  try {
    const payload = payloadOf(message, options.payload)
    if (port.deserializer === undefined) return await checked(options, payload)
    const packet = await port.deserializer.deserialize(payload, { topic: message.topic, message })
    return await checked(options, packet.data)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    throw new RejectMessage(`payload cannot be read: ${text}`, { cause: error })
  }
}

function checked({ schema }: Handler['options'], payload: unknown): unknown {
  return schema === undefined ? payload : conform(schema, payload, 'payload')
}

/** Waits for the end of what the handler returned. An event may emit without end of memory: only its last value is kept. */
async function collect(result: unknown, responses: unknown[], all: boolean): Promise<void> {
  if (!isObservable(result)) {
    responses.push(result)
    return
  }
  const keep = (value: unknown): void => {
    if (!all) responses.length = 0
    responses.push(value)
  }
  // Without a default an Observable that emits nothing would fail with EmptyError.
  await lastValueFrom(result.pipe(tap(keep)), { defaultValue: undefined })
}

async function reply(port: DeliveryPort, message: ConsumedMessage, packet: ReplyPacket): Promise<void> {
  const producer = await port.producer()
  await producer.reply(message, wantsPackets(message) ? packet : (packet.responses.at(-1) ?? null))
}

function isOutcome(error: unknown): boolean {
  return error instanceof ReconsumeLater || error instanceof RejectMessage
}
