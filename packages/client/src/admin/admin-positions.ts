import { parseLenientJson, RequestCode } from '@tandemmq/protocol'
import type { ClientCore } from '../cluster/client-core.ts'
import type { MessageQueue } from '../cluster/route.ts'
import { maxOffset, minOffset } from '../consumer/offset-requests.ts'
import type { JsonObject } from '../json.ts'
import { asNumber, asObject, asText } from '../json.ts'
import type { Brokers } from './admin-cluster.ts'

export interface QueueOffsets {
  readonly brokerName: string
  readonly queueId: number
  /** First message still there. */
  readonly minOffset: bigint
  /** One behind the last message. */
  readonly maxOffset: bigint
}

/** Where a group is in one queue. */
export interface QueueProgress {
  readonly topic: string
  readonly brokerName: string
  readonly queueId: number
  /** One behind the last message. */
  readonly maxOffset: bigint
  /** The next message of the group. */
  readonly committedOffset: bigint
}

export function offsetsOf(core: ClientCore, queues: readonly MessageQueue[]): Promise<QueueOffsets[]> {
  return Promise.all(
    queues.map(async (queue) => {
      const [min, max] = await Promise.all([minOffset(core, queue), maxOffset(core, queue)])
      const { brokerName, queueId } = queue
      return { brokerName, queueId, minOffset: BigInt(min), maxOffset: BigInt(max) }
    }),
  )
}

export async function groupProgress(core: ClientCore, brokers: Brokers, group: string): Promise<QueueProgress[]> {
  const init = { code: RequestCode.GET_CONSUME_STATS, extFields: { consumerGroup: group } }
  const progress: QueueProgress[] = []
  for (const address of brokers.values()) {
    const answer = await core.ask(address, init, `progress of ${group}`)
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    for (const [queue, offsets] of Object.entries(asObject(body['offsetTable']))) {
      progress.push(progressOf(asObject(parseLenientJson(queue)), asObject(offsets)))
    }
  }
  return progress
}

function progressOf(queue: JsonObject, offsets: JsonObject): QueueProgress {
  return {
    topic: asText(queue['topic']),
    brokerName: asText(queue['brokerName']),
    queueId: asNumber(queue['queueId']),
    maxOffset: BigInt(asNumber(offsets['brokerOffset'])),
    committedOffset: BigInt(asNumber(offsets['consumerOffset'])),
  }
}
