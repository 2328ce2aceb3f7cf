import { decodeRecords, parseLenientJson, RequestCode, type RemotingCommand } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody, pullFields, type RoomsOptions } from '../../../test/kit/broker-rooms.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const start = async (options: RoomsOptions = {}): Promise<BrokerRooms> => (open = await BrokerRooms.start(options))
const text = ({ body }: RemotingCommand): string => body.toString()
const topicFields = (over: Record<string, string | number | boolean> = {}) => ({
  ...{ topic: 'orders', defaultTopic: 'TBW102', readQueueNums: 2, writeQueueNums: 2, perm: 6 },
  ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false, ...over },
})

test('a topic is created, changed and deleted', async () => {
  const rooms = await start()
  const client = rooms.client()
  expect((await client.request(17, topicFields())).code).toBe(0)
  await client.request(17, topicFields({ readQueueNums: 5, attributes: '+message.type=FIFO' }))
  expect(rooms.topics.find('orders')).toMatchObject({
    readQueues: 5,
    writeQueues: 2,
    attributes: { 'message.type': 'FIFO' },
  })
  expect(rooms.topics.find('orders')?.queues).toHaveLength(5)
  await client.request(17, topicFields({ attributes: '-message.type' }))
  expect(rooms.topics.find('orders')?.attributes).toEqual({})
  expect([(await client.request(215, { topic: 'orders' })).code, rooms.topics.find('orders')]).toEqual([0, undefined])
  expect((await client.request(215, { topic: 'orders' })).code).toBe(0)
  expect((await client.request(215, { topic: 'TBW102' })).code).not.toBe(0)
})

test.each([
  ['a bad name', { topic: 'a b' }],
  ['a name of 128 characters', { topic: 'x'.repeat(128) }],
  ['no queue', { readQueueNums: 0 }],
  ['100,000 queues', { writeQueueNums: 100_000 }],
  ['a permission that is none', { perm: 64 }],
  ['an attribute this broker cannot honour', { attributes: '+queue.type=BatchCQ' }],
  ['the same attribute twice', { attributes: '+message.type=FIFO,+message.type=DELAY' }],
  ['an attribute nobody knows', { attributes: '+__proto__=x' }],
])('a topic with %s is refused with 29 and the reason', async (_what, over) => {
  const rooms = await start()
  const answer = await rooms.client().request(17, topicFields(over))
  expect([answer.code, (answer.remark ?? '').length > 20]).toEqual([29, true])
})

test('a send creates a topic with as many queues as asked, at most as many as the template, once', async () => {
  const rooms = await start()
  expect(rooms.topics.forSend('a', 'TBW102', 2)).toMatchObject({ readQueues: 2, writeQueues: 2, perm: 6 })
  expect(rooms.topics.forSend('b', 'TBW102', 100).writeQueues).toBe(4)
  expect(rooms.topics.forSend('a', 'TBW102', 4).writeQueues).toBe(2)
  expect(() => rooms.topics.forSend('c d', 'TBW102', 4)).toThrow('TOPIC_NAME_INVALID')
  expect(() => rooms.topics.forSend('c', 'a', 4)).toThrow('TOPIC_NOT_EXIST')
  expect(() => rooms.topics.forSend('%RETRY%nobody', 'TBW102', 4)).toThrow('TOPIC_NOT_EXIST')
  rooms.groups.ensure('billing')
  expect(rooms.topics.forSend('%RETRY%billing', 'TBW102', 4).writeQueues).toBe(1)
  expect(rooms.topics.find('rmq_sys_wheel_timer')).toBeUndefined()
  expect(rooms.topics.ensureInternal('rmq_sys_wheel_timer', 1).system).toBe(true)
})

test('with auto-creation off a send creates nothing', async () => {
  const rooms = await start({ autoCreate: false })
  expect(() => rooms.topics.forSend('a', 'TBW102', 2)).toThrow('TOPIC_NOT_EXIST')
})

