import type { OutgoingMessage } from './foundation.ts'
import { OutboxError } from './outbox-error.ts'
import type { HalfMessage } from './settlement/half-sender.ts'
import { DEDUP_KEY, DOMAIN, TRANSACTION_ID } from './settlement/half-sender.ts'

/** What the brokers take as a body by default (maxMessageSize), bytes. */
const BODY_BYTES_MAX = 4_194_304

/** A message as it was at `messages.send`: what the caller changes afterwards is not sent. */
export interface RecordedMessage {
  readonly n: number
  readonly topic: string
  readonly body: Buffer
  readonly fields: Omit<OutgoingMessage, 'topic' | 'body' | 'dedupKey'>
}

/** @throws {OutboxError} MESSAGE_ILLEGAL, MESSAGE_TOO_LARGE; both ways a message can take refuse the same */
export function recordMessage(message: OutgoingMessage, n: number): RecordedMessage {
  const { topic, body, dedupKey, ...fields } = message
  if (typeof topic !== 'string' || topic === '') throw new OutboxError('TOPIC_NAME_INVALID', 'the message has no topic')
  if (dedupKey !== undefined) {
    throw new OutboxError('MESSAGE_ILLEGAL', 'a message of a transaction has its own dedup key: leave dedupKey out')
  }
  // Postgres text holds no NUL; found here, not only when the broker is away.
  if (`${topic}${fields.orderBy ?? ''}`.includes('\0')) {
    throw new OutboxError('MESSAGE_ILLEGAL', 'topic and orderBy must not contain NUL')
  }
  for (const name of [TRANSACTION_ID, DOMAIN]) {
    if (fields.properties?.[name] !== undefined) {
      throw new OutboxError('MESSAGE_ILLEGAL', `property ${name} is set by the outbox itself`)
    }
  }
  const bytes = bodyBytes(body)
  if (bytes.length === 0) throw new OutboxError('MESSAGE_ILLEGAL', 'the body is empty')
  if (bytes.length > BODY_BYTES_MAX) {
    throw new OutboxError('MESSAGE_TOO_LARGE', `body of ${bytes.length} bytes, ${BODY_BYTES_MAX} allowed`)
  }
  return { n, topic, body: bytes, fields: copyOf(fields) }
}

/** structuredClone costs more than the rest of the message; most messages have nothing that could change later. */
function copyOf(fields: RecordedMessage['fields']): RecordedMessage['fields'] {
  for (const value of Object.values(fields)) {
    if (typeof value !== 'string' && typeof value !== 'number' && value !== undefined) return structuredClone(fields)
  }
  return fields
}

function bodyBytes(body: unknown): Buffer {
  if (typeof body === 'string') return Buffer.from(body)
  if (body instanceof Uint8Array) return Buffer.from(body) // A copy: the caller may reuse its own.
  const text = JSON.stringify(body) as string | undefined
  if (text === undefined) throw new OutboxError('MESSAGE_ILLEGAL', `a body of type ${typeof body} has no JSON form`)
  return Buffer.from(text)
}

/** Brokers refuse a half message that is delayed: its transaction goes through the outbox table. */
export function isDelayed({ fields }: RecordedMessage): boolean {
  return fields.delayMs !== undefined || fields.deliverAt !== undefined || fields.delayLevel !== undefined
}

export function halfOf(message: RecordedMessage, transactionId: string, domainId: string): HalfMessage {
  return {
    ...message.fields,
    topic: message.topic,
    body: message.body,
    transactionId,
    dedupKey: `${transactionId}:${message.n}`,
    properties: { ...message.fields.properties, [DOMAIN]: domainId },
  }
}

/** The marker's key of a half that a broker asks about: the front of its dedup key, which no broker touches. */
export function transactionIdOf(properties: Readonly<Record<string, string>>): string {
  return properties[DEDUP_KEY]?.split(':')[0] ?? ''
}

/**
 * The same message through the outbox table. Its key differs from the half's: under an equal one the broker would take it
 * for a repeat of the half that is about to be rolled back, and both would be gone.
 */
export function forwardOf(
  row: { topic: string; body: Buffer; headers: Buffer | null },
  transactionId: string,
  n: number,
): OutgoingMessage {
  const fields = row.headers === null ? {} : (JSON.parse(row.headers.toString()) as RecordedMessage['fields'])
  const { deliverAt } = fields
  return {
    ...fields,
    ...(deliverAt === undefined ? {} : { deliverAt: new Date(deliverAt) }),
    topic: row.topic,
    body: row.body,
    dedupKey: `${transactionId}:${n}:f`,
  }
}

export function headersOf(message: RecordedMessage): Buffer {
  return Buffer.from(JSON.stringify(message.fields))
}
