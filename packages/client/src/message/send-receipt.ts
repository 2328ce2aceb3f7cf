import type { HeaderView } from '@tandemmq/protocol'
import { Field, fieldName, parseOffsetMessageId } from '@tandemmq/protocol'

/** Where a message was stored. */
export interface SendReceipt {
  /** Unique id of the message; of a repeat, the id of the first one. */
  readonly messageId: string
  readonly topic: string
  readonly brokerName: string
  readonly queueId: number
  /** Position in its queue. Of a delayed message: in the broker's own queue, until it is delivered. */
  readonly queueOffset: bigint
  /** True when the broker had this message (or this dedupKey) already; always false on Apache RocketMQ. */
  readonly duplicate: boolean
  /** Address and log position, what `Admin.messageById` reads fastest. */
  readonly offsetMessageId: string
  /** Present for delayed messages: what {@link Producer.cancel} needs. */
  readonly recallHandle: string | undefined
}

/** An accepted send, read from the answer's header while that is valid. */
export interface SendAnswer {
  readonly queueId: number
  readonly queueOffset: bigint
  readonly offsetMessageId: string
  /** Unique id of what the broker had already; undefined when it had not. */
  readonly transactionId: string | undefined
  readonly duplicate: boolean
  readonly recallHandle: string | undefined
  /** Of a batch with repeats only: places of the members the broker had already, and every member's queue and offset. */
  readonly duplicates: ReadonlySet<number> | undefined
  readonly queueIds: readonly number[] | undefined
  readonly queueOffsets: readonly bigint[] | undefined
  /** MSG_REGION; undefined when nobody traces here or the broker wants no trace of the message. */
  readonly region: string | undefined
}

const duplicatesField = fieldName('duplicates')
const queueIdsField = fieldName('queueIds')
const queueOffsetsField = fieldName('queueOffsets')
const dedupField = fieldName('dedup')
const recallField = fieldName('recallHandle')
const transactionField = fieldName('transactionId')
const regionField = fieldName('MSG_REGION')
const traceOnField = fieldName('TRACE_ON')

/**
 * @param isBatch of several messages
 * @param isWatched hooks of this producer look at what only they need
 */
export function sendAnswerOf(header: HeaderView, isBatch: boolean, isWatched: boolean): SendAnswer {
  const dedup = header.find(dedupField)
  const duplicate = dedup >= 0 && header.text(dedup) === '1'
  return {
    queueId: header.requireInteger(Field.queueId),
    queueOffset: BigInt(header.requireLong(Field.queueOffset)),
    offsetMessageId: header.requireText(Field.msgId),
    transactionId: duplicate ? optionalText(header, transactionField) : undefined,
    duplicate,
    recallHandle: optionalText(header, recallField),
    duplicates: isBatch ? placesOf(optionalText(header, duplicatesField)) : undefined,
    queueIds: isBatch ? optionalText(header, queueIdsField)?.split(',').map(Number) : undefined,
    queueOffsets: isBatch ? offsetsOf(optionalText(header, queueOffsetsField)) : undefined,
    region: isWatched ? traceRegionOf(header) : undefined,
  }
}

/** What the caller of a send gets; one function for all sends of a kind, so that none costs a closure. */
export type Finish<T> = (answer: SendAnswer, brokerName: string, topic: string, messageId: string) => T

export function receiptOf(answer: SendAnswer, brokerName: string, topic: string, messageId: string): SendReceipt {
  return {
    // The broker echoes the unique key of what it holds: of a repeat, that of the first one.
    messageId: answer.duplicate ? (answer.transactionId ?? messageId) : messageId,
    topic,
    brokerName,
    queueId: answer.queueId,
    queueOffset: answer.queueOffset,
    duplicate: answer.duplicate,
    offsetMessageId: answer.offsetMessageId,
    recallHandle: answer.recallHandle,
  }
}

function traceRegionOf(header: HeaderView): string | undefined {
  if (optionalText(header, traceOnField) === 'false') return undefined
  return optionalText(header, regionField) ?? 'DefaultRegion'
}

function placesOf(list: string | undefined): ReadonlySet<number> | undefined {
  return list === undefined ? undefined : new Set(list.split(',').map(Number))
}

function offsetsOf(list: string | undefined): readonly bigint[] | undefined {
  return list?.split(',').map(BigInt)
}

function optionalText(header: HeaderView, name: Parameters<HeaderView['find']>[0]): string | undefined {
  const index = header.find(name)
  return index < 0 ? undefined : header.text(index)
}

export function physicalOffsetOf(offsetMessageId: string): bigint {
  return parseOffsetMessageId(offsetMessageId).physicalOffset
}