test('groups are configured, listed and deleted', async () => {
  const rooms = await start()
  const client = rooms.client()
  await client.request(
    200,
    {},
    { body: { groupName: 'billing', retryMaxTimes: 3, consumeEnable: false, later: { x: 1 } } },
  )
  expect(rooms.groups.policyOf('billing').attemptsMax).toBe(3)
  expect((await client.request(11, pullFields({ topic: 'DefaultCluster' }))).code).toBe(16)
  const { subscriptionGroupTable } = JSON.parse(text(await client.request(201)))
  expect(subscriptionGroupTable.billing).toMatchObject({ retryMaxTimes: 3, retryQueueNums: 1, later: { x: 1 } })
  expect((await client.request(200, {}, { body: { groupName: 'a b' } })).code).toBe(29)
  rooms.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  rooms.offsets.commit('billing', 'orders', 0, 0)
  expect((await client.request(207, { groupName: 'billing', cleanOffset: true })).code).toBe(0)
  expect([rooms.groups.find('billing'), rooms.offsets.committed('billing', 'orders', 0)]).toEqual([undefined, -1])
})

test('a group is not behind in a topic made anew that holds nothing', async () => {
  const rooms = await start()
  const client = rooms.client()
  rooms.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  rooms.append('orders', 0)
  rooms.append('orders', 0)
  await rooms.settle()
  await client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody() })
  rooms.offsets.commit('billing', 'orders', 0, 1)
  const progress = async () => text(await client.request(208, { consumerGroup: 'billing', topic: 'orders' }))
  expect(await progress()).toContain('"brokerOffset":2,"consumerOffset":1')
  expect((await client.request(215, { topic: 'orders' })).code).toBe(0)
  rooms.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  expect(await progress()).toContain('"brokerOffset":2,"consumerOffset":2')
})

test('statistics list every queue of a fresh topic, and every read queue of a fresh group', async () => {
  const rooms = await start()
  rooms.topics.create({ name: 'orders', readQueues: 2, writeQueues: 2 })
  rooms.append('orders', 1)
  await rooms.settle()
  const client = rooms.client()
  const topic = text(await client.request(202, { topic: 'orders' }))
  expect(topic).toContain(
    '{{"brokerName":"tandemmq","queueId":0,"topic":"orders"}:{"lastUpdateTimestamp":0,"maxOffset":0,"minOffset":0}',
  )
  expect(parseLenientJson(topic)).toBeTypeOf('object')
  await client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody() })
  rooms.offsets.commit('billing', 'orders', 1, 1)
  const group = text(await client.request(208, { consumerGroup: 'billing' }))
  expect(group).toContain('"queueId":0,"topic":"orders"}:{"brokerOffset":0,"consumerOffset":0')
  expect(group).toContain('"queueId":1,"topic":"orders"}:{"brokerOffset":1,"consumerOffset":1')
  expect(JSON.parse(text(await client.request(300, { topic: 'orders' }))).groupList).toEqual(['billing'])
  expect((await client.request(202, { topic: 'nowhere' })).code).toBe(17)
  expect((await client.request(203, { consumerGroup: 'nobody' })).code).toBe(206)
  expect((await client.request(204, { producerGroup: 'nobody' })).code).toBe(1)
})

test('settings and figures are answered in the shapes the tools parse', async () => {
  const client = (await start()).client()
  const config = await client.request(26)
  expect([text(config), config.extFields['version']]).toEqual(['flush=sync\n', expect.stringContaining('counter')])
  const { table } = JSON.parse(text(await client.request(28)))
  expect(table).toEqual({ putTps: '1.5 1.0 0.5' })
})

test('a message is found by its place, its unique key and its keys', async () => {
  const rooms = await start()
  rooms.append('orders', 0, { body: 'first', keys: 'o-1 o-2', uniqueKey: 'U1' })
  rooms.append('orders', 0, { body: 'second', keys: 'o-2', uniqueKey: 'U2' })
  await rooms.settle()
  const client = rooms.client()
  const offset = rooms.topics.find('orders')!.queues[0]!.physicalOffset(1)
  const bodies = ({ body }: RemotingCommand): string[] => decodeRecords(body).map((one) => one.body.toString())
  expect(bodies(await client.request(33, { offset }))).toEqual(['second'])
  expect((await client.request(33, { offset: offset + 1 })).code).toBe(1)
  expect((await client.request(33, { offset: 1_099_511_627_776 })).code).toBe(1)
  const query = (key: string, over: Record<string, string | number | boolean> = {}): Promise<RemotingCommand> =>
    client.request(12, {
      ...{ topic: 'orders', key, maxNum: 32, beginTimestamp: 0, endTimestamp: '9223372036854775807' },
      ...over,
    })
  expect(bodies(await query('o-2'))).toEqual(['second', 'first'])
  expect(bodies(await query('o-2', { maxNum: 1 }))).toEqual(['second'])
  expect(bodies(await query('U1', { _UNIQUE_KEY_QUERY: true }))).toEqual(['first'])
  expect((await query('o-1', { _UNIQUE_KEY_QUERY: true })).code).toBe(22)
  expect((await query('o-')).code).toBe(22)
  expect((await query('o-1', { endTimestamp: 1 })).code).toBe(22)
  expect((await query('o-1', { topic: 'nowhere' })).code).toBe(22)
})

