import type { ConsumedMessage } from '@tandemmq/client'
import { textTable } from './table.ts'

/** A message as `--json` prints it: `body` is text where the bytes are UTF-8, else base64 in `bodyBase64`. */
export interface ShownMessage {
  messageId: string
  offsetMessageId: string
  topic: string
  tag: string
  keys: string[]
  brokerName: string
  queueId: number
  queueOffset: bigint
  bornAt: Date
  storedAt: Date
  attempt: number
  properties: Readonly<Record<string, string>>
  bodyBytes: number
  body?: string
  bodyBase64?: string
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

export function shownMessage(message: ConsumedMessage): ShownMessage {
  const { messageId, offsetMessageId, topic, tag, keys, brokerName, queueId, queueOffset } = message
  const { bornAt, storedAt, attempt, properties, body } = message
  const place = { messageId, offsetMessageId, topic, tag, keys, brokerName, queueId, queueOffset }
  return { ...place, bornAt, storedAt, attempt, properties, bodyBytes: body.length, ...bodyFields(body) }
}

function bodyFields(body: Buffer): { body: string } | { bodyBase64: string } {
  try {
    return { body: utf8.decode(body) }
  } catch {
    return { bodyBase64: body.toString('base64') }
  }
}

export function messageTable(messages: readonly ShownMessage[], empty: string): string {
  return textTable(
    ['MESSAGE', 'TAG', 'KEYS', 'STORED', 'QUEUE', 'OFFSET', 'BYTES'],
    messages.map(({ messageId, tag, keys, storedAt, queueId, queueOffset, bodyBytes }) => [
      ...[messageId, tag, keys.join(' '), storedAt.toISOString()],
      ...[queueId, queueOffset, bodyBytes],
    ]),
    empty,
  )
}

export function messageText(message: ShownMessage): string {
  const lines = [
    `message     ${message.messageId}`,
    `stored as   ${message.offsetMessageId}`,
    `topic       ${message.topic}${message.tag === '' ? '' : `, tag ${message.tag}`}`,
    `keys        ${message.keys.join(' ') || '-'}`,
    `queue       ${message.brokerName} ${message.queueId}, offset ${message.queueOffset}`,
    `born        ${message.bornAt.toISOString()}`,
    `stored      ${message.storedAt.toISOString()}`,
    `attempt     ${message.attempt}`,
    ...Object.entries(message.properties).map(([name, value]) => `property    ${name} = ${value}`),
    `body        ${message.bodyBytes} bytes${message.body === undefined ? ', base64' : ''}`,
  ]
  return [...lines, '', message.body ?? message.bodyBase64].join('\n')
}
