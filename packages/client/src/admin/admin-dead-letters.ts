import { deadLetterTopic, parseLenientJson, PropertyName, ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import { sleep } from '@tandemmq/remoting'
import { ClientError, errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import { subscriptionData } from '../cluster/heartbeat.ts'
import type { MessageQueue } from '../cluster/route.ts'
import { maxOffset, offsetAt } from '../consumer/offset-requests.ts'
import { pull } from '../consumer/pull-request.ts'
import { redeliver } from '../consumer/send-back.ts'
import { asArray, asNumber, asObject } from '../json.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import { readMessages } from '../message/record-reader.ts'
import { checkGroup } from '../options.ts'

/** A message its group gave up. */
export interface DeadLetter {
  /** `topic` is the one it was sent to. */
  readonly message: ConsumedMessage
  /** Why, as consumer or broker said; empty on a broker that keeps no reasons (Apache RocketMQ). */
  readonly reason: string
  /** Deliveries that failed. */
  readonly attempts: number
  readonly diedAt: Date
  readonly brokerName: string
  /** Its queue offset in the dead letter topic. */
  readonly offset: bigint
  /** Where it was first: undefined where the broker did not know. */
  readonly origin: {
    readonly topic: string
    readonly messageId: string | undefined
    readonly queueId: number | undefined
    readonly queueOffset: bigint | undefined
  }
  /** It was sent back to its group. Always false on Apache RocketMQ. */
  readonly isRedriven: boolean
}

/** Which dead letters; every part given must be true of one. */
export interface DeadLetterQuery {
  /** Ids of producers, of the first copy in a log, or of the dead letter itself. */
  readonly messageIds?: readonly string[] | undefined
  /** Died at or after. */
  readonly from?: Date | undefined
  /** Died before. */
  readonly to?: Date | undefined
  readonly filter?: ((deadLetter: DeadLetter) => boolean) | undefined
  /** Also those that were redriven. Default false. */
  readonly redriven?: boolean | undefined
  /** At most so many. Default no limit. */
  readonly limit?: number | undefined
  /** Ends it with ABORTED. */
  readonly signal?: AbortSignal | undefined
}

export interface RedriveOptions extends Omit<DeadLetterQuery, 'redriven'> {
  /**
   * Also on a broker that keeps no record of what went back, Apache RocketMQ: asked twice, it sends a dead letter back twice, which the
   * inbox of the outbox package recognises if it was applied. Default false: REQUEST_NOT_SUPPORTED there.
   */
  readonly unrecorded?: boolean | undefined
  /** Count only. Default false. */
  readonly dryRun?: boolean | undefined
  /** At most so many messages a second. Default no limit. */
  readonly ratePerSecond?: number | undefined
  /** After every step. */
  readonly onProgress?: ((progress: RedriveProgress) => void) | undefined
}

export interface RedriveResult {
  /** Dead letters that fit. */
  readonly matched: number
  /** Sent back by this call; 0 in a dry run. */
  readonly redriven: number
  /** Sent back meanwhile by somebody else. */
  readonly already: number
  /** Removed by retention meanwhile. */
  readonly gone: number
}

export interface RedriveProgress extends RedriveResult {
  /** Dead letters looked at, of so many. */
  readonly looked: number
  readonly total: number
}

/** RocketMQ's own group for tools: every broker has it, and nobody's settings stop it. */
const TOOLS_GROUP = 'TOOLS_CONSUMER'
const PAGE = 64

/** One page of one queue. */
interface Page {
  readonly queue: MessageQueue
  readonly found: DeadLetter[]
  readonly looked: number
}

/** Dead letters of a group, oldest first per broker; those that die while it reads are left out. */
export async function* deadLetters(
  core: ClientCore,
  group: string,
  query: DeadLetterQuery = {},
): AsyncGenerator<DeadLetter, void> {
  let left = query.limit ?? Number.POSITIVE_INFINITY
  const queues = await queuesOf(core, group, query)
  for await (const { found } of pages(core, group, queues, query, () => PAGE)) {
    for (const one of found) {
      if (left-- <= 0) return
      yield one
    }
    if (left <= 0) return
  }
}

/** @see Admin.redrive */
export async function redrive(core: ClientCore, group: string, options: RedriveOptions = {}): Promise<RedriveResult> {
  const { dryRun = false, ratePerSecond: rate = Number.POSITIVE_INFINITY, signal } = options
  if (!(rate > 0)) throw new ClientError('INVALID_PARAMETER', `ratePerSecond must be above 0, not ${String(rate)}`)
  const counts = { matched: 0, redriven: 0, already: 0, gone: 0 }
  const limit = options.limit ?? Number.POSITIVE_INFINITY
  const queues = await queuesOf(core, group, options)
  const progress = { looked: 0, total: queues.reduce((sum, { from, to }) => sum + Math.max(0, to - from), 0) }
  const startedAt = core.clock.monotonic()
  const pageOf = (): number => Math.max(1, Math.min(PAGE, Math.ceil(rate), limit - counts.matched))
  for await (const { queue, found, looked } of pages(core, group, queues, options, pageOf)) {
    progress.looked += looked
    if (found.length > 0) {
      counts.matched += found.length
      if (!dryRun) {
        const done = await redriveOnce(core, group, queue, found, options.unrecorded === true)
        counts.redriven += done.redriven
        counts.already += done.already
        counts.gone += done.gone
      }
    }
    options.onProgress?.({ ...counts, ...progress })
    if (counts.matched >= limit) break
    const aheadMs = dryRun ? 0 : startedAt + (counts.matched / rate) * 1_000 - core.clock.monotonic()
    if (aheadMs > 0) await sleep(core.clock, aheadMs, signal).catch(() => undefined)
  }
  return counts
}

async function redriveOnce(
  core: ClientCore,
  group: string,
  queue: MessageQueue,
  found: readonly DeadLetter[],
  unrecorded: boolean,
): Promise<Pick<RedriveResult, 'redriven' | 'already' | 'gone'>> {
  const body = Buffer.from(JSON.stringify({ group, offsets: found.map(({ offset }) => Number(offset)) }))
  const init = { code: TandemRequestCode.REDRIVE_DEAD_LETTERS, body }
  const answer = await core.request(core.brokerAddress(queue.brokerName), init)
  if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED && unrecorded) {
    for (const { message, origin } of found) await redeliver(core, group, message, origin.topic)
    return { redriven: found.length, already: 0, gone: 0 }
  }
  if (answer.code !== ResponseCode.SUCCESS)
    throw errorOfAnswer(answer.code, answer.remark, `redrive dead letters of ${group}`)
  const counts = asObject(parseLenientJson(answer.body.toString('utf8')))
  return {
    redriven: asNumber(counts['redriven']),
    already: asNumber(counts['already']),
    gone: asNumber(counts['gone']),
  }
}

interface QueueRange {
  readonly queue: MessageQueue
  readonly from: number
  /** The end when it began: what a redriven message does next is not part of it. */
  readonly to: number
}

async function queuesOf(core: ClientCore, group: string, query: DeadLetterQuery): Promise<QueueRange[]> {
  core.requireStarted()
  const topic = deadLetterTopic(checkGroup(group))
  const route = await core.routes.load(topic).catch((error: unknown) => {
    // Nothing of the group ever died.
    if (error instanceof ClientError && error.code === 'ROUTE_NOT_FOUND') return undefined
    throw error
  })
  if (route === undefined || route.isTemplate) return []
  return Promise.all(
    route.readQueues.map(async (queue) => {
      const [end, first] = await Promise.all([
        query.to === undefined ? maxOffset(core, queue) : offsetAt(core, queue, query.to),
        query.from === undefined ? 0 : offsetAt(core, queue, query.from),
      ])
      return { queue, from: first, to: end }
    }),
  )
}

async function* pages(
  core: ClientCore,
  group: string,
  queues: readonly QueueRange[],
  query: DeadLetterQuery,
  pageOf: () => number,
): AsyncGenerator<Page, void> {
  const { signal } = query
  const wanted = query.messageIds === undefined ? undefined : new Set(query.messageIds)
  for (const { queue, from, to } of queues) {
    let at = from
    while (at < to) {
      if (signal?.aborted === true) throw new ClientError('ABORTED', 'reading dead letters was aborted')
      const count = Math.min(pageOf(), to - at)
      const subscription = subscriptionData(queue.topic, '*', 0)
      const request = {
        group: TOOLS_GROUP,
        queue,
        offset: at,
        messagesMax: count,
        holdMs: 0,
        subVersion: 0,
        subscription,
      }
      const answer = await pull(core, request, signal)
      if (answer.status === 'none' || answer.nextOffset <= at) break
      const redriven = await redrivenOf(core, group, queue, at, answer.nextOffset - at)
      const found: DeadLetter[] = []
      if (answer.status === 'found') {
        readMessages(answer.body, queue.brokerName, TOOLS_GROUP, (message, offset) => {
          if (offset >= to) return
          const one = deadLetterOf(message, redriven.has(offset))
          if ((query.redriven === true || !one.isRedriven) && fits(one, wanted, query)) found.push(one)
        })
      }
      const looked = Math.min(answer.nextOffset, to) - at
      at = answer.nextOffset
      yield { queue, found, looked }
    }
  }
}

/** Offsets that were redriven; empty on a broker that knows nothing of it. */
async function redrivenOf(
  core: ClientCore,
  group: string,
  queue: MessageQueue,
  from: number,
  count: number,
): Promise<Set<number>> {
  const body = Buffer.from(JSON.stringify({ group, from, count }))
  const doing = `ask for dead letters of ${group}`
  const init = { code: TandemRequestCode.DEAD_LETTER_STATE, body }
  const answer = await core.request(core.brokerAddress(queue.brokerName), init)
  if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED) return new Set()
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, doing)
  const list = asArray(asObject(parseLenientJson(answer.body.toString('utf8')))['redriven'])
  return new Set(list.map((one) => asNumber(one)))
}

