import { groupNameProblem, RequestCode, topicNameProblem } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import {
  type ConsumerGroups,
  fieldsOf,
  groupConfigOf,
  isBrokerOwned,
  listOf,
  numberOf,
  textOf,
  type TopicConfig,
  type Topics,
} from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { answerAfter, jsonBody } from './request-body.ts'
import { changedAttributes } from './topic-admin-handlers.ts'

/**
 * Many topics 18 or groups 225 in one request (remoting.md 2E). All names are looked at before the first one is made; what else may
 * be wrong with a topic stops at it, and those before it are there.
 */
export function listAdminHandlers(options: {
  topics: Topics
  groups: ConsumerGroups
  announced?: () => Promise<void>
}): Map<number, Handler> {
  const { topics, groups, announced = () => Promise.resolve() } = options
  const createTopics: Handler = (connection, header) => {
    const configs = listOf(fieldsOf(jsonBody(header), 'the body'), 'topicConfigList').map((one) => topicOf(topics, one))
    for (const config of configs) topics.create(config)
    answerAfter(
      connection,
      header,
      topics.stored().then(() => announced()),
    )
  }

  const createGroups: Handler = (connection, header) => {
    const configs = listOf(fieldsOf(jsonBody(header), 'the body'), 'groupConfigList').map(groupConfigOf)
    for (const { groupName } of configs) {
      const problem = groupNameProblem(groupName)
      if (problem !== undefined) throw new BrokerError('GROUP_NAME_INVALID', problem)
    }
    for (const config of configs) groups.configure(config)
    answerAfter(connection, header, groups.stored())
  }

  return new Map([
    [RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, createTopics],
    [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, createGroups],
  ])
}

/** @throws {BrokerError} TOPIC_NAME_INVALID, INVALID_PARAMETER */
function topicOf(topics: Topics, value: unknown): TopicConfig {
  const fields = fieldsOf(value, 'the topic')
  const name = textOf(fields, 'topicName')
  const problem = topicNameProblem(name)
  if (problem !== undefined) throw new BrokerError('TOPIC_NAME_INVALID', problem)
  if (isBrokerOwned(name)) throw new BrokerError('INVALID_PARAMETER', `${name} is the broker's own topic`)
  const attributes = fieldsOf(fields['attributes'] ?? {}, 'the attributes')
  const changes = Object.entries(attributes).map(([key, text]) =>
    key.startsWith('-') ? key : `${key}=${String(text)}`,
  )
  return {
    name,
    readQueues: numberOf(fields['readQueueNums'], 16),
    writeQueues: numberOf(fields['writeQueueNums'], 16),
    perm: numberOf(fields['perm'], 6),
    order: fields['order'] === true,
    sysFlag: numberOf(fields['topicSysFlag'], 0),
    attributes: changedAttributes(topics.find(name)?.attributes ?? {}, changes.join(',')),
  }
}
