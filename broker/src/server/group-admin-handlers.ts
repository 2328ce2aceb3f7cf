import { Field, languageName, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { formatAddress, normalizeHost } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import {
  type ConsumerGroups,
  groupConfigOf,
  type LeaseService,
  type Member,
  type Offsets,
  type ProducerGroups,
  type Subscription,
} from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { dialectJson } from './json-dialect.ts'
import { answer, answerAfter, flagOr, jsonBody } from './request-body.ts'

/** Operators and groups: settings 200, 201, 352, 207, connections 203 and 204, all producers 328. */
export function groupAdminHandlers(options: {
  groups: ConsumerGroups
  producers: ProducerGroups
  offsets: Offsets
  leases: Pick<LeaseService, 'deleteGroup'>
}): Map<number, Handler> {
  const { groups, producers, offsets, leases } = options
  const configure: Handler = (connection, header) => {
    groups.configure(groupConfigOf(jsonBody(header)))
    answerAfter(connection, header, groups.stored())
  }

  const configs: Handler = (connection, header) => {
    const subscriptionGroupTable = new Map(groups.list().map(({ name, config }) => [name, config]))
    const dataVersion = { counter: 0, stateVersion: 0, timestamp: 0 }
    answer(connection, header, { body: dialectJson({ dataVersion, forbiddenTable: {}, subscriptionGroupTable }) })
  }

  const remove: Handler = (connection, header) => {
    const name = header.requireText(Field.groupName)
    if (flagOr(header, Field.cleanOffset, false)) offsets.deleteGroup(name)
    leases.deleteGroup(name)
    if (groups.find(name) === undefined) return answer(connection, header)
    answerAfter(connection, header, groups.delete(name))
  }

  const consumers: Handler = (connection, header) => {
    const group = header.requireText(Field.consumerGroup)
    const members = groups.members(group)
    const first = members.at(-1)
    if (first === undefined) {
      return answer(connection, header, {
        code: ResponseCode.CONSUMER_NOT_ONLINE,
        remark: `the consumer group[${group}] not online`,
      })
    }
    const subscriptionTable = new Map(
      [...groups.subscriptions(group)].map(([topic, one]) => [topic, wireSubscription(one)]),
    )
    const body = {
      connectionSet: members.map(wireConnection),
      consumeFromWhere: first.consumeFromWhere,
      consumeType: first.consumeType,
      messageModel: first.messageModel,
      subscriptionTable,
      // Ours: topics on which the members disagree, and who wants what; stock readers ignore it.
      subscriptionConflicts: groups.conflicts(group),
    }
    answer(connection, header, { body: dialectJson(body) })
  }

  const producerConnections: Handler = (connection, header) => {
    const group = header.requireText(Field.producerGroup)
    const members = producers.members(group)
    if (members.length === 0) throw new BrokerError('SYSTEM_ERROR', `the producer group[${group}] not exist`)
    answer(connection, header, { body: dialectJson({ connectionSet: members.map(wireConnection) }) })
  }

  const config: Handler = (connection, header) =>
    answer(connection, header, { body: JSON.stringify(groups.require(header.requireText(Field.group)).config) })

  const allProducers: Handler = (connection, header) => {
    const wireProducer = (member: Member): Record<string, unknown> => {
      const { clientAddr: remoteIP, ...rest } = wireConnection(member)
      return { ...rest, remoteIP, lastUpdateTimestamp: producers.lastSeenAt(member) }
    }
    const data = producers.groups().map((group) => [group, producers.members(group).map(wireProducer)] as const)
    answer(connection, header, { body: dialectJson({ data: new Map(data) }) })
  }

  return new Map([
    [RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, config],
    [RequestCode.GET_ALL_PRODUCER_INFO, allProducers],
    [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, configure],
    [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, configs],
    [RequestCode.DELETE_SUBSCRIPTIONGROUP, remove],
    [RequestCode.GET_CONSUMER_CONNECTION_LIST, consumers],
    [RequestCode.GET_PRODUCER_CONNECTION_LIST, producerConnections],
  ])
}

const wireConnection = ({ connection, clientId, language, version }: Member): Record<string, unknown> => ({
  clientAddr: formatAddress(normalizeHost(connection.remoteAddress), connection.remotePort),
  clientId,
  language: languageName(language),
  version,
})

/** SubscriptionData of bodies (remoting.md 1.8). */
export const wireSubscription = ({
  topic,
  expressionType,
  text,
  version,
  tags,
  codes,
}: Subscription): Record<string, unknown> => ({
  classFilterMode: false,
  codeSet: codes,
  expressionType,
  subString: text,
  subVersion: version,
  tagsSet: tags,
  topic,
})