function fits(one: DeadLetter, ids: ReadonlySet<string> | undefined, { filter }: DeadLetterQuery): boolean {
  if (ids !== undefined) {
    const { message, origin } = one
    const isNamed = ids.has(message.messageId) || ids.has(message.offsetMessageId)
    if (!isNamed && (origin.messageId === undefined || !ids.has(origin.messageId))) return false
  }
  return filter === undefined || filter(one)
}

function deadLetterOf(message: ConsumedMessage, isRedriven: boolean): DeadLetter {
  const { properties } = message
  const queueId = properties[PropertyName.DLQ_ORIGIN_QUEUE_ID]
  const queueOffset = properties[PropertyName.DLQ_ORIGIN_QUEUE_OFFSET]
  return {
    message,
    reason: properties[PropertyName.DLQ_REASON] ?? '',
    attempts: message.reconsumeTimes,
    diedAt: message.storedAt,
    brokerName: message.brokerName,
    offset: message.queueOffset,
    origin: {
      topic: properties[PropertyName.DLQ_ORIGIN_TOPIC] ?? message.topic,
      messageId: properties[PropertyName.DLQ_ORIGIN_MESSAGE_ID] ?? properties[PropertyName.ORIGIN_MESSAGE_ID],
      queueId: queueId === undefined ? undefined : Number(queueId),
      queueOffset: queueOffset === undefined || !/^\d+$/.test(queueOffset) ? undefined : BigInt(queueOffset),
    },
    isRedriven,
  }
}
