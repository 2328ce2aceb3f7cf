import { RequestCode } from '@tandemmq/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody, type RoomsClient } from '../../../test/kit/broker-rooms.ts'

let rooms: BrokerRooms

beforeEach(async () => {
  rooms = await BrokerRooms.start()
  rooms.topics.create({ name: 'orders', readQueues: 2, writeQueues: 2 })
})
afterEach(() => rooms.close())

async function member(clientId: string, instance?: { absenceMs: number }): Promise<RoomsClient> {
  const client = rooms.client()
  const body = heartbeatBody({ clientId, ...(instance && { instance }) })
  await client.request(RequestCode.HEART_BEAT, {}, { body })
  return client
}

async function lock(client: RoomsClient, clientId: string, handover = true, queueIds = [0, 1]): Promise<number[]> {
  const mqSet = queueIds.map((queueId) => ({ topic: 'orders', brokerName: 'tandemmq', queueId }))
  const body = { consumerGroup: 'billing', clientId, mqSet, ...(handover && { handover }) }
  const answer = await client.request(RequestCode.LOCK_BATCH_MQ, {}, { body })
  return JSON.parse(answer.body.toString()).lockOKMQSet.map((queue: { queueId: number }) => queue.queueId)
}

async function unlock(client: RoomsClient, clientId: string, queueId: number): Promise<void> {
  const mqSet = [{ topic: 'orders', brokerName: 'tandemmq', queueId }]
  await client.request(RequestCode.UNLOCK_BATCH_MQ, {}, { body: { consumerGroup: 'billing', clientId, mqSet } })
}

const notified = (client: RoomsClient): number => client.pushed.filter(({ code }) => code === 40).length

test('a claimed queue is refused to others, and whoever was refused is told when it is free', async () => {
  const a = await member('a')
  const b = await member('b')
  expect(await lock(a, 'a')).toEqual([0, 1])
  expect(await lock(b, 'b')).toEqual([])
  await rooms.settle()
  const before = [notified(a), notified(b)] as const
  await unlock(a, 'a', 1)
  await rooms.settle()
  expect([notified(a), notified(b)]).toEqual([before[0], before[1] + 1])
  expect(await lock(b, 'b')).toEqual([1])
  expect(await lock(a, 'a')).toEqual([0])
})

test('a claim ends when its member leaves or its connection breaks, a lock of an ordered consumer does not', async () => {
  const a = await member('a')
  const b = await member('b')
  await lock(a, 'a', true, [0])
  await lock(a, 'a', false, [1])
  expect(await lock(b, 'b')).toEqual([])
  ;(await a.connection()).destroy()
  await rooms.settle()
  expect(await lock(b, 'b')).toEqual([0])
})

test('the claims of a member that is expected back are kept until it is expected no longer', async () => {
  const a = await member('a', { absenceMs: 20_000 })
  const b = await member('b')
  await lock(a, 'a')
  ;(await a.connection()).destroy()
  await rooms.settle(19_000)
  expect(await lock(b, 'b')).toEqual([])
  await rooms.settle(2_000)
  expect(await lock(b, 'b')).toEqual([0, 1])
})

test('a group with claims is not a group that consumes in order', async () => {
  await lock(await member('a'), 'a')
  expect(rooms.locks.isOrdered('billing')).toBe(false)
  await lock(await member('b'), 'b', false)
  expect(rooms.locks.isOrdered('billing')).toBe(false)
  await rooms.settle(61_000)
  await lock(await member('b'), 'b', false)
  expect(rooms.locks.isOrdered('billing')).toBe(true)
})
