import { PropertyName } from '@tandemmq/protocol'
import { ClientError } from '../client-error.ts'

/** `Uint8Array` goes as it is, a string as UTF-8, anything else as JSON. */
export type MessageBody = unknown

/** A message to be sent. */
export interface OutgoingMessage {
  topic: string
  body: MessageBody
  /** One tag, for consumers that subscribe by tag. */
  tag?: string | undefined
  /** Index keys: what `Admin.messagesByKey` finds the message by. No spaces inside a key. */
  keys?: string | readonly string[] | undefined
  /** User properties. An empty value is not transported. Together at most 32,767 bytes. */
  properties?: Readonly<Record<string, string>> | undefined
  /** Same value: same queue, in the order of the sends. */
  orderBy?: string | undefined
  /** Deliver this many ms after the broker stored it. Apache RocketMQ: 5.x only, at most 3 days. */
  delayMs?: number | undefined
  /** Deliver at this instant of the broker's clock. Apache RocketMQ: 5.x only, at most 3 days. */
  deliverAt?: Date | undefined
  /** 1..18: 1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h. */
  delayLevel?: number | undefined
  /** A repeat within the broker's window (10 minutes) gets the first one's receipt. Apache RocketMQ ignores it. */
  dedupKey?: string | undefined
  /**
   * 0 and up, higher first, in a topic created with `type: 'priority'`: its number of queues is that of priorities, a higher one means the
   * highest. For consumers by lease; those that pull share the queues out, and nobody is first. Not together with `orderBy`. Apache
   * RocketMQ: 5.4 and later.
   */
  priority?: number | undefined
  /** The application's 32-bit flag. Default 0. */
  flag?: number | undefined
  /** Message id to use instead of a new one: a repeat of an earlier send keeps its id. */
  messageId?: string | undefined
}

/** Body limit of the brokers (maxMessageSize), bytes. */
export const BODY_BYTES_MAX = 4_194_304
const PROPERTIES_BYTES_MAX = 32_767

/** A body ready for the wire; a string stays one until it is written, which saves a copy. */
export type WireBody = string | Uint8Array

export function wireBody(body: MessageBody): WireBody {
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  const text = JSON.stringify(body) as string | undefined
  if (text === undefined) throw new ClientError('MESSAGE_ILLEGAL', `a body of type ${typeof body} has no JSON form`)
  return text
}

/** @throws {ClientError} MESSAGE_TOO_LARGE, MESSAGE_ILLEGAL for an empty one */
export function checkedLength(body: WireBody, bodyBytesMax: number): number {
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  if (length > bodyBytesMax)
    throw new ClientError('MESSAGE_TOO_LARGE', `body of ${length} bytes, ${bodyBytesMax} allowed`)
  if (length === 0) throw new ClientError('MESSAGE_ILLEGAL', 'the body is empty')
  return length
}

/** How a property list is spelled: as it is stored, or already escaped for a JSON header. */
export interface Spelling {
  readonly afterName: string
  readonly afterValue: string
  spell(text: string): string
}

function refuseSeparators(text: string): void {
  if (text.includes('\u0001') || text.includes('\u0002')) {
    throw new ClientError('MESSAGE_ILLEGAL', 'a property must not contain U+0001 or U+0002')
  }
}

export const plainSpelling: Spelling = {
  afterName: '\u0001',
  afterValue: '\u0002',
  spell(text) {
    refuseSeparators(text)
    return text
  },
}

