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
import { answer, answerAfter, textOr } from './request-body.ts'
import { dialledAddress } from './route-handlers.ts'

const srcGroupField = fieldName('srcGroup')
const destGroupField = fieldName('destGroup')

/**
 * What tools ask about one group's consumption besides offsets (remoting.md 2E): how old its messages are 303, its topics 343, what
 * it wants of one 345; and giving another group its offsets 314, also one that does not exist yet. A group nobody knows has nothing,
 * and that is no error.
 */
export function consumptionHandlers(options: {
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
    const consumeTimeSpanSet = topic.queues.slice(0, topic.writeQueues).map((queue) => ({
      messageQueue: { brokerName, queueId: queue.queueId, topic: topic.name },
      ...timesOf(queue, offsets.committed(group, topic.name, queue.queueId)),
    }))
    answer(connection, header, { body: JSON.stringify({ consumeTimeSpanSet }) })
  }

  /** Store times, ms, -1 where there is no such message. */
  const timesOf = (queue: ConsumeQueue, committed: number): Record<string, number> => {
    const minTimeStamp = storeTimestampAt(queue, queue.minOffset, read)
    const next = Math.max(committed, queue.minOffset)
    const nextTime = storeTimestampAt(queue, next, read)
    return {
      minTimeStamp,
      maxTimeStamp: storeTimestampAt(queue, queue.maxOffset - 1, read),
      consumeTimeStamp: committed > 0 ? storeTimestampAt(queue, committed - 1, read) : minTimeStamp,
      // The original measures from the message at -1 for a group without an offset, and so says it is 56 years late.
      delayTime: nextTime < 0 ? 0 : Math.max(0, clock.now() - nextTime),
    }
  }

  const topicsOf: Handler = (connection, header) => {
    const topicList = offsets.topicsOf(header.requireText(Field.group))
    answer(connection, header, { body: JSON.stringify({ brokerAddr: dialledAddress(connection), topicList }) })
  }

  const subscription: Handler = (connection, header) => {
    const group = header.requireText(Field.group)
    const topic = header.requireText(Field.topic)
    const found = groups.subscriptions(group).get(topic)
    const subscriptionData = found === undefined ? undefined : wireSubscription(found)
    answer(connection, header, { body: JSON.stringify({ group, subscriptionData, topic }) })
  }

  const copy: Handler = (connection, header) => {
    const source = header.requireText(srcGroupField)
    const target = groups.ensure(header.requireText(destGroupField)).name
    const asked = textOr(header, Field.topic, '')
    const names = asked === '' ? offsets.topicsOf(source) : [asked]
    const work = Promise.all(names.map((name) => copyTopic(source, target, name)))
    answerAfter(connection, header, work)
  }

  const copyTopic = async (source: string, target: string, name: string): Promise<void> => {
    const consumed = (topics.find(name)?.queues ?? []).flatMap((queue) => {
      const offset = offsets.committed(source, name, queue.queueId)
      return offset < 0 ? [] : [{ queue, offset: Math.max(offset, queue.minOffset) }]
    })
    await Promise.all(consumed.map(({ queue, offset }) => offsets.reset(target, name, queue.queueId, offset)))
    for (const { queue } of consumed) pulls.onReset(target, queue)
  }

  return new Map([
    [RequestCode.QUERY_CONSUME_TIME_SPAN, timeSpan],
    [RequestCode.QUERY_TOPICS_BY_CONSUMER, topicsOf],
    [RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, subscription],
    [RequestCode.CLONE_GROUP_OFFSET, copy],
  ])
}
