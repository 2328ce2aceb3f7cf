import { RequestCode } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms } from '../../../test/kit/broker-rooms.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

async function started() {
  const rooms = (open = await BrokerRooms.start())
  const client = rooms.client()
  return {
    rooms,
    topics: (...topicConfigList: object[]) =>
      client.request(RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, {}, { body: { topicConfigList } }),
    groups: (...groupConfigList: object[]) =>
      client.request(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, {}, { body: { groupConfigList } }),
  }
}

test('a list of topics creates the new ones and changes the others', async () => {
  const { rooms, topics } = await started()
  rooms.topics.forSend('orders', 'TBW102', 2)
  const attributes = { '+message.type': 'FIFO' }
  const orders = { topicName: 'orders', readQueueNums: 3, writeQueueNums: 3, perm: 4 }
  expect((await topics(orders, { topicName: 'refunds', order: true, attributes })).code).toBe(0)
  expect(rooms.topics.find('orders')).toMatchObject({ readQueues: 3, writeQueues: 3, perm: 4, order: false })
  expect(rooms.topics.find('refunds')).toMatchObject({
    ...{ readQueues: 16, writeQueues: 16, perm: 6, order: true, attributes: { 'message.type': 'FIFO' } },
  })
  expect((await topics({ topicName: 'refunds', attributes: { '-message.type': '' } })).code).toBe(0)
  expect(rooms.topics.find('refunds')?.attributes).toEqual({})
  expect((await topics()).code).toBe(0)
})

test.each([
  ['a bad name', { topicName: 'a b' }],
  ['a name of the broker', { topicName: 'SCHEDULE_TOPIC_XXXX' }],
  ['an attribute nobody knows', { topicName: 'odd', attributes: { '+nonsense': 'x' } }],
])('a list of topics with %s is refused with 29 and creates none', async (_what, odd) => {
  const { rooms, topics } = await started()
  expect([(await topics({ topicName: 'fine' }, odd)).code, rooms.topics.find('fine')]).toEqual([29, undefined])
})

test('a list of groups is configured, all or none', async () => {
  const { rooms, groups } = await started()
  expect((await groups({ groupName: 'billing', retryMaxTimes: 3 }, { groupName: 'audit' })).code).toBe(0)
  expect(['billing', 'audit'].map((group) => rooms.groups.policyOf(group).attemptsMax)).toEqual([3, 16])
  expect((await groups({ groupName: 'late' }, { groupName: 'a b' })).code).not.toBe(0)
  expect(rooms.groups.find('late')).toBeUndefined()
})

test('a body without a list is refused', async () => {
  const { rooms } = await started()
  for (const code of [RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST])
    expect([code, (await rooms.client().request(code, {}, { body: [] })).code]).not.toEqual([code, 0])
})
