import { ClientError, messageOf } from './client-error.ts'
import type { HandlerContext, MessageHandler } from './consumer/subscription.ts'
import type { ConsumedMessage } from './message/consumed-message.ts'
import type { OutgoingMessage } from './message/message.ts'
import { RejectMessage } from './message/outcome.ts'
import { checkTopic } from './options.ts'
import type { ReplyMessage } from './producer/requester.ts'
import { conform } from './standard-schema.ts'
import type { StandardSchema } from './standard-schema.ts'

/** What a message has beside its topic and its payload: tag, keys, orderBy, delay … */
export type MessageFields = Omit<OutgoingMessage, 'topic' | 'body'>

/**
 * A topic and what travels on it, made by {@link defineTopic} and shared by those who send and those who listen.
 *
 * `In` is what a sender gives, `Out` what a listener gets: the same unless the schema has defaults or conversions.
 * `Reply` is what a request to this topic is answered with; `void`: nothing, it is a topic of events.
 */
export interface Topic<In = unknown, Out = In, Reply = unknown> {
  readonly name: string
  readonly schema: StandardSchema<In, Out> | undefined
  /** Checks the reply where it arrives. */
  readonly replySchema: StandardSchema<unknown, Reply> | undefined
  /**
   * A checked message, for everything that takes one: `producer.send(orders.message(order, { tag: 'created' }))`.
   * The payload goes as JSON, and the schema sees what the listener will read: JSON has no `Date`, so a schema that
   * wants one refuses it here and not there.
   * @throws {ClientError} PAYLOAD_INVALID; MESSAGE_ILLEGAL for what has no JSON form; OPTION_INVALID when the schema
   * answers later: use {@link messageLater}
   */
  message(payload: NoInfer<In>, fields?: MessageFields): OutgoingMessage
  /** As {@link message}, for schemas that answer later. Rejects with PAYLOAD_INVALID, MESSAGE_ILLEGAL. */
  messageLater(payload: NoInfer<In>, fields?: MessageFields): Promise<OutgoingMessage>
  /** The payload of a consumed message. @throws {RejectMessage} not JSON, or not what the schema wants: the reason names the issues */
  read(message: ConsumedMessage): Promise<Out>
  /** The payload of a reply. @throws {ClientError} PAYLOAD_INVALID */
  readReply(reply: ReplyMessage): Promise<Reply>
  /** For `PushConsumer.subscribe(orders.name, '*', orders.handler(async (order) => …))`; a payload that does not fit is a dead letter. */
  handler(work: (payload: Out, message: ConsumedMessage, context: HandlerContext) => unknown): MessageHandler
  /** Never there: carries the types where no schema does. */
  readonly '~types'?: { readonly input: In; readonly output: Out; readonly reply: Reply } | undefined
}

/** Any topic of {@link defineTopic}, whatever travels on it. */
export type AnyTopic = Topic

/**
 * Says once what travels on a topic. With a schema (zod, valibot, arktype, any Standard Schema v1) payloads are checked
 * before they are sent and before a listener sees them; with a type parameter alone only the compiler checks.
 *
 * ```ts
 * const orders = defineTopic('orders', z.object({ id: z.string(), amount: z.number() }))
 * const payments = defineTopic<Payment>('payments')
 * const stockLevel = defineTopic('stock.level', z.object({ sku: z.string() }), { reply: z.object({ level: z.number() }) })
 * ```
 * @throws {ClientError} TOPIC_NAME_INVALID; OPTION_INVALID for a schema that is none
 */
export function defineTopic<In, Out, Reply>(
  name: string,
  schema: StandardSchema<In, Out>,
  options: { reply: StandardSchema<unknown, Reply> },
): Topic<In, Out, Reply>
export function defineTopic<In, Out>(name: string, schema: StandardSchema<In, Out>): Topic<In, Out, void>
export function defineTopic<Payload = unknown, Reply = void>(name: string): Topic<Payload, Payload, Reply>
export function defineTopic(
  name: string,
  schema?: StandardSchema,
  options?: { reply: StandardSchema },
): Topic<unknown, unknown, unknown> {
  checkTopic(name)
  for (const one of [schema, options?.reply]) {
    if (one === undefined || typeof one?.['~standard']?.validate === 'function') continue
    throw new ClientError('OPTION_INVALID', `topic ${name}: a schema needs '~standard' (Standard Schema v1)`)
  }
  return Object.freeze(new DefinedTopic(name, schema, options?.reply))
}

/** Tells a topic of {@link defineTopic} from a message or a name; true also for one made by another copy of this package. */
export function isTopic(value: unknown): value is Topic {
  return typeof (value as Partial<Topic> | undefined)?.messageLater === 'function'
}

class DefinedTopic implements Topic {
  readonly name: string
  readonly schema: StandardSchema | undefined
  readonly replySchema: StandardSchema | undefined

  constructor(name: string, schema: StandardSchema | undefined, replySchema: StandardSchema | undefined) {
    this.name = name
    this.schema = schema
    this.replySchema = replySchema
  }

  message(payload: unknown, fields?: MessageFields): OutgoingMessage {
    const body = jsonOf(payload, this.name)
    const checked = this.#checkBody(body)
    if (checked instanceof Promise) {
      // Nobody waits for it any more.
      checked.catch(() => undefined)
      const detail = `the schema of topic ${this.name} answers later: use send, request or await messageLater()`
      throw new ClientError('OPTION_INVALID', detail)
    }
    return { ...fields, topic: this.name, body }
  }

  async messageLater(payload: unknown, fields?: MessageFields): Promise<OutgoingMessage> {
    const body = jsonOf(payload, this.name)
    await this.#checkBody(body)
    return { ...fields, topic: this.name, body }
  }

  async read(message: ConsumedMessage): Promise<unknown> {
    try {
      return await this.#check(message.json())
    } catch (error) {
      throw new RejectMessage(messageOf(error), { cause: error })
    }
  }

  async readReply(reply: ReplyMessage): Promise<unknown> {
    const what = `reply of ${this.name}`
    let value: unknown
    try {
      value = reply.json()
    } catch (cause) {
      throw new ClientError('PAYLOAD_INVALID', `${what} is not JSON`, { cause })
    }
    return this.replySchema === undefined ? value : conform(this.replySchema, value, what)
  }

  handler(work: (payload: unknown, message: ConsumedMessage, context: HandlerContext) => unknown): MessageHandler {
    return async (message, context) => work(await this.read(message), message, context)
  }

  #checkBody(body: string): unknown {
    return this.schema === undefined ? undefined : this.#check(JSON.parse(body))
  }

  #check(value: unknown): unknown {
    return this.schema === undefined ? value : conform(this.schema, value, `payload for ${this.name}`)
  }
}

function jsonOf(payload: unknown, topic: string): string {
  let text: string | undefined
  try {
    // Bytes have a JSON form, but nobody who sends them means it.
    text = payload instanceof Uint8Array ? undefined : (JSON.stringify(payload) as string | undefined)
  } catch (cause) {
    throw new ClientError('MESSAGE_ILLEGAL', `payload for ${topic}: ${messageOf(cause)}`, { cause })
  }
  if (text === undefined) throw new ClientError('MESSAGE_ILLEGAL', `payload for ${topic} has no JSON form`)
  return text
}
