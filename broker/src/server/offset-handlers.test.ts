import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody } from '../../../test/kit/broker-rooms.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const fields = { consumerGroup: 'billing', topic: 'orders', queueId: 0 }

test('a commit moves a group back when it has no member, as operators do, and never under a running consumer', async () => {
  const rooms = (open = await BrokerRooms.start())
  const client = rooms.client()
  rooms.append('orders', 0)
  rooms.append('orders', 0)
  await rooms.settle()
  await client.request(34, {}, { body: heartbeatBody() })
  expect((await client.request(15, { ...fields, commitOffset: 2 })).remark).toBeUndefined()
  const refused = await client.request(15, { ...fields, commitOffset: 1 })
  expect([refused.code, refused.remark]).toEqual([0, 'kept: the committed offset is ahead of this one'])
  expect(rooms.offsets.committed('billing', 'orders', 0)).toBe(2)

  await client.request(35, { clientID: 'c1', consumerGroup: 'billing' })
  expect((await client.request(15, { ...fields, commitOffset: 1 })).remark).toBeUndefined()
  expect(rooms.offsets.committed('billing', 'orders', 0)).toBe(1)
  // Not a reset: whoever starts next asks for its offset and is not told to move.
  expect(rooms.offsets.hasPendingResets).toBe(false)
  expect((await client.request(14, fields)).extFields['offset']).toBe('1')
})

test('of members that start together the first one decides where their group begins', async () => {
  const rooms = (open = await BrokerRooms.start())
  const client = rooms.client()
  for (let n = 0; n < 5; n++) rooms.append('orders', 0)
  await rooms.settle()
  await client.request(34, {}, { body: heartbeatBody() })
  const begin = (commitOffset: number) => client.request(15, { ...fields, commitOffset, onlyIfAbsent: true })
  expect((await begin(2)).remark).toBeUndefined()
  const second = await begin(4)
  expect([second.code, second.remark]).toEqual([0, 'kept: the group has a position'])
  expect(rooms.offsets.committed('billing', 'orders', 0)).toBe(2)
  await client.request(15, { ...fields, commitOffset: 4 })
  expect(rooms.offsets.committed('billing', 'orders', 0)).toBe(4)
})
