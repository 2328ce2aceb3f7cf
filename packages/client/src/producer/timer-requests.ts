import type { RemotingCommand } from '@tandemmq/protocol'
import { parseLenientJson, RequestCode, ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import { ClientError, errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { JsonObject } from '../json.ts'
import { asArray, asNumber, asObject, asText } from '../json.ts'
import type { SendReceipt } from '../message/send-receipt.ts'

/** What became of a delayed message that was to be cancelled. */
export type CancelOutcome = 'cancelled' | 'fired' | 'unknown'

/** Every delayed message to `topic` that was sent with `key` among its `keys`, or has it as message id. */
export interface TimerKey {
  readonly topic: string
  readonly key: string
}

/** When a delayed message is to be delivered instead: one of the two. The past means at once. */
export interface TimerTime {
  /** ms from now, by the broker's clock. */
  delayMs?: number | undefined
  /** An instant of the broker's clock. */
  deliverAt?: Date | undefined
}

/** What a cancel did to all messages of one key. */
export interface KeyedCancellation {
  /**
   * cancelled: at least one waited, and none of those that did will be delivered. None waited: what became of the newest
   * one the broker remembers.
   */
  readonly outcome: CancelOutcome
  /** Taken back by this very call. */
  readonly cancelled: number
  /** Delivered already, of those the broker remembers. */
  readonly fired: number
}

export interface KeyedMove {
  /** rescheduled: at least one waited, and all of those have the new time. Else as {@link KeyedCancellation.outcome}. */
  readonly outcome: CancelOutcome | 'rescheduled'
  /** Of those moved, newest first. */
  readonly receipts: readonly SendReceipt[]
  readonly fired: number
}

const strength: Readonly<Record<string, number>> = { unknown: 0, cancelled: 1, fired: 2, rescheduled: 3 }

/** By the handle of a receipt: RECALL_MESSAGE, which Apache RocketMQ knows too. */
export async function cancelReceipt(core: ClientCore, group: string, receipt: SendReceipt): Promise<CancelOutcome> {
  const extFields = { producerGroup: group, topic: receipt.topic, recallHandle: handleOf(receipt) }
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

/** Asks every broker of `brokers` (name -> address). */
export async function cancelKey(
  core: ClientCore,
  brokers: ReadonlyMap<string, string>,
  { topic, key }: TimerKey,
): Promise<KeyedCancellation> {
  let total: KeyedCancellation = { outcome: 'unknown', cancelled: 0, fired: 0 }
  const init = { code: TandemRequestCode.CANCEL_TIMER_BY_KEY, body: bodyOf({ topic, key }) }
  for (const [brokerName, address] of brokers) {
    const answer = await askOurs(core, brokerName, address, init, `cancel by key in ${topic}`)
    const outcome = asText(answer['outcome']) as CancelOutcome
    total = {
      outcome: stronger(total.outcome, outcome),
      cancelled: total.cancelled + asNumber(answer['cancelled']),
      fired: total.fired + asNumber(answer['fired']),
    }
  }
  return total.cancelled > 0 ? { ...total, outcome: 'cancelled' } : total
}

export async function rescheduleKey(
  core: ClientCore,
  brokers: ReadonlyMap<string, string>,
  { topic, key }: TimerKey,
  time: TimerTime,
): Promise<KeyedMove> {
  const body = bodyOf({ topic, key, ...timeFields(time) })
  const receipts: SendReceipt[] = []
  let outcome: KeyedMove['outcome'] = 'unknown'
  let fired = 0
  for (const [brokerName, address] of brokers) {
    const moved = await reschedule(core, brokerName, address, body, `reschedule by key in ${topic}`)
    receipts.push(...moved.receipts)
    fired += moved.fired
    outcome = stronger(outcome, moved.outcome)
  }
  return { outcome, receipts, fired }
}

export async function rescheduleReceipt(core: ClientCore, receipt: SendReceipt, time: TimerTime): Promise<KeyedMove> {
  const { topic, brokerName } = receipt
  const body = bodyOf({ topic, recallHandle: handleOf(receipt), ...timeFields(time) })
  return reschedule(core, brokerName, core.brokerAddress(brokerName), body, `reschedule ${receipt.messageId}`)
}

/** One of our own requests. @throws {ClientError} REQUEST_NOT_SUPPORTED by a broker of Apache RocketMQ, in words */
export async function askOurs(
  core: ClientCore,
  brokerName: string,
  address: string,
  init: { code: number; body: Buffer },
  doing: string,
): Promise<JsonObject> {
  const answer: RemotingCommand = await core.request(address, init)
  if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED) {
    const detail = `${doing}: the broker ${brokerName} cannot do this, only TandemMQ can (request code ${init.code})`
    throw new ClientError('REQUEST_NOT_SUPPORTED', detail)
  }
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, doing)
  return asObject(parseLenientJson(answer.body.toString('utf8')))
}

export function bodyOf(value: object): Buffer {
  return Buffer.from(JSON.stringify(value))
}

async function reschedule(
  core: ClientCore,
  brokerName: string,
  address: string,
  body: Buffer,
  doing: string,
): Promise<KeyedMove> {
  const init = { code: TandemRequestCode.RESCHEDULE_TIMER, body }
  const answer = await askOurs(core, brokerName, address, init, doing)
  const receipts = asArray(answer['rescheduled']).map((place) => receiptOf(asObject(place), brokerName))
  return { outcome: asText(answer['outcome']) as KeyedMove['outcome'], receipts, fired: asNumber(answer['fired']) }
}

function receiptOf(place: JsonObject, brokerName: string): SendReceipt {
  return {
    messageId: asText(place['uniqueKey']),
    topic: asText(place['topic']),
    brokerName,
    queueId: asNumber(place['queueId']),
    queueOffset: BigInt(asNumber(place['queueOffset'])),
    duplicate: false,
    offsetMessageId: asText(place['offsetMessageId']),
    recallHandle: asText(place['recallHandle']),
  }
}

function handleOf({ messageId, recallHandle }: SendReceipt): string {
  if (recallHandle !== undefined) return recallHandle
  throw new ClientError('INVALID_PARAMETER', `message ${messageId} was not delayed, or cannot be cancelled`)
}

function timeFields({ delayMs, deliverAt }: TimerTime): { delayMs: number } | { deliverAt: number } {
  if ((delayMs === undefined) === (deliverAt === undefined)) {
    throw new ClientError('INVALID_PARAMETER', 'give one of delayMs and deliverAt')
  }
  const ms = delayMs === undefined ? (deliverAt?.getTime() ?? Number.NaN) : Math.ceil(delayMs)
  if (!Number.isSafeInteger(ms) || ms < 0) {
    throw new ClientError('INVALID_PARAMETER', `${delayMs === undefined ? 'deliverAt' : 'delayMs'} must be >= 0`)
  }
  return delayMs === undefined ? { deliverAt: ms } : { delayMs: ms }
}

function stronger<T extends string>(one: T, other: T): T {
  return (strength[other] ?? 0) > (strength[one] ?? 0) ? other : one
}
