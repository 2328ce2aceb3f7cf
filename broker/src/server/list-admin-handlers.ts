import { groupNameProblem, RequestCode, topicNameProblem } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import {
  changedAttributes,
  type ConsumerGroups,
  fieldsOf,
  groupConfigOf,
  isBrokerOwned,
  keptRemark,
  listOf,
  numberOf,
  textOf,
  type Topics,
} from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { answer, answerAfter, jsonBody } from './request-body.ts'

const ENTRIES_MAX = 10_000
const KEPT_NAMED_MAX = 10

/** Many at once: topics 18, groups 225. Names are checked before the first one is created; one wrong number ends the rest. */
export function listAdminHandlers(options: {
  topics: Topics
  groups: ConsumerGroups
  announced?: () => Promise<void>
}): Map<number, Handler> {
  const { topics, groups, announced = () => Promise.resolve() } = options
  const createTopics: Handler = (connection, header) => {
    const configs = entriesOf(jsonBody(header), 'topicConfigList').map((fields) => {
      const name = textOf(fields, 'topicName')
      const problem = topicNameProblem(name)
      if (problem !== undefined) throw new BrokerError('TOPIC_NAME_INVALID', problem)
      if (isBrokerOwned(name)) throw new BrokerError('INVALID_PARAMETER', `${name} is the broker's own topic`)
      const changes = Object.entries(fieldsOf(fields['attributes'] ?? {}, 'attributes'))
      const attributes = changes.map(([key, value]) => (key.startsWith('-') ? key : `${key}=${String(value)}`)).join()
      return {
        ...{
          name,
          readQueues: numberOf(fields['readQueueNums'], 16),
          writeQueues: numberOf(fields['writeQueueNums'], 16),
        },
        ...{ perm: numberOf(fields['perm'], 6), sysFlag: numberOf(fields['topicSysFlag'], 0) },
        order: fields['order'] === true,
        attributes: changedAttributes(topics.find(name)?.attributes ?? {}, attributes),
      }
    })
    const kept = configs.flatMap((config) => {
      const { readQueues } = topics.create(config)
      return keptRemark(config.name, config.readQueues, readQueues) ?? []
    })
    answerAfter(
      connection,
      header,
      topics.stored().then(() => announced()),
      (_done, request) =>
        answer(connection, request, kept.length === 0 ? {} : { remark: kept.slice(0, KEPT_NAMED_MAX).join('; ') }),
    )
  }

  const createGroups: Handler = (connection, header) => {
    const configs = entriesOf(jsonBody(header), 'groupConfigList').map((fields) => {
      const config = groupConfigOf(fields)
      const problem = groupNameProblem(config.groupName)
      if (problem !== undefined) throw new BrokerError('GROUP_NAME_INVALID', problem)
      return config
    })
    for (const config of configs) groups.configure(config)
    answerAfter(connection, header, groups.stored())
  }

  return new Map([
    [RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, createTopics],
    [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, createGroups],
  ])
}

/** @throws {BrokerError} INVALID_PARAMETER; {ProtocolError} FIELD_INVALID */
function entriesOf(body: unknown, name: string): Record<string, unknown>[] {
  const entries = listOf(fieldsOf(body, 'the body'), name)
  if (entries.length === 0 || entries.length > ENTRIES_MAX) {
    throw new BrokerError('INVALID_PARAMETER', `${name} has 1 to ${ENTRIES_MAX} entries, not ${entries.length}`)
  }
  return entries.map((entry) => fieldsOf(entry, `an entry of ${name}`))
}
