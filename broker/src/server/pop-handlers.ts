import { Field, RequestCode } from '@tandemmq/protocol'
import type { LeaseService } from '../queueing/index.ts'
import { type DeliveryGuardOptions, guarded } from './delivery-guard.ts'
import type { Handler } from './handler.ts'
import { answer, jsonBody } from './request-body.ts'

/** Delivery by leases: 200050 to 200055 and 200151. */
export function popHandlers(leases: LeaseService, guard: DeliveryGuardOptions): Map<number, Handler> {
  const pollingInfo: Handler = (connection, header) => {
    const group = header.requireText(Field.consumerGroup)
    const topic = header.requireText(Field.topic)
    const pollingNum = leases.pops.waitingOf(group, topic, header.requireInteger(Field.queueId))
    answer(connection, header, { extFields: { pollingNum } })
  }
  return new Map<number, Handler>([
    [RequestCode.POP_MESSAGE, guarded((connection, header) => leases.pops.pop(connection, header), guard)],
    [RequestCode.PEEK_MESSAGE, (connection, header) => leases.pops.peek(connection, header)],
    [RequestCode.NOTIFICATION, (connection, header) => leases.pops.notification(connection, header)],
    [RequestCode.POLLING_INFO, pollingInfo],
    [RequestCode.ACK_MESSAGE, (connection, header) => leases.acks.ack(connection, header)],
    [RequestCode.BATCH_ACK_MESSAGE, (connection, header) => leases.acks.batchAck(connection, header, jsonBody(header))],
    [
      RequestCode.CHANGE_MESSAGE_INVISIBLETIME,
      (connection, header) => leases.acks.changeInvisibleTime(connection, header),
    ],
  ])
}
