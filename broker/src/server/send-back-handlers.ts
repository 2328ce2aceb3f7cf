import { errorTable, Field, fieldName, groupNameProblem, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import type { RetryService } from '../retry/index.ts'
import type { Handler } from './handler.ts'

/** TandemMQ's own fields: an exact delay instead of a level, and why a message became a dead letter. */
const delayMsField = fieldName('delayMs')
const reasonField = fieldName('reason')

/** CONSUMER_SEND_MSG_BACK: empty answer once the retry or dead letter is stored (remoting.md 2B, 4.9). */
export function sendBackHandlers(options: { retry: RetryService }): Map<number, Handler> {
  return new Map<number, Handler>([
    [
      RequestCode.CONSUMER_SEND_MSG_BACK,
      (connection, header) => {
        const group = header.requireText(Field.group)
        const problem = groupNameProblem(group)
        if (problem !== undefined) throw new BrokerError('GROUP_NAME_INVALID', problem)
        const max = header.find(Field.maxReconsumeTimes)
        const delayMs = header.find(delayMsField)
        const reason = header.find(reasonField)
        const request = {
          group,
          physicalOffset: header.requireLong(Field.offset),
          delayLevel: header.requireInteger(Field.delayLevel),
          maxReconsumeTimes: max < 0 ? undefined : header.integer(max),
          delayMs: delayMs < 0 ? undefined : header.long(delayMs),
          reason: reason < 0 ? undefined : header.text(reason),
        }
        const { isOneway, opaque, serialization } = header
        options.retry.sendBack(request, (error) => {
          if (isOneway || !connection.isOpen) return
          connection.reply(
            { opaque, serialization },
            error === undefined
              ? { code: ResponseCode.SUCCESS }
              : { code: errorTable[error.code].remote ?? ResponseCode.SYSTEM_ERROR, remark: error.message },
          )
        })
      },
    ],
  ])
}
