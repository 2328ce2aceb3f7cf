import { ClientError } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import { subscriptionData } from '../cluster/heartbeat.ts'
import type { MessageQueue } from '../cluster/route.ts'
import { committedOffset, maxOffset, minOffset, offsetAt } from '../consumer/offset-requests.ts'
import { pull } from '../consumer/pull-request.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import { readMessages } from '../message/record-reader.ts'

/** Messages of a topic by the time they were stored. */
export interface MessageRange {
  readonly topic: string
  /** Stored at this time or later. Default: from the first message still there. */
  readonly from?: Date | undefined
  /** Stored at this time or earlier. Default: to the last message of the moment. */
  readonly to?: Date | undefined
  /** At most so many, the oldest of them; 1 to 10,000. Default 100. */
  readonly limit?: number | undefined
}

/** Where a group would go on: the first or last message, or the first one stored at an instant or later. */
export type ResetTarget = 'first' | 'last' | Date

/** One message as a preview names it. */
export interface MessageMark {
  readonly messageId: string
  readonly queueOffset: bigint
  readonly storedAt: Date
}

/** What a reset would do in one queue. Counts are messages of the queue, wanted by the group's filter or not. */
export interface QueuePreview {
  readonly brokerName: string
  readonly queueId: number
  /** Next message of the group now; undefined when it never committed. */
  readonly committedOffset: bigint | undefined
  /** Next message of the group after the reset. */
  readonly targetOffset: bigint
  readonly maxOffset: bigint
  /** Delivered again: from target to committed. */
  readonly replayed: bigint
  /** Not delivered any more: from committed to target. */
  readonly skipped: bigint
  /** First and last message that would be replayed or skipped; undefined when there is none, or it is gone. */
  readonly first: MessageMark | undefined
  readonly last: MessageMark | undefined
}

export interface ResetPreview {
  readonly group: string
  readonly topic: string
  readonly queues: readonly QueuePreview[]
  readonly replayed: bigint
  readonly skipped: bigint
  /** Store times of the oldest and the newest message concerned; undefined when none is. */
  readonly oldestAt: Date | undefined
  readonly newestAt: Date | undefined
}

/** RocketMQ's name for whoever looks at messages without consuming them. */
const TOOLS_GROUP = 'TOOLS_CONSUMER'
const BATCH_MAX = 32
const LIMIT_MAX = 10_000

/** The first offset a group goes on from. */
export function targetOffset(core: ClientCore, queue: MessageQueue, to: ResetTarget): Promise<number> {
  if (to === 'first') return minOffset(core, queue)
  return to === 'last' ? maxOffset(core, queue) : offsetAt(core, queue, to)
}

/** Reads at most `limit` messages per queue, then keeps the oldest. */
export async function messagesInRange(
  core: ClientCore,
  queues: readonly MessageQueue[],
  { from, to, limit = 100 }: MessageRange,
): Promise<ConsumedMessage[]> {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX) {
    throw new ClientError('INVALID_PARAMETER', `limit must be a whole number from 1 to ${LIMIT_MAX}, not ${limit}`)
  }
  for (const [name, time] of Object.entries({ from, to })) {
    if (time === undefined || !Number.isNaN(time.getTime())) continue
    throw new ClientError('INVALID_PARAMETER', `${name} is no valid time`)
  }
  const perQueue = await Promise.all(queues.map((queue) => ofQueue(core, queue, from, to, limit)))
  return perQueue
    .flat()
    .toSorted((a, b) => a.storedAt.getTime() - b.storedAt.getTime() || Number(a.physicalOffset - b.physicalOffset))
    .slice(0, limit)
}

