import { retryTopic } from '@tandemmq/protocol'

/** Which topic a leased message was read from: 0 its own, 1 and 2 the two forms of its pop retry topic. */
export type RetryForm = '0' | '1' | '2'

/** What the broker gave with a leased message and wants back with its acknowledgement (POP_CK, remoting.md 2B-POP). */
export interface Receipt {
  /** First offset of the batch the message was leased in. */
  readonly startOffset: number
  /** Broker's clock. */
  readonly popTime: number
  readonly invisibleMs: number
  readonly reviveQueueId: number
  readonly form: RetryForm
  readonly brokerName: string
  readonly queueId: number
  readonly offset: number
}

const FIELDS = 8

/** @returns undefined for a text that is no receipt */
export function parseReceipt(text: string): Receipt | undefined {
  const parts = text.split(' ')
  const [start = '', popTime = '', invisible = '', revive = '', form = '', brokerName = '', queueId = ''] = parts
  const numbers = [start, popTime, invisible, revive, queueId, parts[7] ?? ''].map(Number)
  if (parts.length < FIELDS || !isForm(form) || numbers.some((number) => !Number.isSafeInteger(number)))
    return undefined
  return {
    startOffset: Number(start),
    popTime: Number(popTime),
    invisibleMs: Number(invisible),
    reviveQueueId: Number(revive),
    form,
    brokerName,
    queueId: Number(queueId),
    offset: Number(parts[7]),
  }
}

export function receiptText(receipt: Receipt): string {
  const { startOffset, popTime, invisibleMs, reviveQueueId, form, brokerName, queueId, offset } = receipt
  return `${startOffset} ${popTime} ${invisibleMs} ${reviveQueueId} ${form} ${brokerName} ${queueId} ${offset}`
}

/** The topic an acknowledgement is addressed to. */
export function receiptTopic(topic: string, group: string, form: RetryForm): string {
  if (form === '0') return topic
  return `${retryTopic(group)}${form === '1' ? '_' : '+'}${topic}`
}

/** The form a topic name has for those who popped `topic`. */
export function formOf(storedTopic: string, topic: string, group: string): RetryForm {
  if (storedTopic === topic) return '0'
  return storedTopic === receiptTopic(topic, group, '2') ? '2' : '1'
}

/**
 * `0 3 17;1 0 4`: a number by `form queueId` (startOffsetInfo, orderCountInfo); the count of a single message stands under
 * `form qo<queueId>%<offset>`.
 */
export function parseNumbersByQueue(text: string): Map<string, number> {
  const table = new Map<string, number>()
  for (const entry of text.split(';')) {
    const [form, place, value] = entry.split(' ')
    if (form !== undefined && place !== undefined && value !== undefined) table.set(`${form} ${place}`, Number(value))
  }
  return table
}

/**
 * Little-endian bit set of BATCH_ACK in base64: bit i set = the message `startOffset + i` is acknowledged.
 * @param bits numbers of bits, each at least 0
 */
export function bitSet(bits: readonly number[]): string {
  const bytes = Buffer.alloc((Math.max(...bits) >> 3) + 1)
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7))
  return bytes.toString('base64')
}

function isForm(text: string): text is RetryForm {
  return text === '0' || text === '1' || text === '2'
}
