import { RequestCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import {
  allocate,
  type AssignedQueue,
  type ConsumerGroups,
  fieldsOf,
  numberOf,
  type RequestMode,
  type RequestModes,
  textOf,
} from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { answer, answerAfter, jsonBody } from './request-body.ts'

/** Every queue of a topic, of this broker and of others that serve it. Undefined: there is no such topic. */
export type QueuesOf = (topic: string) => Promise<AssignedQueue[] | undefined>

/** Rebalancing by the broker, for clients with `clientRebalance=false`: assignment 400, its mode 401 and 402. */
export function assignmentHandlers(options: {
  groups: ConsumerGroups
  modes: RequestModes
  queuesOf: QueuesOf
}): Map<number, Handler> {
  const { groups, modes, queuesOf } = options
  const query: Handler = (connection, header) => {
    const body = fieldsOf(jsonBody(header), 'the body')
    const topic = textOf(body, 'topic')
    const group = textOf(body, 'consumerGroup')
    const clientId = textOf(body, 'clientId')
    const strategyName = typeof body['strategyName'] === 'string' ? body['strategyName'] : 'AVG'
    const mode: RequestMode = modes.of(group, topic)
    const isBroadcast = body['messageModel'] === 'BROADCASTING'
    answerAfter(connection, header, queuesOf(topic), (queues, request) => {
      const members = groups.clientIds(group)
      // Without the list the client keeps what it has (remoting.md 2B).
      if (queues === undefined || (members.length === 0 && !isBroadcast)) {
        return answer(connection, request, { body: '{}' })
      }
      const own = isBroadcast ? queues : allocate(strategyName, clientId, members, queues, mode)
      // To an error the client answers by rebalancing itself, with the strategy it has.
      if (own === undefined) throw new BrokerError('INVALID_PARAMETER', `strategy ${strategyName} is the client's own`)
      const messageQueueAssignments = own.map((messageQueue) => ({ messageQueue, mode: mode.mode }))
      answer(connection, request, { body: JSON.stringify({ messageQueueAssignments }) })
    })
  }

  const set: Handler = (connection, header) => {
    const body = fieldsOf(jsonBody(header), 'the body')
    const mode = body['mode']
    if (mode !== 'PULL' && mode !== 'POP') throw new BrokerError('INVALID_PARAMETER', 'mode must be PULL or POP')
    const popShareQueueNum = numberOf(body['popShareQueueNum'], 0)
    const group = textOf(body, 'consumerGroup')
    answerAfter(connection, header, modes.set(group, textOf(body, 'topic'), { mode, popShareQueueNum }))
  }

  const all: Handler = (connection, header) => {
    const messageRequestModeMap: Record<string, Record<string, unknown>> = {}
    for (const { group: consumerGroup, topic, mode, popShareQueueNum } of modes.all()) {
      const ofTopic = (messageRequestModeMap[topic] ??= {})
      ofTopic[consumerGroup] = { consumerGroup, mode, popShareQueueNum, topic }
    }
    answer(connection, header, { body: JSON.stringify({ messageRequestModeMap }) })
  }

  return new Map([
    [RequestCode.QUERY_ASSIGNMENT, query],
    [RequestCode.SET_MESSAGE_REQUEST_MODE, set],
    [RequestCode.GET_ALL_MESSAGE_REQUEST_MODE, all],
  ])
}
