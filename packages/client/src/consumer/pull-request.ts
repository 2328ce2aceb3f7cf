import type { RemotingCommand } from '@tandemmq/protocol'
import { PullSysFlag, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { SubscriptionData } from '../cluster/heartbeat.ts'
import type { MessageQueue } from '../cluster/route.ts'

/** `found` messages; `none` nothing new; `noneMatching` nothing the filter wants; `moved` the offset was illegal. */
export type PullStatus = 'found' | 'none' | 'noneMatching' | 'moved'

export interface PullAnswer {
  readonly status: PullStatus
  readonly nextOffset: number
  readonly minOffset: number
  readonly maxOffset: number
  /** Records of a `found` answer. */
  readonly body: Buffer
}

export interface PullRequest {
  readonly group: string
  readonly queue: MessageQueue
  readonly offset: number
  readonly messagesMax: number
  /** How long the broker may hold the request when nothing is there; 0 = answer at once. */
  readonly holdMs: number
  readonly subVersion: number
  /** What the heartbeat said, for a broker that looks; without `subscription` only. */
  readonly expressionType?: SubscriptionData['expressionType'] | undefined
  /** Given: the broker filters by this and not by what the heartbeat said. */
  readonly subscription?: SubscriptionData | undefined
}

const statusOfCode = new Map<number, PullStatus>([
  [ResponseCode.SUCCESS, 'found'],
  [ResponseCode.PULL_NOT_FOUND, 'none'],
  [ResponseCode.PULL_RETRY_IMMEDIATELY, 'noneMatching'],
  [ResponseCode.PULL_OFFSET_MOVED, 'moved'],
])
/** How much longer than the broker may hold it the client waits, as Java: 30 s for 15 s. */
const ANSWER_MARGIN_MS = 15_000

/** @throws {ClientError} what the broker answered, or the connection's failure */
export async function pull(core: ClientCore, request: PullRequest, signal?: AbortSignal): Promise<PullAnswer> {
  const { queue, subscription, holdMs } = request
  const flags = (holdMs > 0 ? PullSysFlag.SUSPEND : 0) | (subscription === undefined ? 0 : PullSysFlag.SUBSCRIPTION)
  const init = {
    code: RequestCode.PULL_MESSAGE,
    extFields: {
      consumerGroup: request.group,
      topic: queue.topic,
      queueId: queue.queueId,
      queueOffset: request.offset,
      maxMsgNums: request.messagesMax,
      sysFlag: flags,
      commitOffset: 0,
      suspendTimeoutMillis: holdMs,
      subVersion: request.subVersion,
      subscription: subscription?.subString,
      expressionType: subscription?.expressionType ?? request.expressionType,
      bname: queue.brokerName,
    },
  }
  const answer = await core.request(core.brokerAddress(queue.brokerName), init, holdMs + ANSWER_MARGIN_MS, signal)
  const status = statusOfCode.get(answer.code)
  if (status === undefined) {
    const doing = `pull ${queue.topic} queue ${queue.queueId}`
    throw errorOfAnswer(answer.code, answer.remark, doing, answer.extFields['retryAfterMs'])
  }
  return {
    status,
    nextOffset: longOf(answer, 'nextBeginOffset'),
    minOffset: longOf(answer, 'minOffset'),
    maxOffset: longOf(answer, 'maxOffset'),
    body: answer.body,
  }
}

export function longOf(answer: RemotingCommand, field: string): number {
  return Number(answer.extFields[field] ?? 0)
}