test('a topic and a group tell their settings, one by one and all at once', async () => {
  const rooms = await start()
  const client = rooms.client()
  await client.request(17, topicFields({ perm: 4 }))
  const one = JSON.parse(text(await client.request(351, { topic: 'orders' })))
  expect(one).toMatchObject({ topicName: 'orders', perm: 4, readQueueNums: 2, topicFilterType: 'SINGLE_TAG' })
  expect((await client.request(351, { topic: 'nowhere' })).code).toBe(17)
  expect(JSON.parse(text(await client.request(21))).topicConfigTable['orders']).toEqual(one)
  const own = JSON.parse(text(await client.request(305))).topicList
  expect([own.includes('orders'), own.includes('DefaultCluster')]).toEqual([
    false,
    rooms.topics.find('DefaultCluster')?.system,
  ])
  rooms.groups.ensure('billing')
  expect(JSON.parse(text(await client.request(352, { group: 'billing' })))).toMatchObject({ retryMaxTimes: 16 })
  expect((await client.request(352, { group: 'nobody' })).code).toBe(26)
})

test('a topic is forgotten on the name server too, though it has nothing of its own to forget', async () => {
  const rooms = await start()
  const client = rooms.client()
  await client.request(17, topicFields())
  expect((await client.request(216, { topic: 'orders' })).code).toBe(0)
  expect(rooms.topics.find('orders')).toBeDefined()
  expect((await client.request(105, { topic: 'orders' })).code).toBe(0)
})

test('all producers are listed with the time of their last sign of life', async () => {
  const rooms = await start()
  const client = rooms.client()
  const before = rooms.clock.now()
  await client.request(
    34,
    {},
    { body: { clientID: 'p1', consumerDataSet: [], producerDataSet: [{ groupName: 'shop' }] } },
  )
  await rooms.settle(1000)
  const [producer] = JSON.parse(text(await client.request(328))).data.shop
  expect(producer).toMatchObject({ clientId: 'p1', remoteIP: expect.stringContaining('127.0.0.1:'), version: 441 })
  expect(producer.lastUpdateTimestamp).toBeGreaterThanOrEqual(before)
  expect(producer.lastUpdateTimestamp).toBeLessThan(before + 1000)
})

test('the backlog of all groups is added up, of ordered topics alone when asked', async () => {
  const rooms = await start()
  const client = rooms.client()
  for (let n = 0; n < 3; n++) rooms.append('orders', 0)
  await rooms.settle()
  rooms.groups.ensure('billing')
  rooms.offsets.commit('billing', 'orders', 0, 1)
  const stats = parseLenientJson(text(await client.request(317, { isOrder: false }))) as Record<string, unknown>
  expect(stats).toMatchObject({ brokerAddr: '127.0.0.1:9876', totalDiff: 2, consumeStatsList: [{ billing: [{}] }] })
  expect(JSON.parse(text(await client.request(317, { isOrder: true })))).toMatchObject({
    totalDiff: 0,
    consumeStatsList: [],
  })
})

test('the entries of a queue are shown from where they are asked for, never outside it', async () => {
  const rooms = await start()
  const client = rooms.client()
  for (let n = 0; n < 3; n++) rooms.append('orders', 0, { tag: 'TagA' })
  await rooms.settle()
  const queue = rooms.topics.find('orders')!.queues[0]!
  const ask = async (index: number, count: number): Promise<{ queueData: unknown[]; maxQueueIndex: number }> =>
    JSON.parse(text(await client.request(321, { topic: 'orders', queueId: 0, index, count })))
  const { queueData, maxQueueIndex } = await ask(1, 10)
  expect([maxQueueIndex, queueData.length, (await ask(-5, 2)).queueData.length]).toEqual([3, 2, 2])
  const tagsCode = 2598919
  expect(queueData[0]).toEqual({
    eval: true,
    physicOffset: queue.physicalOffset(1),
    physicSize: queue.size(1),
    tagsCode,
  })
  expect([(await ask(3, 1)).queueData, (await ask(0, -1)).queueData]).toEqual([[], []])
})
