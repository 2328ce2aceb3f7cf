import { ResponseCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import type { Measurements } from '../measurements.ts'
import type { Handler } from './handler.ts'

/** What clients wait before they ask again; Java's 20 ms for this code would keep the broker busy with refusals. */
const RETRY_AFTER_MS = 100

export interface DeliveryGuardOptions {
  measured: Measurements
  /** Bytes of answers that clients have not taken, all connections. */
  outputBytes: () => number
  /** Above, nobody is given more; a connection that has nothing waiting still is, up to twice as much. */
  outputBytesHigh: number
}

/**
 * Answers with messages are by far the largest. While clients do not take what they asked for before, those who have answers
 * waiting get no more (FLOW_CONTROL, `retryAfterMs`); beyond twice the limit nobody does.
 */
export function guarded(handler: Handler, { measured, outputBytes, outputBytesHigh }: DeliveryGuardOptions): Handler {
  return (connection, header) => {
    const waiting = outputBytes()
    if (waiting <= outputBytesHigh || (isEager(connection) && waiting <= 2 * outputBytesHigh)) {
      return handler(connection, header)
    }
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

const isEager = (connection: Connection): boolean => connection.pendingBytes === 0
