import type { ConsumedMessage } from '../../message/consumed-message.ts'
import type { Receipt } from './receipt.ts'

/** Where a lease came from, with what is not settled yet. */
export interface LeaseOrigin {
  waitingForAck: number
  bytes: number
}

/**
 * One message that is ours until `deadline`.
 *
 * | state | means | leaves by |
 * | --- | --- | --- |
 * | held | waits for or is in a handler; extended in time | settling, lost |
 * | settling | acknowledged, given back or a dead letter; the broker is being told | gone |
 * | lost | the deadline passed or the broker refused the receipt: somebody else gets the message | gone |
 */
export class Lease {
  readonly message: ConsumedMessage
  /** Topic it was asked for under. */
  readonly topic: string
  readonly origin: LeaseOrigin
  receipt: Receipt
  /** Broker's clock. The same for all of one answer, whatever their receipts say later. */
  readonly leasedAt: number
  /** Monotonic ms; the broker's is not earlier. */
  deadline: number
  /** A handler has begun with it and failed: whatever becomes of the lease, this attempt counts. */
  hasFailed = false
  /** It is part of what the consumer counts as cached. */
  isCounted = false
  state: 'held' | 'settling' | 'lost' = 'held'
  /** A request that will replace the receipt: whoever needs the receipt waits for it. */
  renewal: Promise<void> | undefined

  constructor(message: ConsumedMessage, topic: string, receipt: Receipt, deadline: number, origin: LeaseOrigin) {
    this.message = message
    this.topic = topic
    this.origin = origin
    this.receipt = receipt
    this.leasedAt = receipt.popTime
    this.deadline = deadline
  }

  get brokerName(): string {
    return this.message.brokerName
  }
}
