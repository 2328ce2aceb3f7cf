import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import { errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { MessageQueue } from '../cluster/route.ts'
import { longOf } from './pull-request.ts'

function where(queue: MessageQueue): { topic: string; queueId: number; bname: string } {
  return { topic: queue.topic, queueId: queue.queueId, bname: queue.brokerName }
}

/** Next offset to be stored, i.e. one behind the last message. */
export async function maxOffset(core: ClientCore, queue: MessageQueue): Promise<number> {
  const init = { code: RequestCode.GET_MAX_OFFSET, extFields: { ...where(queue), committed: true } }
  return longOf(await core.ask(core.brokerAddress(queue.brokerName), init, `max offset of ${queue.topic}`), 'offset')
}

export async function minOffset(core: ClientCore, queue: MessageQueue): Promise<number> {
  const init = { code: RequestCode.GET_MIN_OFFSET, extFields: where(queue) }
  return longOf(await core.ask(core.brokerAddress(queue.brokerName), init, `min offset of ${queue.topic}`), 'offset')
}

/** Offset of the first message stored at or after `time`; the max offset when all are older. */
export async function offsetAt(core: ClientCore, queue: MessageQueue, time: Date): Promise<number> {
  const extFields = { ...where(queue), timestamp: time.getTime(), boundaryType: 'LOWER' }
  const init = { code: RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, extFields }
  return longOf(
    await core.ask(core.brokerAddress(queue.brokerName), init, `offset by time of ${queue.topic}`),
    'offset',
  )
}

/** What the group committed; undefined when it never did. */
export async function committedOffset(
  core: ClientCore,
  group: string,
  queue: MessageQueue,
): Promise<number | undefined> {
  // Without this flag a broker answers 0 for a young queue, which is not what was committed (remoting.md 11.2).
  const extFields = { consumerGroup: group, ...where(queue), setZeroIfNotFound: false }
  const init = { code: RequestCode.QUERY_CONSUMER_OFFSET, extFields }
  const answer = await core.request(core.brokerAddress(queue.brokerName), init)
  if (answer.code === ResponseCode.QUERY_NOT_FOUND) return undefined
  if (answer.code !== ResponseCode.SUCCESS) {
    throw errorOfAnswer(answer.code, answer.remark, `committed offset of ${group} in ${queue.topic}`)
  }
  return longOf(answer, 'offset')
}

export interface CommitInit {
  code: number
  extFields: Record<string, string | number>
}

/** @param lockEpoch of the lock it was consumed under; a broker without epochs gets none */
export function commitInit(group: string, queue: MessageQueue, offset: number, lockEpoch = 0): CommitInit {
  return {
    code: RequestCode.UPDATE_CONSUMER_OFFSET,
    extFields: { consumerGroup: group, ...where(queue), commitOffset: offset, ...(lockEpoch > 0 && { lockEpoch }) },
  }
}
