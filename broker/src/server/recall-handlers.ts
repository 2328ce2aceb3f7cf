import { Field, RequestCode, ResponseCode } from '@tandemmq/protocol'
import type { DelayService } from '../delay/index.ts'
import type { Handler } from './handler.ts'
import { keyOfHandle } from './timer-handlers.ts'

/**
 * RECALL_MESSAGE: takes back a delayed message by the handle its send was answered with. Ext `outcome` says what is true:
 * `cancelled` (code 0: it will never be delivered), `fired` or `unknown` (code 604, as stock clients expect it).
 *
 * @see remoting.md 2A
 */
export function recallHandlers(options: { delay: DelayService; brokerName: string }): Map<number, Handler> {
  const { delay, brokerName } = options
  return new Map<number, Handler>([
    [
      RequestCode.RECALL_MESSAGE,
      (connection, header) => {
        const topic = header.requireText(Field.topic)
        const uniqueKey = keyOfHandle(header.requireText(Field.recallHandle), topic, brokerName)
        const { opaque, serialization } = header
        delay.cancel(topic, uniqueKey, (outcome) => {
          if (!connection.isOpen) return
          if (outcome === 'open') {
            const remark = 'the store failed, the outcome is open until the broker restarts'
            connection.reply({ opaque, serialization }, { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark })
            return
          }
          const extFields = { MSG_REGION: 'DefaultRegion', msgId: uniqueKey, outcome }
          connection.reply(
            { opaque, serialization },
            outcome === 'cancelled'
              ? { code: ResponseCode.SUCCESS, extFields }
              : { code: ResponseCode.ILLEGAL_OPERATION, extFields, remark: `recall failed, the message is ${outcome}` },
          )
        })
      },
    ],
  ])
}
