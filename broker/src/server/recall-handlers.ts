import { Field, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import { type DelayService, parseRecallHandle } from '../delay/index.ts'
import type { Handler } from './handler.ts'

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
        const handle = parseRecallHandle(header.requireText(Field.recallHandle))
        if (handle === undefined) throw new BrokerError('ILLEGAL_OPERATION', 'recall failed, the handle is invalid')
        if (handle.topic !== topic)
          throw new BrokerError('ILLEGAL_OPERATION', 'recall failed, the topic does not match')
        if (handle.brokerName !== brokerName) {
          throw new BrokerError('ILLEGAL_OPERATION', `recall failed, ${handle.brokerName} is another broker`)
        }
        const { opaque, serialization } = header
        delay.cancel(topic, handle.uniqueKey, (outcome) => {
          if (!connection.isOpen) return
          const extFields = { MSG_REGION: 'DefaultRegion', msgId: handle.uniqueKey, outcome }
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
