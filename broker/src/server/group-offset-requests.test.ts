import { RequestCode, type RemotingCommand } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody, pullFields } from '../../../test/kit/broker-rooms.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const start = async (): Promise<BrokerRooms> => (open = await BrokerRooms.start())
const json = ({ body }: RemotingCommand): Record<string, unknown> => JSON.parse(body.toString())

/** Three messages in queue 0 of `orders`, a second apart; queue 1 stays empty. */
async function threeOrders(rooms: BrokerRooms): Promise<number> {
  rooms.topics.forSend('orders', 'TBW102', 2)
  const first = rooms.clock.now()
  for (let n = 0; n < 3; n++) {
    rooms.append('orders', 0)
    await rooms.settle(1_000)
  }
  return first
}

test('the time span of a group says when its last and the first and last message of each queue were stored', async () => {
  const rooms = await start()
  const first = await threeOrders(rooms)
  rooms.offsets.commit('billing', 'orders', 0, 2)
  const ask = async (group: string) =>
    json(await rooms.client().request(RequestCode.QUERY_CONSUME_TIME_SPAN, { topic: 'orders', group }))
  const [zero, one] = (await ask('billing'))['consumeTimeSpanSet'] as Record<string, unknown>[]
  expect(zero).toEqual({
    messageQueue: { brokerName: 'tandemmq', queueId: 0, topic: 'orders' },
    minTimeStamp: first,
    maxTimeStamp: first + 2_000,
    consumeTimeStamp: first + 1_000,
    delayTime: expect.closeTo(1_000, -2),
  })
  expect(one).toMatchObject({ minTimeStamp: -1, maxTimeStamp: -1, consumeTimeStamp: -1, delayTime: 0 })
  const [untouched] = (await ask('nobody'))['consumeTimeSpanSet'] as Record<string, unknown>[]
  expect(untouched).toMatchObject({ consumeTimeStamp: first, delayTime: expect.closeTo(3_000, -2) })
  rooms.offsets.commit('billing', 'orders', 0, 3)
  const [current] = (await ask('billing'))['consumeTimeSpanSet'] as Record<string, unknown>[]
  expect(current).toMatchObject({ consumeTimeStamp: first + 2_000, delayTime: 0 })
})

test('the time span of a topic that does not exist is refused with 17', async () => {
  const rooms = await start()
  const answer = await rooms.client().request(RequestCode.QUERY_CONSUME_TIME_SPAN, { topic: 'nowhere', group: 'g' })
  expect(answer.code).toBe(17)
})

test('a copy gives a new group the offsets of another, and its next pull goes on there', async () => {
  const rooms = await start()
  await threeOrders(rooms)
  const client = rooms.client()
  rooms.offsets.commit('billing', 'orders', 0, 2)
  const fields = { srcGroup: 'billing', destGroup: 'audit', topic: 'orders', offline: true }
  expect((await client.request(RequestCode.CLONE_GROUP_OFFSET, fields)).code).toBe(0)
  expect([0, 1].map((queueId) => rooms.offsets.committed('audit', 'orders', queueId))).toEqual([2, -1])
  expect(rooms.groups.find('audit')).toBeDefined()
  const pull = { topic: 'orders', consumerGroup: 'audit', queueId: 0, queueOffset: 0 }
  expect(await client.request(11, pullFields(pull))).toMatchObject({ code: 21, extFields: { nextBeginOffset: '2' } })
})

test('a copy without a topic copies all, also backwards, and one from a group that has none changes nothing', async () => {
  const rooms = await start()
  await threeOrders(rooms)
  rooms.topics.forSend('refunds', 'TBW102', 2)
  rooms.append('refunds', 1)
  await rooms.settle()
  rooms.offsets.commit('billing', 'orders', 0, 1)
  rooms.offsets.commit('billing', 'refunds', 1, 1)
  rooms.offsets.commit('audit', 'orders', 0, 3)
  const client = rooms.client()
  const copy = (srcGroup: string) =>
    client.request(RequestCode.CLONE_GROUP_OFFSET, { srcGroup, destGroup: 'audit', offline: true })
  const offsets = () => [rooms.offsets.committed('audit', 'orders', 0), rooms.offsets.committed('audit', 'refunds', 1)]
  expect([(await copy('nobody')).code, offsets()]).toEqual([0, [3, -1]])
  expect([(await copy('billing')).code, offsets()]).toEqual([0, [1, 1]])
})

test('the topics of a group are those it has offsets of, and its subscription is what a member sent', async () => {
  const rooms = await start()
  await threeOrders(rooms)
  const client = rooms.client()
  await client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody() })
  rooms.offsets.commit('billing', 'orders', 0, 1)
  const topicsOf = async (group: string) => json(await client.request(RequestCode.QUERY_TOPICS_BY_CONSUMER, { group }))
  expect(await topicsOf('billing')).toEqual({ brokerAddr: '127.0.0.1:9876', topicList: ['orders'] })
  expect(await topicsOf('nobody')).toEqual({ brokerAddr: '127.0.0.1:9876', topicList: [] })
  const subscription = async (topic: string) =>
    json(await client.request(RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, { group: 'billing', topic }))
  expect(await subscription('orders')).toMatchObject({
    group: 'billing',
    topic: 'orders',
    subscriptionData: { topic: 'orders', subString: expect.any(String), expressionType: 'TAG' },
  })
  expect(await subscription('elsewhere')).toEqual({ group: 'billing', topic: 'elsewhere' })
})

test('tidying on demand is answered with success', async () => {
  const rooms = await start()
  const codes = [
    RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE,
    RequestCode.CLEAN_UNUSED_TOPIC,
    RequestCode.DELETE_EXPIRED_COMMITLOG,
  ]
  for (const code of codes) expect([code, (await rooms.client().request(code)).code]).toEqual([code, 0])
})