async function ofQueue(
  core: ClientCore,
  queue: MessageQueue,
  from: Date | undefined,
  to: Date | undefined,
  limit: number,
): Promise<ConsumedMessage[]> {
  const [begin, end] = await Promise.all([targetOffset(core, queue, from ?? 'first'), maxOffset(core, queue)])
  const found: ConsumedMessage[] = []
  let isOver = false
  for (let offset = begin; offset < end && !isOver && found.length < limit; ) {
    const batch = await read(core, queue, offset, Math.min(BATCH_MAX, limit - found.length))
    for (const message of batch.messages) {
      // Store times never decrease along a queue.
      if (to !== undefined && message.storedAt > to) isOver = true
      else if (Number(message.queueOffset) < end) found.push(message)
    }
    offset = Math.max(batch.nextOffset, offset + 1)
  }
  return found.slice(0, limit)
}

export async function previewOf(
  core: ClientCore,
  group: string,
  topic: string,
  queues: readonly MessageQueue[],
  to: ResetTarget,
): Promise<ResetPreview> {
  const previews = await Promise.all(queues.map((queue) => previewOfQueue(core, group, queue, to)))
  const times = previews
    .flatMap(({ first, last }) => [first, last])
    .flatMap((mark) => (mark === undefined ? [] : [mark.storedAt.getTime()]))
  return {
    group,
    topic,
    queues: previews,
    replayed: previews.reduce((sum, { replayed }) => sum + replayed, 0n),
    skipped: previews.reduce((sum, { skipped }) => sum + skipped, 0n),
    oldestAt: times.length === 0 ? undefined : new Date(Math.min(...times)),
    newestAt: times.length === 0 ? undefined : new Date(Math.max(...times)),
  }
}

async function previewOfQueue(
  core: ClientCore,
  group: string,
  queue: MessageQueue,
  to: ResetTarget,
): Promise<QueuePreview> {
  const [target, committed, min, max] = await Promise.all([
    targetOffset(core, queue, to),
    committedOffset(core, group, queue),
    minOffset(core, queue),
    maxOffset(core, queue),
  ])
  // Retention may have passed the group by: what is gone is neither replayed nor skipped.
  const position = committed === undefined ? target : Math.max(committed, min)
  const begin = Math.min(position, target)
  const end = Math.max(position, target)
  const [first, last] =
    begin === end ? [] : await Promise.all([markAt(core, queue, begin), markAt(core, queue, end - 1)])
  return {
    brokerName: queue.brokerName,
    queueId: queue.queueId,
    committedOffset: committed === undefined ? undefined : BigInt(committed),
    targetOffset: BigInt(target),
    maxOffset: BigInt(max),
    replayed: BigInt(Math.max(0, position - target)),
    skipped: BigInt(Math.max(0, target - position)),
    first,
    last,
  }
}

/** The message at `offset`; the next one when that is gone. */
async function markAt(core: ClientCore, queue: MessageQueue, offset: number): Promise<MessageMark | undefined> {
  const [message] = (await read(core, queue, offset, 1)).messages
  return message && { messageId: message.messageId, queueOffset: message.queueOffset, storedAt: message.storedAt }
}

/** As nobody's consumer: moves no group and follows no reset. */
async function read(
  core: ClientCore,
  queue: MessageQueue,
  offset: number,
  messagesMax: number,
): Promise<{ messages: ConsumedMessage[]; nextOffset: number }> {
  const subscription = subscriptionData(queue.topic, '*', 0)
  const answer = await pull(core, {
    ...{ group: TOOLS_GROUP, queue, offset, messagesMax, subscription },
    ...{ holdMs: 0, subVersion: 0 },
  })
  const messages: ConsumedMessage[] = []
  if (answer.status === 'found') readMessages(answer.body, queue.brokerName, '', (one) => void messages.push(one))
  return { messages, nextOffset: answer.nextOffset }
}

/** @throws {ClientError} INVALID_PARAMETER */
export function checkedTarget(to: ResetTarget): ResetTarget {
  if (to === 'first' || to === 'last' || (to instanceof Date && !Number.isNaN(to.getTime()))) return to
  throw new ClientError('INVALID_PARAMETER', `a group is moved to 'first', 'last' or a Date, not ${String(to)}`)
}
