import { expect, test } from 'vitest'
import { BrokerRooms } from '../../../test/kit/broker-rooms.ts'
import { GroupNeeds } from './group-needs.ts'

async function world() {
  const rooms = await BrokerRooms.start()
  const online: string[] = []
  const needs = new GroupNeeds({
    clock: rooms.clock,
    groups: { online: () => online },
    offsets: rooms.offsets,
    lookup: (topic, queueId) => rooms.store.findQueue(topic, queueId),
    liveMs: 60_000,
  })
  for (let n = 0; n < 10; n++) rooms.append('orders', 0, { body: `m${n}` })
  await rooms.settle()
  const queue = rooms.store.queue('orders', 0)
  const commit = async (group: string, offset: number): Promise<void> => {
    rooms.offsets.commit(group, 'orders', 0, offset)
    await rooms.settle(150)
  }
  return { ...{ rooms, online, needs, queue, commit } }
}

test('the slowest live group decides what is needed; one that has read all needs nothing', async () => {
  const { needs, queue, commit } = await world()
  expect(needs.earliest()).toBe(Number.POSITIVE_INFINITY)
  await commit('billing', 7)
  expect(needs.earliest()).toBe(queue.physicalOffset(7))
  await commit('stock', 3)
  expect(needs.earliest()).toBe(queue.physicalOffset(3))
  await commit('stock', 10)
  await commit('billing', 10)
  expect(needs.earliest()).toBe(Number.POSITIVE_INFINITY)
})

test('a group without members counts for a while after its last commit, one with members always', async () => {
  const { rooms, online, needs, queue, commit } = await world()
  await commit('billing', 4)
  await rooms.settle(59_000)
  expect(needs.earliest()).toBe(queue.physicalOffset(4))
  await rooms.settle(1_500)
  expect(needs.earliest()).toBe(Number.POSITIVE_INFINITY)
  online.push('billing')
  expect(needs.earliest()).toBe(queue.physicalOffset(4))
})

test('after a start a group counts as if it had committed just then', async () => {
  const { rooms, queue, commit } = await world()
  await commit('billing', 4)
  await rooms.settle(100_000)
  const restarted = new GroupNeeds({
    clock: rooms.clock,
    groups: { online: () => [] },
    offsets: rooms.offsets,
    lookup: (topic, queueId) => rooms.store.findQueue(topic, queueId),
    liveMs: 60_000,
  })
  expect(restarted.earliest()).toBe(queue.physicalOffset(4))
  await rooms.settle(60_001)
  expect(restarted.earliest()).toBe(Number.POSITIVE_INFINITY)
})

test('F62: what was removed before a group had read it is counted for that group', async () => {
  const { needs, queue, commit } = await world()
  await commit('billing', 4)
  await commit('stock', 9)
  expect(needs.lost()).toEqual([])
  queue.dropBefore(queue.physicalOffset(6))
  expect(needs.lost()).toEqual([{ group: 'billing', topic: 'orders', queueId: 0, messages: 2 }])
  expect(needs.earliest()).toBe(queue.physicalOffset(6))
})
