import { BrokerError } from '../../broker-error.ts'

/** Revive queue number of ordered leases (broker.md 6.3). */
export const ORDERED_REVIVE_QUEUE = 999
/** Which topic a message was popped from: the topic itself, or a retry topic named in the first or the second way. */
export type RetryFlag = 0 | 1 | 2

/**
 * Which lease an ack is about: RocketMQ's `extraInfo`, property POP_CK (remoting.md 2B-POP). `popTime` and `reviveQueueId` together
 * are the lease's epoch: a later lease of the same message has others.
 */
export interface Receipt {
  /** ms since 1970 by the broker's clock. */
  popTime: number
  invisibleMs: number
  reviveQueueId: number
  retry: RetryFlag
}

const FIELDS_MIN = 7

/** @throws {BrokerError} INVALID_PARAMETER */
export function parseReceipt(text: string): Receipt {
  const fields = text.split(' ')
  const [popTime, invisibleMs, reviveQueueId, retry] = fields.slice(1, 5).map(Number)
  if (fields.length < FIELDS_MIN || !isWhole(popTime) || !isWhole(invisibleMs) || !isWhole(reviveQueueId)) {
    throw new BrokerError('INVALID_PARAMETER', `extraInfo ${JSON.stringify(text.slice(0, 200))} is no receipt of a pop`)
  }
  return { popTime, invisibleMs, reviveQueueId, retry: retry === 1 || retry === 2 ? retry : 0 }
}

/** The receipt of one message. @param startOffset of its batch; acks of whole batches count from it */
export function receiptText(
  { popTime, invisibleMs, reviveQueueId, retry }: Receipt,
  startOffset: number,
  brokerName: string,
  queueId: number,
  offset: number,
): string {
  return `${startOffset} ${popTime} ${invisibleMs} ${reviveQueueId} ${retry} ${brokerName} ${queueId} ${offset}`
}

function isWhole(value: number | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
