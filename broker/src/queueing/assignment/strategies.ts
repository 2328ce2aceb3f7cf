import { createHash } from 'node:crypto'
import type { RequestMode } from './request-modes.ts'

/** A queue as clients name it. */
export interface AssignedQueue {
  brokerName: string
  queueId: number
  topic: string
}

type Strategy = (index: number, members: readonly string[], queues: readonly AssignedQueue[]) => AssignedQueue[]

const VIRTUAL_NODES = 10

/** remoting.md 4.5: the same shares as clients compute themselves. */
const strategies: ReadonlyMap<string, Strategy> = new Map<string, Strategy>([
  [
    'AVG',
    (index, { length: members }, queues) => {
      const rest = queues.length % members
      const even = Math.floor(queues.length / members)
      const size = queues.length <= members ? 1 : even + (index < rest ? 1 : 0)
      const start = rest > 0 && index < rest ? index * size : index * size + rest
      return queues.slice(start, start + size)
    },
  ],
  ['AVG_BY_CIRCLE', (index, { length: members }, queues) => queues.filter((_, at) => at % members === index)],
  [
    'CONSISTENT_HASH',
    (index, members, queues) => {
      const ring = members
        .flatMap((member, of) =>
          Array.from({ length: VIRTUAL_NODES }, (_, node) => ({ of, hash: hashOf(`${member}-${node}`) })),
        )
        .toSorted((a, b) => a.hash - b.hash)
      return queues.filter(({ topic, brokerName, queueId }) => {
        const hash = hashOf(`MessageQueue [topic=${topic}, brokerName=${brokerName}, queueId=${queueId}]`)
        return (ring.find((node) => node.hash >= hash) ?? ring[0])?.of === index
      })
    },
  ],
])

/** First four bytes of the MD5. */
function hashOf(text: string): number {
  return createHash('md5').update(text).digest().readUInt32BE(0)
}

/**
 * The queues a member shall consume, as a stock broker computes them for `clientRebalance=false`.
 * @param members ascending
 * @returns undefined when the strategy is not known here
 */
export function allocate(
  strategyName: string,
  clientId: string,
  members: readonly string[],
  all: readonly AssignedQueue[],
  { mode, popShareQueueNum }: RequestMode,
): AssignedQueue[] | undefined {
  const queues = all.toSorted(byName)
  if (mode === 'POP' && (popShareQueueNum <= 0 || popShareQueueNum >= members.length - 1)) {
    const brokers = [...new Set(queues.map(({ brokerName }) => brokerName))]
    return brokers.map((brokerName) => ({ brokerName, queueId: -1, topic: (queues[0] as AssignedQueue).topic }))
  }
  const strategy = strategies.get(strategyName)
  if (strategy === undefined) return undefined
  const index = members.indexOf(clientId)
  if (index < 0 || queues.length === 0) return []
  if (mode === 'PULL') return strategy(index, members, queues)
  if (members.length > queues.length) return [queues[index % queues.length] as AssignedQueue]
  const shared = Array.from({ length: popShareQueueNum + 1 }, (_, i) =>
    strategy((index + i) % members.length, members, queues),
  )
  return [...new Set(shared.flat())]
}

const byName = (a: AssignedQueue, b: AssignedQueue): number =>
  compare(a.topic, b.topic) || compare(a.brokerName, b.brokerName) || a.queueId - b.queueId

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
