import { Field, fieldName, RequestCode } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import {
  type ConsumerGroups,
  type Offsets,
  type PullService,
  type ReadRecord,
  storeTimestampAt,
  type Topics,
} from '../queueing/index.ts'
import type { ConsumeQueue } from '../store/index.ts'
import { wireSubscription } from './group-admin-handlers.ts'
import type { Handler } from './handler.ts'
import { dialectJson } from './json-dialect.ts'
import { answer, answerAfter, flagOr, textOr } from './request-body.ts'
import { dialledAddress } from './route-handlers.ts'

const compareGroupField = fieldName('compareGroup')
const filterGroupsField = fieldName('filterGroups')
/** What the original answers for a queue in which another group is ahead of the one it is compared with. */
const AHEAD = '9223372036854775807'

/** Groups and what they committed: time span 303, correction 308, clone 314, topics of a group 343, its subscription 345. */
export function groupOffsetHandlers(options: {
  clock: Pick<Clock, 'now'>
  topics: Topics
  groups: ConsumerGroups
  offsets: Offsets
  pulls: Pick<PullService, 'onReset'>
  read: ReadRecord
  brokerName: string
}): Map<number, Handler> {
  const { clock, topics, groups, offsets, pulls, read, brokerName } = options
  const timeSpan: Handler = (connection, header) => {
    const topic = topics.require(header.requireText(Field.topic))
    const group = header.requireText(Field.group)
    const consumeTimeSpanSet = topic.queues.slice(0, topic.writeQueues).map((queue, queueId) => {
      const committed = Math.max(0, offsets.committed(group, topic.name, queueId))
      // -1 where there is none, as from an Apache broker.
      const timeAt = (offset: number): number => storeTimestampAt(queue, offset, read)
      const minTimeStamp = timeAt(queue.minOffset)
      const next = committed < queue.maxOffset ? timeAt(Math.max(committed, queue.minOffset)) : -1
      return {
        consumeTimeStamp: committed > 0 ? timeAt(committed - 1) : minTimeStamp,
        delayTime: next < 0 ? 0 : clock.now() - next,
        maxTimeStamp: timeAt(queue.maxOffset - 1),
        messageQueue: { brokerName, queueId, topic: topic.name },
        minTimeStamp,
      }
    })
    answer(connection, header, { body: dialectJson({ consumeTimeSpanSet }) })
  }

  const correction: Handler = (connection, header) => {
    const topic = topics.require(header.requireText(Field.topic))
    const compared = header.requireText(compareGroupField)
    const left = new Set(
      textOr(header, filterGroupsField, '')
        .split(',')
        .map((name) => name.trim()),
    )
    const others = offsets.groupsOf(topic.name).filter((group) => !left.has(group))
    const correctionOffsets = new Map<number, unknown>()
    for (const [queueId, { minOffset }] of topic.queues.entries()) {
      const committed = others.map((group) => offsets.committed(group, topic.name, queueId))
      const least = Math.min(...committed.filter((offset) => offset >= minOffset))
      const own = offsets.committed(compared, topic.name, queueId)
      if (least !== Number.POSITIVE_INFINITY) correctionOffsets.set(queueId, own >= 0 && least > own ? null : least)
    }
    // 2^63 - 1 is no double.
    const body = dialectJson({ correctionOffsets }).replaceAll(':null', `:${AHEAD}`)
    answer(connection, header, { body })
  }

  const cloneTopic = async (source: string, target: string, topic: string): Promise<void> => {
    const queues = topics.find(topic)?.queues ?? []
    const moved: ConsumeQueue[] = []
    const durable: Promise<void>[] = []
    for (const [queueId, queue] of queues.entries()) {
      const committed = offsets.committed(source, topic, queueId)
      if (committed < 0) continue
      const offset = Math.min(Math.max(committed, queue.minOffset), queue.maxOffset)
      durable.push(offsets.reset(target, topic, queueId, offset))
      moved.push(queue)
    }
    await Promise.all(durable)
    for (const queue of moved) pulls.onReset(target, queue)
  }

  const clone: Handler = (connection, header) => {
    const source = header.requireText(Field.srcGroup)
    const target = header.requireText(Field.destGroup)
    const one = textOr(header, Field.topic, '')
    const subscribed = groups.subscriptions(source)
    const isOnline = groups.members(source).length > 0 && !flagOr(header, Field.offline, false)
    const wanted = (one === '' ? offsets.topicsOf(source) : [one]).filter((topic) => !isOnline || subscribed.has(topic))
    groups.ensure(target)
    const work = Promise.all([groups.stored(), ...wanted.map((topic) => cloneTopic(source, target, topic))])
    answerAfter(connection, header, work)
  }

  const topicsOfGroup: Handler = (connection, header) => {
    const topicList = offsets.topicsOf(header.requireText(Field.group))
    answer(connection, header, { body: JSON.stringify({ brokerAddr: dialledAddress(connection), topicList }) })
  }

  const subscription: Handler = (connection, header) => {
    const group = header.requireText(Field.group)
    const topic = header.requireText(Field.topic)
    const one = groups.subscriptions(group).get(topic)
    const subscriptionData = one === undefined ? undefined : wireSubscription(one)
    answer(connection, header, { body: dialectJson({ group, subscriptionData, topic }) })
  }

  return new Map([
    [RequestCode.QUERY_CONSUME_TIME_SPAN, timeSpan],
    [RequestCode.QUERY_CORRECTION_OFFSET, correction],
    [RequestCode.CLONE_GROUP_OFFSET, clone],
    [RequestCode.QUERY_TOPICS_BY_CONSUMER, topicsOfGroup],
    [RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, subscription],
  ])
}
