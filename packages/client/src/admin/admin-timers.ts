import { TandemRequestCode } from '@tandemmq/protocol'
import type { ClientCore } from '../cluster/client-core.ts'
import type { JsonObject } from '../json.ts'
import { asArray, asNumber, asObject, asText } from '../json.ts'
import { askOurs, bodyOf } from '../producer/timer-requests.ts'

const PAGE_MAX = 1_000

/** Which waiting messages {@link Admin.timers} gives. */
export interface TimerQuery {
  topic?: string | undefined
  /** Only those with this key or message id; needs `topic`. */
  key?: string | undefined
  /** Due at or after this. */
  from?: Date | undefined
  /** Due at or before this. */
  to?: Date | undefined
  /** At most so many. Default: all. */
  limit?: number | undefined
}

/** A delayed message that waits in a broker. */
export interface WaitingTimer {
  readonly brokerName: string
  readonly topic: string
  /** Where it will be delivered. */
  readonly queueId: number
  readonly messageId: string
  readonly keys: readonly string[]
  readonly tag: string
  readonly deliverAt: Date
  /** When it was sent; of a rescheduled one, when it was moved. */
  readonly storedAt: Date
  readonly bodyBytes: number
  /** What `Admin.messageById` reads body and properties by. */
  readonly offsetMessageId: string
  readonly recallHandle: string
  /** Its topic was deleted after it was sent: it will not be delivered. */
  readonly isOrphan: boolean
}

interface Page {
  timers: WaitingTimer[]
  next: string | undefined
}

/** What waits in all brokers, by due time; asks for the next page only when it is wanted. */
export async function* timersOf(
  core: ClientCore,
  brokers: ReadonlyMap<string, string>,
  query: TimerQuery,
): AsyncGenerator<WaitingTimer, void, undefined> {
  let left = query.limit ?? Number.POSITIVE_INFINITY
  if (left <= 0) return
  const streams = [...brokers].map(([name, address]) => timersOfBroker(core, name, address, query))
  const heads = await Promise.all(streams.map((stream) => stream.next()))
  for (; left > 0; left--) {
    let first = -1
    for (const [at, { done, value }] of heads.entries()) {
      if (done === true || value === undefined) continue
      const best = first < 0 ? undefined : heads[first]?.value
      if (!best || value.deliverAt < best.deliverAt) first = at
    }
    const timer = heads[first]?.value
    const stream = streams[first]
    if (!timer || stream === undefined) return
    yield timer
    if (left > 1) heads[first] = await stream.next()
  }
}

async function* timersOfBroker(
  core: ClientCore,
  brokerName: string,
  address: string,
  query: TimerQuery,
): AsyncGenerator<WaitingTimer, void, undefined> {
  let after: string | undefined
  do {
    const page = await pageOf(core, brokerName, address, { ...query, after })
    yield* page.timers
    after = page.next
  } while (after !== undefined)
}

async function pageOf(
  core: ClientCore,
  brokerName: string,
  address: string,
  { topic, key, from, to, limit, after }: TimerQuery & { after: string | undefined },
): Promise<Page> {
  // With a topic most of what a page looks at may be of others.
  const size = topic === undefined ? Math.min(limit ?? PAGE_MAX, PAGE_MAX) : PAGE_MAX
  const body = { topic, key, from: from?.getTime(), to: to?.getTime(), limit: size, after }
  const init = { code: TandemRequestCode.LIST_TIMERS, body: bodyOf(body) }
  const answer = await askOurs(core, brokerName, address, init, 'list timers')
  const next = answer['next']
  return {
    timers: asArray(answer['timers']).map((entry) => timerOf(asObject(entry), brokerName)),
    next: typeof next === 'string' ? next : undefined,
  }
}

function timerOf(entry: JsonObject, brokerName: string): WaitingTimer {
  return {
    brokerName,
    topic: asText(entry['topic']),
    queueId: asNumber(entry['queueId']),
    messageId: asText(entry['messageId']),
    keys: asText(entry['keys'])
      .split(' ')
      .filter((key) => key !== ''),
    tag: asText(entry['tag']),
    deliverAt: new Date(asNumber(entry['deliverAt'])),
    storedAt: new Date(asNumber(entry['storedAt'])),
    bodyBytes: asNumber(entry['bodyBytes']),
    offsetMessageId: asText(entry['offsetMessageId']),
    recallHandle: asText(entry['recallHandle']),
    isOrphan: entry['isOrphan'] === true,
  }
}
