import { PropertyName, type PropertyScan, ScannedProperty } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import { decimalAt } from '../property-rewriter.ts'

const PRIORITY_MAX = 0x7fff_ffff

/**
 * Since RocketMQ 5.4 (RIP-80) a message's priority is the number of its queue, whatever queue its sender named; one above the last queue
 * means the last. A sharding key goes before it: order is a promise, priority a wish. Delayed and half messages keep theirs, which
 * a stock broker takes from them.
 * @param isPriorityTopic there a message that says nothing has the lowest; a stock broker gives it any
 * @returns -1 for none
 * @throws {BrokerError} MESSAGE_ILLEGAL when it is no whole number from 0 to 2^31 - 1
 */
export function priorityOf(scan: PropertyScan, isPriorityTopic: boolean): number {
  const start = scan.start(ScannedProperty.PRIORITY)
  if (start < 0 && !isPriorityTopic) return -1
  if (scan.start(ScannedProperty.SHARDING_KEY) >= 0) return -1
  if (start < 0) return 0
  const end = scan.end(ScannedProperty.PRIORITY)
  const priority = decimalAt(scan.bytes, start, end)
  if (priority >= 0 && priority <= PRIORITY_MAX) return priority
  const text = scan.bytes.toString('utf8', start, Math.min(end, start + 40))
  throw new BrokerError('MESSAGE_ILLEGAL', `${PropertyName.PRIORITY} is no priority: ${JSON.stringify(text)}`)
}