// A lone surrogate is escaped too, as JSON.stringify does: it has no UTF-8 form.
const needsEscape = /["\\\p{Cc}\p{Cs}]/u
export const jsonSpelling: Spelling = {
  afterName: '\\u0001',
  afterValue: '\\u0002',
  spell(text) {
    if (!needsEscape.test(text)) return text
    refuseSeparators(text)
    return JSON.stringify(text).slice(1, -1)
  },
}

/** Properties the library writes itself; a user's value for one would break the protocol silently. */
const reserved = new Set<string>([
  PropertyName.KEYS,
  PropertyName.TAGS,
  PropertyName.UNIQ_KEY,
  PropertyName.DELAY,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELIVER_MS,
  PropertyName.TRAN_MSG,
  PropertyName.PGROUP,
  PropertyName.WAIT,
  PropertyName.DEDUP_KEY,
  PropertyName.PRIORITY,
])

/** Names and values the library adds by itself, e.g. of a half message. */
export type ExtraProperties = readonly (readonly [name: string, value: string])[]

/**
 * The property list of a message in one string.
 * @throws {ClientError} MESSAGE_ILLEGAL for a reserved name, two delays, a priority that is none or beside an order, or separators inside a value
 */
export function spellProperties(
  message: OutgoingMessage,
  messageId: string,
  spelling: Spelling,
  extra?: ExtraProperties,
): string {
  const { afterName, afterValue } = spelling
  let text = `UNIQ_KEY${afterName}${messageId}${afterValue}WAIT${afterName}true${afterValue}`
  if (message.tag !== undefined && message.tag !== '') {
    text += `TAGS${afterName}${spelling.spell(message.tag)}${afterValue}`
  }
  if (message.keys !== undefined && message.keys.length > 0) {
    const keys = typeof message.keys === 'string' ? message.keys : message.keys.join(' ')
    text += `KEYS${afterName}${spelling.spell(keys)}${afterValue}`
  }
  if (message.orderBy !== undefined) text += `__SHARDINGKEY${afterName}${spelling.spell(message.orderBy)}${afterValue}`
  if (message.dedupKey !== undefined) text += `DEDUP_KEY${afterName}${spelling.spell(message.dedupKey)}${afterValue}`
  if (message.priority !== undefined) {
    if (message.orderBy !== undefined) throw new ClientError('MESSAGE_ILLEGAL', 'give one of orderBy and priority')
    text += `${PropertyName.PRIORITY}${afterName}${wholeNumber('priority', message.priority, 0)}${afterValue}`
  }
  if (isDelayed(message)) {
    const [name, value] = delayProperty(message)
    text += `${name}${afterName}${value}${afterValue}`
  }
  if (message.properties !== undefined) {
    for (const name in message.properties) {
      if (reserved.has(name)) throw new ClientError('MESSAGE_ILLEGAL', `property ${name} is set by the client itself`)
      const value = message.properties[name]
      if (value === undefined || value === '') continue
      text += `${spelling.spell(name)}${afterName}${spelling.spell(String(value))}${afterValue}`
    }
  }
  if (extra !== undefined) {
    for (const [name, value] of extra) text += `${name}${afterName}${spelling.spell(value)}${afterValue}`
  }
  // A character takes 3 bytes of UTF-8 at most, so a short text needs no exact count.
  if (text.length * 3 > PROPERTIES_BYTES_MAX && Buffer.byteLength(text) > PROPERTIES_BYTES_MAX) {
    throw new ClientError('MESSAGE_ILLEGAL', `properties of more than ${PROPERTIES_BYTES_MAX} bytes`)
  }
  return text
}

export function isDelayed(message: OutgoingMessage): boolean {
  return message.delayMs !== undefined || message.deliverAt !== undefined || message.delayLevel !== undefined
}

function delayProperty(message: OutgoingMessage): readonly [string, number] {
  const { delayMs, deliverAt, delayLevel } = message
  if (Number(delayMs !== undefined) + Number(deliverAt !== undefined) + Number(delayLevel !== undefined) > 1) {
    throw new ClientError('MESSAGE_ILLEGAL', 'give one of delayMs, deliverAt and delayLevel')
  }
  if (delayLevel !== undefined) return ['DELAY', wholeNumber('delayLevel', delayLevel, 1)]
  if (delayMs !== undefined) return ['TIMER_DELAY_MS', wholeNumber('delayMs', Math.ceil(delayMs), 0)]
  return ['TIMER_DELIVER_MS', wholeNumber('deliverAt', deliverAt?.getTime() ?? Number.NaN, 0)]
}

function wholeNumber(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new ClientError('MESSAGE_ILLEGAL', `${name} must be a whole number of at least ${least}, not ${value}`)
}
