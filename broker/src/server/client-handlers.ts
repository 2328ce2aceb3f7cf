import { Field, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import {
  type ConsumerGroups,
  heartbeatOf,
  type ProducerDomains,
  type ProducerGroups,
  type SqlExpressions,
  subscriptionOf,
} from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { answer, jsonBody, textOr } from './request-body.ts'

/** Names of topics in one answer. */
const CONFLICTS_TOLD_MAX = 10

/** Membership codes: heartbeat 34, unregister 35, consumer list 38, check of a subscription 46. */
export function clientHandlers(options: {
  consumers: ConsumerGroups
  producers: ProducerGroups
  domains: ProducerDomains
  sql: SqlExpressions
}): Map<number, Handler> {
  const { consumers, producers, domains, sql } = options
  /** Ours: says that members of these groups disagree; who wants to know more asks for the connections (203). */
  const conflictField = (groups: readonly string[]): { subscriptionConflict?: string } => {
    const topics = groups.flatMap((group) => consumers.conflicts(group).map(({ topic }) => topic))
    return topics.length === 0 ? {} : { subscriptionConflict: topics.slice(0, CONFLICTS_TOLD_MAX).join(',') }
  }

  const heartbeat: Handler = (connection, header) => {
    const data = heartbeatOf(jsonBody(header), sql)
    const { language, version } = header
    const { clientId, fingerprint, withoutSubscriptions: short, instance } = data
    const client = { clientId, language, version }
    for (const group of data.producerGroups) producers.register(group, connection, clientId, language, version)
    domains.announce(data.transactionDomains, connection, client)
    // Without a fingerprint the client always sends everything; a stock broker then says "changed" (golden heartbeats).
    let subscriptionsKnown = fingerprint !== 0
    for (const consumer of data.consumers) {
      const known = consumers.heartbeat(connection, { ...client, fingerprint, short, instance }, consumer)
      subscriptionsKnown = subscriptionsKnown && known
    }
    answer(connection, header, {
      extFields: {
        ...{ IS_SUPPORT_HEART_BEAT_V2: true, IS_SUB_CHANGE: !subscriptionsKnown },
        ...conflictField(data.consumers.map(({ group }) => group)),
      },
    })
  }

  const unregister: Handler = (connection, header) => {
    header.requireText(Field.clientID)
    const producerGroup = textOr(header, Field.producerGroup, undefined)
    const consumerGroup = textOr(header, Field.consumerGroup, undefined)
    if (producerGroup !== undefined) {
      producers.unregister(producerGroup, connection)
      domains.leave(connection)
    }
    if (consumerGroup !== undefined) consumers.unregister(consumerGroup, connection)
    answer(connection, header)
  }

  const consumerList: Handler = (connection, header) => {
    const group = header.requireText(Field.consumerGroup)
    const consumerIdList = consumers.clientIds(group)
    if (consumerIdList.length > 0) {
      // For our clients: queues may be claimed (41), so that one is taken over when its last owner has finished with it.
      const isOurs = consumers.member(group, connection.id)?.instance !== undefined
      const extFields = { ...(isOurs && { queueHandover: true }), ...conflictField([group]) }
      return answer(connection, header, { extFields, body: JSON.stringify({ consumerIdList }) })
    }
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
