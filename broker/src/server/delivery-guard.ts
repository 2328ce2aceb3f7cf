import { ResponseCode } from '@tandemmq/protocol'
import type { Measurements } from '../measurements.ts'
import type { Handler } from './handler.ts'

/** What clients wait before they ask again; Java's 20 ms for this code would keep the broker busy with refusals. */
const RETRY_AFTER_MS = 100

export interface DeliveryGuardOptions {
  measured: Measurements
  /** Bytes of answers that clients have not taken, all connections. */
  outputBytes: () => number
  /** Above, a connection with answers waiting is given no more; above twice as much nobody is. */
  outputBytesHigh: number
  /** Closes connections that have taken nothing for a while, until no more than `bytesMax` wait or none is left. */
  relieve: (bytesMax: number) => void
}

/**
 * Answers with messages are by far the largest. While clients do not take what they asked for before, those who have answers
 * waiting get no more (FLOW_CONTROL, `retryAfterMs`). Who does take them is not made to suffer: when even they would be refused,
 * those that take nothing are closed.
 */
export function guarded(handler: Handler, options: DeliveryGuardOptions): Handler {
  const { measured, outputBytes, outputBytesHigh, relieve } = options
  return (connection, header) => {
    if (outputBytes() <= outputBytesHigh) return handler(connection, header)
    const isEager = connection.pendingBytes === 0
    if (isEager && outputBytes() > 2 * outputBytesHigh) relieve(2 * outputBytesHigh)
    const waiting = outputBytes()
    if (isEager && waiting <= 2 * outputBytesHigh) return handler(connection, header)
    measured.refuse('SYSTEM_BUSY')
    if (header.isOneway) return
    const remark = `[SYSTEM_BUSY] ${waiting} bytes of answers wait for clients, retry after ${RETRY_AFTER_MS} ms`
    connection.reply(header, {
      code: ResponseCode.FLOW_CONTROL,
      remark,
      extFields: { retryAfterMs: RETRY_AFTER_MS },
    })
  }
}
