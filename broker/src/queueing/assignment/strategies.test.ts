import { expect, test } from 'vitest'
import { allocate, type AssignedQueue } from './strategies.ts'

const queuesOf = (count: number, brokerName = 'broker-a'): AssignedQueue[] =>
  Array.from({ length: count }, (_, queueId) => ({ brokerName, queueId, topic: 'orders' }))
const members = ['c1', 'c2', 'c3']
const pull = { mode: 'PULL', popShareQueueNum: 0 } as const
const ids = (queues: AssignedQueue[] | undefined): number[] | undefined => queues?.map(({ queueId }) => queueId)

test.each([
  [
    'AVG',
    8,
    [
      [0, 1, 2],
      [3, 4, 5],
      [6, 7],
    ],
  ],
  ['AVG', 2, [[0], [1], []]],
  [
    'AVG_BY_CIRCLE',
    8,
    [
      [0, 3, 6],
      [1, 4, 7],
      [2, 5],
    ],
  ],
])('%s shares %i queues out as clients do', (strategy, count, shares) => {
  const queues = queuesOf(count).toReversed()
  expect(members.map((member) => ids(allocate(strategy, member, members, queues, pull)))).toEqual(shares)
})

test('CONSISTENT_HASH gives each queue to one member, and a leaver leaves the others theirs', () => {
  const queues = queuesOf(64)
  const shares = members.map((member) => ids(allocate('CONSISTENT_HASH', member, members, queues, pull))!)
  expect(shares.flat().toSorted((a, b) => a - b)).toEqual(ids(queues))
  const rest = ['c1', 'c2'].map((member) => ids(allocate('CONSISTENT_HASH', member, ['c1', 'c2'], queues, pull))!)
  for (const [index, share] of rest.entries()) expect(share).toEqual(expect.arrayContaining(shares[index]!))
})

test('a member that is not there gets nothing, an unknown strategy no answer', () => {
  expect(allocate('AVG', 'c9', members, queuesOf(8), pull)).toEqual([])
  expect(allocate('MACHINE_ROOM', 'c1', members, queuesOf(8), pull)).toBeUndefined()
})

test.each([0, -1, 2, 7])(
  'popping, with %i shared all three members pop every queue of every broker',
  (popShareQueueNum) => {
    const queues = [...queuesOf(4), ...queuesOf(4, 'broker-b')]
    const share = allocate('AVG', 'c2', members, queues, { mode: 'POP', popShareQueueNum })
    expect(share).toEqual(['broker-a', 'broker-b'].map((brokerName) => ({ brokerName, queueId: -1, topic: 'orders' })))
  },
)

test('popping, a member shares the queues of those that follow it, and nobody is left out when members are many', () => {
  const pop = { mode: 'POP', popShareQueueNum: 1 } as const
  const share = (member: string, all: string[], count: number) =>
    ids(allocate('AVG', member, all, queuesOf(count), pop))
  expect(members.map((member) => share(member, members, 4))).toEqual([
    [0, 1, 2],
    [2, 3],
    [3, 0, 1],
  ])
  const many = ['c1', 'c2', 'c3', 'c4', 'c5']
  expect(many.map((member) => share(member, many, 2))).toEqual([[0], [1], [0], [1], [0]])
})
