import { type CommandInit, ResponseCode } from '@tandemmq/protocol'
import type { LeaseBatch, Part } from './lease-batch.ts'
import type { PopRequest } from './pop-request.ts'

const NOTHING = Buffer.alloc(0)

type Answer = Omit<CommandInit, 'opaque' | 'flag'>

/** The answer to a pop that got something, or nothing within its time (remoting.md 2B-POP; golden frames pop-*). */
export function popAnswer(request: PopRequest, batch: LeaseBatch, code: number): Answer {
  const { parts, popTime, reviveQueueId, records } = batch
  const isFound = code === ResponseCode.SUCCESS
  return {
    code,
    remark: isFound ? 'FOUND' : 'NO_MESSAGE_IN_QUEUE',
    extFields: {
      popTime,
      invisibleTime: request.invisibleMs,
      reviveQid: reviveQueueId,
      restNum: batch.restNum,
      startOffsetInfo: parts.map(({ flag, queueId, offsets }) => `${flag} ${queueId} ${offsets[0]}`).join(';'),
      msgOffsetInfo: parts.map(({ flag, queueId, offsets }) => `${flag} ${queueId} ${offsets.join(',')}`).join(';'),
      ...(request.isOrdered ? { orderCountInfo: parts.map(countsOf).join(';') } : {}),
    },
    body: isFound ? Buffer.concat(records) : NOTHING,
  }
}

export function peekAnswer(batch: LeaseBatch): Answer {
  const isFound = batch.records.length > 0
  return {
    code: isFound ? ResponseCode.SUCCESS : ResponseCode.PULL_NOT_FOUND,
    remark: isFound ? 'FOUND' : 'NO_MESSAGE_IN_QUEUE',
    extFields: { popTime: 0, invisibleTime: 0, reviveQid: 0, restNum: batch.restNum },
    body: Buffer.concat(batch.records),
  }
}

export function notificationAnswer(hasMsg: boolean, pollingFull: boolean): Answer {
  return { code: ResponseCode.SUCCESS, extFields: { hasMsg, pollingFull } }
}

/** Redeliveries of single messages, then the smallest of the queue, which older clients read. */
function countsOf({ flag, queueId, deliveries = [] }: Part): string {
  const single = deliveries.flatMap(({ offset, count }) =>
    count > 0 ? [`${flag} qo${queueId}%${offset} ${count}`] : [],
  )
  return [...single, `${flag} ${queueId} ${Math.min(...deliveries.map(({ count }) => count))}`].join(';')
}
