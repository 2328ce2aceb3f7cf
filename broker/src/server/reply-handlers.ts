import { decodeProperties, type HeaderView, PropertyName, RequestCode, ResponseCode } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { ProducerGroups } from '../queueing/index.ts'
import { sendAnswerFields } from './answer-fields.ts'
import type { Handler } from './handler.ts'
import { indexOf, integerOr, requiredIndex, SendFields } from './send-fields.ts'

const PUSH_TIMEOUT_MS = 10_000

/**
 * SEND_REPLY_MESSAGE: hands the answer of a request-reply pair to the producer that waits for it, over the connection
 * that producer opened (remoting.md 4.11). The reply is not stored: nobody but the waiting requester could use it.
 */
export function createReplyHandlers(rooms: { producers: ProducerGroups; clock: Clock }): Map<number, Handler> {
  const reply: Handler = (connection, header) => pushReply(rooms, connection, header)
  return new Map([
    [RequestCode.SEND_REPLY_MESSAGE, reply],
    [RequestCode.SEND_REPLY_MESSAGE_V2, reply],
  ])
}

function pushReply(rooms: { producers: ProducerGroups; clock: Clock }, from: Connection, header: HeaderView): void {
  const propertiesAt = indexOf(header, SendFields.properties)
  const text = propertiesAt < 0 ? '' : header.text(propertiesAt)
  const clientId = decodeProperties(Buffer.from(text))[PropertyName.REPLY_TO_CLIENT]
  if (clientId === undefined) throw new BrokerError('MESSAGE_ILLEGAL', 'a reply message has no REPLY_TO_CLIENT')
  const requester = connectionOf(rooms.producers, clientId)
  if (requester === undefined) {
    throw new BrokerError('SYSTEM_ERROR', `the requester ${clientId} is not connected`, { retryable: false })
  }
  const request = { opaque: header.opaque, serialization: header.serialization, isOneway: header.isOneway }
  const answer = (code: number, remark?: string): void => {
    if (request.isOneway || !from.isOpen) return
    from.reply(request, {
      code,
      ...(remark !== undefined && { remark }),
      extFields: { ...sendAnswerFields, msgId: '0', queueId: 0, queueOffset: 0 },
    })
  }
  const now = rooms.clock.now()
  requester
    .request(
      {
        code: RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT,
        extFields: {
          producerGroup: header.text(requiredIndex(header, SendFields.group)),
          topic: header.text(requiredIndex(header, SendFields.topic)),
          defaultTopic: 'TBW102',
          defaultTopicQueueNums: 4,
          queueId: integerOr(header, SendFields.queueId, 0),
          sysFlag: integerOr(header, SendFields.sysFlag, 0),
          bornTimestamp: header.long(requiredIndex(header, SendFields.bornTimestamp)),
          flag: integerOr(header, SendFields.flag, 0),
          properties: withPushTime(text, now),
          reconsumeTimes: 0,
          unitMode: false,
          bornHost: `${from.remoteAddress}:${from.remotePort}`,
          storeHost: `${from.localAddress}:${from.localPort}`,
          storeTimestamp: now,
        },
        body: Buffer.from(header.bytes.subarray(header.bodyStart, header.bodyEnd)),
      },
      PUSH_TIMEOUT_MS,
    )
    .then(
      ({ code, remark }) => answer(code, remark),
      (error: Error) => answer(ResponseCode.SYSTEM_ERROR, `the requester did not take the reply: ${error.message}`),
    )
}

/** Clients of version 4 leave out the separator behind the last property (remoting.md 3.1). */
function withPushTime(properties: string, now: number): string {
  const separator = properties === '' || properties.endsWith('\x02') ? '' : '\x02'
  return `${properties}${separator}${PropertyName.PUSH_REPLY_TIME}\x01${now}\x02`
}

function connectionOf(producers: ProducerGroups, clientId: string): Connection | undefined {
  for (const group of producers.groups()) {
    for (const member of producers.members(group)) {
      if (member.clientId === clientId && member.connection.isOpen) return member.connection
    }
  }
  return undefined
}
