import type { HistoryEvent } from './history.ts'

/** What a history says of one message. Times in ns, 0 for never. */
export interface Message {
  topic: string
  kind: string
  hash: string
  startedAt: number
  delayMs: number
  okAt: number
  /** Where the acknowledgement said it is; undefined for those parked elsewhere first. */
  okQueue: string | undefined
  okOffset: number
  failed: string | undefined
  decision: 'commit' | 'rollback' | undefined
  place: string | undefined
  hashReceived: string | undefined
  firstReceivedAt: number
  lastReceivedAt: number
}

export function unknownMessage(): Message {
  return {
    topic: '',
    kind: '',
    hash: '',
    startedAt: 0,
    delayMs: 0,
    okAt: 0,
    okQueue: undefined,
    okOffset: -1,
    failed: undefined,
    decision: undefined,
    place: undefined,
    hashReceived: undefined,
    firstReceivedAt: 0,
    lastReceivedAt: 0,
  }
}

type ReadAll = HistoryEvent & { event: 'read.all' }

/** @param read offsets seen, by group and queue: `group topic/queue` */
export function holes(
  readAll: readonly ReadAll[],
  read: ReadonlyMap<string, ReadonlySet<number>>,
): { rule: 'OffsetsDense'; text: string; ids: string[] }[] {
  const found: { rule: 'OffsetsDense'; text: string; ids: string[] }[] = []
  for (const { group, topic, queueId, minOffset, maxOffset } of readAll) {
    const offsets = read.get(`${group} ${topic}/${queueId}`)
    for (let offset = minOffset; offset < maxOffset; offset++) {
      if (offsets?.has(offset)) continue
      found.push({ rule: 'OffsetsDense', text: `${topic}/${queueId}/${offset} holds no message`, ids: [] })
    }
  }
  return found
}

/** Sent after another one was acknowledged, in the same queue: behind it. */
export function disorder(
  messages: ReadonlyMap<string, Message>,
): { rule: 'OffsetsOrdered'; text: string; ids: string[] }[] {
  const found: { rule: 'OffsetsOrdered'; text: string; ids: string[] }[] = []
  const queues = new Map<string, { id: string; message: Message }[]>()
  for (const [id, message] of messages) {
    if (message.okQueue === undefined) continue
    const queue = queues.get(message.okQueue) ?? []
    queue.push({ id, message })
    queues.set(message.okQueue, queue)
  }
  for (const queue of queues.values()) {
    queue.sort((a, b) => a.message.okOffset - b.message.okOffset)
    let latest = queue[0]
    for (const one of queue) {
      if (latest !== undefined && one.message.okAt < latest.message.startedAt) {
        const text = `${one.id} was acknowledged before ${latest.id} was sent, and lies behind it`
        found.push({ rule: 'OffsetsOrdered', text, ids: [one.id, latest.id] })
      }
      if (latest === undefined || one.message.startedAt > latest.message.startedAt) latest = one
    }
  }
  return found
}
