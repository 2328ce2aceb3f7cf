import { Field, fieldName, RequestCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import {
  type ConsumerGroups,
  firstAtOrAfter,
  type LeaseService,
  type Offsets,
  passedOver,
  type PullService,
  type ReadRecord,
  storeTimestampAt,
  type Topic,
  type Topics,
} from '../queueing/index.ts'
import type { Statistics } from '../statistics/index.ts'
import type { ConsumeQueue } from '../store/index.ts'
import type { Handler } from './handler.ts'
import { dialectJson } from './json-dialect.ts'
import type { MessageQueue } from './message-queue.ts'
import { answer, answerAfter, flagOr, integerOr, longOr, textOr } from './request-body.ts'
import { dialledAddress } from './route-handlers.ts'

const topicListField = fieldName('topicList')
const isOrderField = fieldName('isOrder')

interface Progress {
  brokerOffset: number
  consumerOffset: number
  lastTimestamp: number
  pullOffset: number
}

/** How far groups are, and moving them: consume statistics 208 and 317, reset 222. */
export function progressHandlers(options: {
  topics: Topics
  groups: ConsumerGroups
  offsets: Offsets
  pulls: PullService
  leases: Pick<LeaseService, 'nextOffset'>
  read: ReadRecord
  statistics: Pick<Statistics, 'perSecond'>
  brokerName: string
}): Map<number, Handler> {
  const { topics, groups, offsets, pulls, leases, read, statistics, brokerName } = options
  const stats: Handler = (connection, header) => {
    const group = header.requireText(Field.consumerGroup)
    const one = textOr(header, Field.topic, '')
    const listed = textOr(header, topicListField, '').split(';')
    const asked = [...listed, ...(listed.some((name) => name !== '') ? [] : [one])].filter((name) => name !== '')
    const subscribed = [...groups.subscriptions(group).keys()]
    const names = asked.length > 0 ? asked : [...new Set([...subscribed, ...offsets.topicsOf(group)])]
    const offsetTable = new Map(names.flatMap((name) => [...offsetTableOf(group, name)]))
    const consumeTps = names.map((name) => tpsOf(group, name)).reduce((sum, tps) => sum + tps, 0)
    answer(connection, header, { body: dialectJson({ consumeTps, offsetTable }) })
  }

  const tpsOf = (group: string, topic: string): number => statistics.perSecond('GROUP_GET_NUMS', `${topic}@${group}`)

  const offsetTableOf = (group: string, name: string): Map<MessageQueue, Progress> => {
    const topic = topics.find(name)
    const queues = [...(topic?.queues.slice(0, topic.readQueues).entries() ?? [])]
    return new Map(
      queues.map(([queueId, queue]) => [{ brokerName, queueId, topic: name }, progressOf(group, name, queue)]),
    )
  }

  const allStats: Handler = (connection, header) => {
    const onlyOrdered = flagOr(header, isOrderField, false)
    let totalDiff = 0
    const consumeStatsList = groups.list().flatMap(({ name: group }) => {
      const names = offsets.topicsOf(group).filter((name) => !onlyOrdered || topics.find(name)?.order === true)
      const ofTopics = names.map((name) => ({
        consumeTps: tpsOf(group, name),
        offsetTable: offsetTableOf(group, name),
      }))
      for (const { offsetTable } of ofTopics) {
        for (const { brokerOffset, consumerOffset } of offsetTable.values()) totalDiff += brokerOffset - consumerOffset
      }
      return ofTopics.length === 0 ? [] : [new Map([[group, ofTopics]])]
    })
    const body = { brokerAddr: dialledAddress(connection), consumeStatsList, totalDiff, totalInflightDiff: 0 }
    answer(connection, header, { body: dialectJson(body) })
  }

  const progressOf = (group: string, topic: string, queue: ConsumeQueue): Progress => {
    const committed = offsets.committed(group, topic, queue.queueId)
    // A queue the group never read is read from its beginning, which is not 0 in a topic made anew.
    const consumerOffset = passedOver(queue, group, committed >= 0 ? committed : queue.minOffset)
    const lastTimestamp = Math.max(0, storeTimestampAt(queue, consumerOffset - 1, read))
    const pullOffset = Math.max(consumerOffset, leases.nextOffset(group, topic, queue.queueId) ?? 0)
    return { brokerOffset: queue.maxOffset, consumerOffset, lastTimestamp, pullOffset }
  }

  const reset: Handler = (connection, header) => {
    const topic = topics.require(header.requireText(Field.topic))
    const group = groups.require(header.requireText(Field.group)).name
    const queueId = integerOr(header, Field.queueId, -1)
    const given = longOr(header, Field.offset, -1)
    const timestamp = header.longClamped(header.requireField(Field.timestamp))
    if (given >= 0 && queueId < 0) throw new BrokerError('INVALID_PARAMETER', 'an offset needs the queueId it is for')
    const queues = queueId < 0 ? topic.queues : [topics.requireQueue(topic.name, queueId)]
    const targetOf = (queue: ConsumeQueue): number => {
      if (given >= 0) return given
      return timestamp < 0 ? queue.maxOffset : firstAtOrAfter(queue, timestamp, read)
    }
    const work = resetAll(group, topic, new Map(queues.map((queue) => [queue, targetOf(queue)])))
    answerAfter(connection, header, work, (offsetTable, request) =>
      answer(connection, request, { body: dialectJson({ offsetTable }) }),
    )
  }

  const resetAll = async (
    group: string,
    topic: Topic,
    targets: ReadonlyMap<ConsumeQueue, number>,
  ): Promise<Map<MessageQueue, number>> => {
    const offsetTable = new Map<MessageQueue, number>()
    const durable: Promise<void>[] = []
    for (const [queue, target] of targets) {
      durable.push(offsets.reset(group, topic.name, queue.queueId, target))
      offsetTable.set({ brokerName, queueId: queue.queueId, topic: topic.name }, target)
    }
    await Promise.all(durable)
    // Told only now: a consumer that has moved must not find itself back after a power cut.
    for (const queue of targets.keys()) pulls.onReset(group, queue)
    return offsetTable
  }

  return new Map([
    [RequestCode.GET_CONSUME_STATS, stats],
    [RequestCode.GET_BROKER_CONSUME_STATS, allStats],
    [RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, reset],
  ])
}
