import { Field, RequestCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import {
  changedAttributes,
  type ConsumerGroups,
  isBrokerOwned,
  keptRemark,
  type Offsets,
  type ReadRecord,
  storeTimestampAt,
  type Topics,
  wireTopicConfig,
} from '../queueing/index.ts'
import type { Statistics } from '../statistics/index.ts'
import type { Handler } from './handler.ts'
import { dialectJson } from './json-dialect.ts'
import type { MessageQueue } from './message-queue.ts'
import { answer, answerAfter, flagOr, integerOr, textOr } from './request-body.ts'

/** Operators and topics: create 17, delete 215, settings 351 and 21, own topics 305, statistics 202, who consumes 300. */
export function topicAdminHandlers(options: {
  topics: Topics
  groups: ConsumerGroups
  offsets: Offsets
  read: ReadRecord
  statistics: Pick<Statistics, 'perSecond'>
  brokerName: string
  announced?: () => Promise<void>
}): Map<number, Handler> {
  const { topics, groups, offsets, read, statistics, brokerName, announced = () => Promise.resolve() } = options
  const create: Handler = (connection, header) => {
    const name = header.requireText(Field.topic)
    if (isBrokerOwned(name)) throw new BrokerError('INVALID_PARAMETER', `${name} is the broker's own topic`)
    const readQueues = header.requireInteger(Field.readQueueNums)
    const writeQueues = header.requireInteger(Field.writeQueueNums)
    const attributes = changedAttributes(topics.find(name)?.attributes ?? {}, textOr(header, Field.attributes, ''))
    const topic = topics.create({
      name,
      readQueues,
      writeQueues,
      perm: integerOr(header, Field.perm, 6),
      order: flagOr(header, Field.order, false),
      sysFlag: integerOr(header, Field.topicSysFlag, 0),
      attributes,
    })
    // Tools ask the name servers for the route as soon as they have the answer.
    answerAfter(
      connection,
      header,
      topics.stored().then(() => announced()),
      (_done, request) => {
        const remark = keptRemark(name, readQueues, topic.readQueues)
        answer(connection, request, remark === undefined ? {} : { remark })
      },
    )
  }

  const remove: Handler = (connection, header) => {
    const name = header.requireText(Field.topic).trim()
    if (name === '') throw new BrokerError('INVALID_PARAMETER', 'the topic is blank')
    if (isBrokerOwned(name)) throw new BrokerError('INVALID_PARAMETER', `${name} is the broker's own topic`)
    // A stock broker answers 0 for a topic it does not have, and deleteTopic asks every broker of the cluster. It may be gone from
    // memory alone, by an attempt whose entry did not reach the disk.
    if (topics.find(name) === undefined) return answerAfter(connection, header, topics.stored())
    answerAfter(
      connection,
      header,
      topics.delete(name).then(() => announced()),
    )
  }

  const stats: Handler = (connection, header) => {
    const topic = topics.require(header.requireText(Field.topic))
    const offsetTable = new Map<MessageQueue, unknown>()
    for (const [queueId, { minOffset, maxOffset }] of topic.queues.entries()) {
      const queue = topics.requireQueue(topic.name, queueId)
      const lastUpdateTimestamp = Math.max(0, storeTimestampAt(queue, maxOffset - 1, read))
      offsetTable.set({ brokerName, queueId, topic: topic.name }, { lastUpdateTimestamp, maxOffset, minOffset })
    }
    const topicPutTps = statistics.perSecond('TOPIC_PUT_NUMS', topic.name)
    answer(connection, header, { body: dialectJson({ offsetTable, topicPutTps }) })
  }

  const consumedBy: Handler = (connection, header) => {
    const topic = header.requireText(Field.topic)
    const online = groups.online().filter((group) => groups.subscriptions(group).has(topic))
    const groupList = [...new Set([...online, ...offsets.groupsOf(topic)])]
    answer(connection, header, { body: JSON.stringify({ groupList }) })
  }

  const config: Handler = (connection, header) => {
    const topic = topics.require(header.requireText(Field.topic))
    answer(connection, header, { body: JSON.stringify(wireTopicConfig(topic)) })
  }

  const configs: Handler = (connection, header) => {
    const topicConfigTable = new Map(topics.list().map((topic) => [topic.name, wireTopicConfig(topic)]))
    const dataVersion = { counter: 0, stateVersion: 0, timestamp: 0 }
    answer(connection, header, { body: dialectJson({ dataVersion, topicConfigTable }) })
  }

  const ownTopics: Handler = (connection, header) => {
    const topicList = topics.list().flatMap(({ name, system }) => (system ? [name] : []))
    answer(connection, header, { body: JSON.stringify({ topicList }) })
  }

  return new Map([
    [RequestCode.GET_TOPIC_CONFIG, config],
    [RequestCode.GET_ALL_TOPIC_CONFIG, configs],
    [RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER, ownTopics],
    [RequestCode.UPDATE_AND_CREATE_TOPIC, create],
    [RequestCode.DELETE_TOPIC_IN_BROKER, remove],
    [RequestCode.GET_TOPIC_STATS_INFO, stats],
    [RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, consumedBy],
  ])
}
