import { expect, test } from 'vitest'
import type { MessageQueue } from '../../cluster/route.ts'
import { averageShare, sortQueues } from './rebalance.ts'

const queues = (count: number): MessageQueue[] =>
  Array.from({ length: count }, (_, queueId) => ({ topic: 't', brokerName: 'b', queueId }))

test('every queue belongs to exactly one member, whatever the numbers of queues and members', () => {
  for (let q = 0; q <= 20; q++) {
    for (let c = 1; c <= 9; c++) {
      const members = Array.from({ length: c }, (_, n) => `m${n}`)
      const shares = members.map((member) => averageShare(queues(q), members, member))
      expect(
        shares.flat().map((queue) => queue.queueId),
        `${q} queues, ${c} members`,
      ).toEqual(queues(q).map((one) => one.queueId))
      const sizes = shares.map((share) => share.length)
      expect(Math.max(...sizes) - Math.min(...sizes), `${q} queues, ${c} members`).toBeLessThanOrEqual(1)
    }
  }
})

test('shares are those of the Java strategy AVG', () => {
  const ids = (q: number, c: number): number[][] => {
    const members = Array.from({ length: c }, (_, n) => `m${n}`)
    return members.map((member) => averageShare(queues(q), members, member).map((queue) => queue.queueId))
  }
  expect(ids(8, 3)).toEqual([
    [0, 1, 2],
    [3, 4, 5],
    [6, 7],
  ])
  expect(ids(4, 4)).toEqual([[0], [1], [2], [3]])
  expect(ids(2, 3)).toEqual([[0], [1], []])
})

test('a member that the broker does not list gets nothing', () => {
  expect(averageShare(queues(4), ['a', 'b'], 'c')).toEqual([])
})

test('queues are sorted by topic, broker and number, not by text', () => {
  const at = (brokerName: string, queueId: number): MessageQueue => ({ topic: 't', brokerName, queueId })
  expect(sortQueues([at('b', 10), at('b', 9), at('a', 11), at('B', 0)])).toEqual([
    at('B', 0),
    at('a', 11),
    at('b', 9),
    at('b', 10),
  ])
})
