import { Field, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import {
  type ConsumerGroups,
  heartbeatOf,
  type ProducerGroups,
  type SqlExpressions,
  subscriptionOf,
} from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { answer, jsonBody, textOr } from './request-body.ts'

/** Membership codes: heartbeat 34, unregister 35, consumer list 38, check of a subscription 46. */
export function clientHandlers(options: {
  consumers: ConsumerGroups
  producers: ProducerGroups
  sql: SqlExpressions
}): Map<number, Handler> {
  const { consumers, producers, sql } = options
  const heartbeat: Handler = (connection, header) => {
    const data = heartbeatOf(jsonBody(header), sql)
    const { language, version } = header
    const { clientId, fingerprint, withoutSubscriptions: short } = data
    for (const group of data.producerGroups) producers.register(group, connection, clientId, language, version)
    // Without a fingerprint the client always sends everything; a stock broker then says "changed" (golden heartbeats).
    let subscriptionsKnown = fingerprint !== 0
    for (const consumer of data.consumers) {
      const known = consumers.heartbeat(connection, { clientId, language, version, fingerprint, short }, consumer)
      subscriptionsKnown = subscriptionsKnown && known
    }
    answer(connection, header, {
      extFields: { IS_SUPPORT_HEART_BEAT_V2: true, IS_SUB_CHANGE: !subscriptionsKnown },
    })
  }

  const unregister: Handler = (connection, header) => {
    header.requireText(Field.clientID)
    const producerGroup = textOr(header, Field.producerGroup, undefined)
    const consumerGroup = textOr(header, Field.consumerGroup, undefined)
    if (producerGroup !== undefined) producers.unregister(producerGroup, connection)
    if (consumerGroup !== undefined) consumers.unregister(consumerGroup, connection)
    answer(connection, header)
  }

  const consumerList: Handler = (connection, header) => {
    const group = header.requireText(Field.consumerGroup)
    const consumerIdList = consumers.clientIds(group)
    if (consumerIdList.length > 0) return answer(connection, header, { body: JSON.stringify({ consumerIdList }) })
    // remoting.md 8.3: clients read an empty list as "nobody", and this code as "keep what you have".
    answer(connection, header, { code: ResponseCode.SYSTEM_ERROR, remark: `no consumer for this group, ${group}` })
  }

  /** A client with a SQL92 subscription asks before it starts whether the broker understands it (remoting.md 2B, 46). */
  const check: Handler = (connection, header) => {
    const body = jsonBody(header)
    const asked =
      typeof body === 'object' && body !== null && 'subscriptionData' in body ? body.subscriptionData : undefined
    const { filter } = subscriptionOf(asked, sql)
    if (filter instanceof BrokerError) throw filter
    answer(connection, header)
  }

  return new Map([
    [RequestCode.HEART_BEAT, heartbeat],
    [RequestCode.UNREGISTER_CLIENT, unregister],
    [RequestCode.GET_CONSUMER_LIST_BY_GROUP, consumerList],
    [RequestCode.CHECK_CLIENT_CONFIG, check],
  ])
}
