import { RequestCode } from '@tandemmq/protocol'
import { fieldsOf, type QueueLocks, textOf, type Topics } from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { messageQueuesOf } from './message-queue.ts'
import { answer, jsonBody } from './request-body.ts'

/**
 * Ordered consumption: lock 41, unlock 42. Queues that do not exist are not granted. Ours: with `handover` in the body they are claims
 * of a consumer that is not ordered.
 */
export function lockHandlers({ locks, topics }: { locks: QueueLocks; topics: Topics }): Map<number, Handler> {
  const lock: Handler = (connection, header) => {
    const body = fieldsOf(jsonBody(header), 'the body')
    const group = textOf(body, 'consumerGroup')
    const clientId = textOf(body, 'clientId')
    const claim = body['handover'] === true ? connection : undefined
    const lockOKMQSet = messageQueuesOf(body, 'mqSet').filter(
      ({ topic, queueId }) =>
        topics.find(topic)?.queues[queueId] !== undefined && locks.lock(group, clientId, topic, queueId, claim),
    )
    answer(connection, header, { body: JSON.stringify({ lockOKMQSet }) })
  }
  const unlock: Handler = (connection, header) => {
    const body = fieldsOf(jsonBody(header), 'the body')
    const group = textOf(body, 'consumerGroup')
    const clientId = textOf(body, 'clientId')
    for (const { topic, queueId } of messageQueuesOf(body, 'mqSet')) locks.unlock(group, clientId, topic, queueId)
    answer(connection, header)
  }
  return new Map([
    [RequestCode.LOCK_BATCH_MQ, lock],
    [RequestCode.UNLOCK_BATCH_MQ, unlock],
  ])
}
