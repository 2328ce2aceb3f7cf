import type { RemotingCommand } from '@tandemmq/protocol'
import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import { errorOfAnswer } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import { longOf } from '../pull-request.ts'
import type { Lease } from './lease.ts'
import type { Receipt } from './receipt.ts'
import { bitSet, receiptText, receiptTopic } from './receipt.ts'

const REASON_CHARACTERS_MAX = 512

/**
 * Makes a lease end `invisibleMs` from now, later or sooner than it would (CHANGE_MESSAGE_INVISIBLETIME 200053).
 * @param more for TandemMQ, see its AckService; others leave it out of account
 * @returns the receipt that replaces the old one
 * @throws {ClientError} LEASE_LOST when there is no such lease any more; what else the broker answered
 */
export async function changeInvisible(
  core: ClientCore,
  group: string,
  lease: Lease,
  invisibleMs: number,
  more: { byPolicy?: true; begun?: true } = {},
): Promise<Receipt> {
  const init = {
    code: RequestCode.CHANGE_MESSAGE_INVISIBLETIME,
    extFields: { ...whereOf(lease, group), invisibleTime: invisibleMs, ...more },
  }
  const doing = `change the lease of ${lease.message.messageId}`
  const answer = await core.request(core.brokerAddress(lease.brokerName), init)
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, doing)
  return renewed(lease.receipt, answer)
}

/**
 * Makes a lease end in the dead letter topic, in one act on a broker that can (TandemMQ).
 * @param invisibleMs for how long any other broker hides the message
 * @returns false when it was hidden: the lease goes on with a new receipt
 * @throws {ClientError} LEASE_LOST; what else the broker answered
 */
export async function buryLease(
  core: ClientCore,
  group: string,
  lease: Lease,
  invisibleMs: number,
  reason: string,
): Promise<boolean> {
  const deadLetter = reason.slice(0, REASON_CHARACTERS_MAX)
  const extFields = { ...whereOf(lease, group), invisibleTime: invisibleMs, deadLetter, attempt: lease.message.attempt }
  const init = { code: RequestCode.CHANGE_MESSAGE_INVISIBLETIME, extFields }
  const doing = `make ${lease.message.messageId} a dead letter`
  const answer = await core.request(core.brokerAddress(lease.brokerName), init)
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, doing)
  if (answer.extFields['buried'] === 'true') return true
  lease.receipt = renewed(lease.receipt, answer)
  return false
}

function renewed(receipt: Receipt, answer: RemotingCommand): Receipt {
  return {
    ...receipt,
    startOffset: receipt.offset,
    popTime: longOf(answer, 'popTime'),
    invisibleMs: longOf(answer, 'invisibleTime'),
    reviveQueueId: longOf(answer, 'reviveQid'),
  }
}

/** @throws {ClientError} what the broker answered, or the connection's failure */
export async function ack(core: ClientCore, group: string, lease: Lease): Promise<void> {
  const init = { code: RequestCode.ACK_MESSAGE, extFields: whereOf(lease, group) }
  await core.ask(core.brokerAddress(lease.brokerName), init, `acknowledge ${lease.message.messageId}`)
}

/**
 * Acknowledges leases of one broker in one request (BATCH_ACK_MESSAGE 200151, since RocketMQ 5.1).
 * @throws {ClientError} REQUEST_NOT_SUPPORTED by an older broker; what else it answered, or the connection's failure
 */
export async function ackBatch(core: ClientCore, group: string, leases: readonly Lease[]): Promise<void> {
  const [first] = leases
  if (first === undefined) return
  const { brokerName } = first
  const body = Buffer.from(JSON.stringify({ acks: acksOf(group, leases), brokerName }))
  const init = { code: RequestCode.BATCH_ACK_MESSAGE, extFields: { bname: brokerName }, body }
  await core.ask(core.brokerAddress(brokerName), init, `acknowledge ${leases.length} messages`)
}

/** One entry for the messages of a queue that were leased together. */
function acksOf(group: string, leases: readonly Lease[]): unknown[] {
  const batches = new Map<string, { first: Lease; bits: number[] }>()
  for (const lease of leases) {
    const { startOffset, popTime, invisibleMs, reviveQueueId, form, queueId, offset } = lease.receipt
    const key = `${form} ${queueId} ${startOffset} ${popTime} ${invisibleMs} ${reviveQueueId} ${lease.topic}`
    const batch = batches.get(key)
    if (batch === undefined) batches.set(key, { first: lease, bits: [offset - startOffset] })
    else batch.bits.push(offset - startOffset)
  }
  return [...batches.values()].map(({ first: { receipt, topic }, bits }) => ({
    b: bitSet(bits),
    c: group,
    it: receipt.invisibleMs,
    pt: receipt.popTime,
    q: receipt.queueId,
    r: receipt.form,
    rq: receipt.reviveQueueId,
    so: receipt.startOffset,
    t: topic,
  }))
}

function whereOf({ receipt, topic }: Lease, group: string): Record<string, string | number> {
  return {
    consumerGroup: group,
    topic: receiptTopic(topic, group, receipt.form),
    queueId: receipt.queueId,
    offset: receipt.offset,
    extraInfo: receiptText(receipt),
    bname: receipt.brokerName,
  }
}
