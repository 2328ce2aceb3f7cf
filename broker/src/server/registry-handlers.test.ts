import { crc32Of, decodeCommand, parseLenientJson, type RemotingCommand, RequestCode } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, type RoomsClient } from '../../../test/kit/broker-rooms.ts'
import { goldenFrames } from '../../../test/wire/golden.ts'
import { encodeRegistration, type RoutedTopic } from '../nameserver/index.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

type Fields = Record<string, string | number | boolean>

const start = async (): Promise<BrokerRooms> => (open = await BrokerRooms.start())
const topic = (name: string, over: Partial<RoutedTopic> = {}): RoutedTopic => {
  return { name, perm: 6, readQueues: 4, writeQueues: 3, sysFlag: 0, ...over }
}
const two = [topic('orders'), topic('payments')]
const identity = (over: Fields = {}): Fields => {
  return { brokerName: 'broker-a', brokerAddr: '10.0.0.1:10911', clusterName: 'C', brokerId: 0, ...over }
}

/** Sends a body as it is; the client's own helper would make JSON of it. */
async function register(
  client: RoomsClient,
  topics: RoutedTopic[] = two,
  fields: Fields = {},
  form: { compressed?: boolean; counter?: number; body?: Buffer; version?: number } = {},
): Promise<RemotingCommand> {
  const { compressed = false, counter = 1, version = 479 } = form
  const dataVersion = { counter, stateVersion: 0, timestamp: 5 }
  const body = form.body ?? encodeRegistration({ dataVersion, topics }, compressed)
  const bodyCrc32 = crc32Of(body, 0, body.length) & 0x7fffffff
  const extFields = { ...identity(), haServerAddr: '10.0.0.1:10912', enableActingMaster: false, ...fields }
  const init = { code: 103, version, extFields: { compressed, bodyCrc32, ...extFields }, body }
  return open!.clock.run(client.remoting.request(client.address, init, 5_000))
}
interface Content {
  brokerDatas: { brokerName: string; brokerAddrs: Record<string, string> }[]
  queueDatas: { brokerName: string; perm: number; readQueueNums: number }[]
  orderTopicConf?: string
  clusterAddrTable: Record<string, string[]>
  topicList: string[]
  brokerMemberGroup: { brokerAddrs: Record<string, string> }
}
const json = (answer: RemotingCommand): Content => parseLenientJson(answer.body.toString()) as Content
const routeOf = async (client: RoomsClient, name: string, fields: Fields = {}): Promise<Content> => {
  return json(await client.request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: name, ...fields }))
}
const routeCode = async (client: RoomsClient, name: string): Promise<number> =>
  (await client.request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: name })).code

test.each(['broker-start.jsonl', 'broker-start-heartbeat.jsonl', 'broker-start-binary.jsonl'])(
  'the registration of a real broker makes its topics routes: %s',
  async (file) => {
    const client = (await start()).client()
    const frame = goldenFrames(file).find((one) => one.code === 103)?.frame
    const { code, version, serialization, extFields, body } = decodeCommand(frame ?? Buffer.alloc(0))
    const init = { code, version, serialization, extFields, body }
    const answer = await open!.clock.run(client.remoting.request(client.address, init, 5_000))
    expect(answer.code).toBe(0)
    const route = await routeOf(client, 'BenchmarkTest')
    expect(route.brokerDatas[0]).toMatchObject({ brokerName: 'broker-a', brokerAddrs: { 0: '127.0.0.2:20911' } })
    expect(route.queueDatas).toEqual([
      { brokerName: 'broker-a', perm: 6, readQueueNums: 1024, topicSysFlag: 0, writeQueueNums: 1024 },
    ])
    expect(json(await client.request(RequestCode.GET_BROKER_CLUSTER_INFO)).clusterAddrTable).toEqual({
      DefaultCluster: ['tandemmq', 'broker-a'],
    })
  },
)

test.each([
  ['plain', {}],
  ['compressed', { compressed: true }],
  ['compressed by 4.9, without the section of static topics', { compressed: true, version: 409 }],
])('a %s body is understood', async (_what, form) => {
  const client = (await start()).client()
  expect((await register(client, two, {}, form)).code).toBe(0)
  expect((await routeOf(client, 'orders')).queueDatas).toEqual([
    { brokerName: 'broker-a', perm: 6, readQueueNums: 4, topicSysFlag: 0, writeQueueNums: 3 },
  ])
})

test('a bare topic table is understood from senders before 3.0.11, and unquoted keys of static topics do no harm', async () => {
  const client = (await start()).client()
  const table = `{"dataVersion":{"counter":1,"timestamp":2},"topicConfigTable":{"orders":{"perm":6,"readQueueNums":1,"topicName":"orders","writeQueueNums":1},"x":{"perm":6,"readQueueNums":1,"writeQueueNums":1}}}`
  expect((await register(client, [], {}, { body: Buffer.from(table), version: 36 })).code).toBe(0)
  expect((await routeOf(client, 'x')).queueDatas[0]?.readQueueNums).toBe(1)
  const body = `{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":2},"topicConfigTable":{"y":{"perm":6,"readQueueNums":1,"writeQueueNums":1}},"topicQueueMappingDetailMap":{"y":{"m":{0:[1]}}}}}`
  expect((await register(client, [], {}, { body: Buffer.from(body) })).code).toBe(0)
  expect((await routeOf(client, 'y')).queueDatas).toHaveLength(1)
})

test('a registered broker stands beside ours in one route', async () => {
  const rooms = await start()
  rooms.topics.create({ name: 'orders', readQueues: 2, writeQueues: 2 })
  const client = rooms.client()
  await register(client)
  const route = await routeOf(client, 'orders')
  expect(route.queueDatas.map((queue) => [queue.brokerName, queue.readQueueNums])).toEqual([
    ['tandemmq', 2],
    ['broker-a', 4],
  ])
  expect(route.brokerDatas.map((broker) => broker.brokerAddrs)).toEqual([
    { 0: '127.0.0.1:9876' },
    { 0: '10.0.0.1:10911' },
  ])
  const topics = json(await client.request(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: 'C' })).topicList
  expect(topics).toEqual(['orders', 'payments'])
})

test('a first registration of exactly one topic is refused, a later one adds its topic', async () => {
  const client = (await start()).client()
  expect(await register(client, [topic('alone')])).toMatchObject({ code: 1 })
  expect(await routeCode(client, 'alone')).toBe(17)
  await register(client)
  expect((await register(client, [topic('alone')], {}, { counter: 2 })).code).toBe(0)
  expect((await routeOf(client, 'alone')).queueDatas).toHaveLength(1)
  expect((await routeOf(client, 'orders')).queueDatas).toHaveLength(1)
})

test('topics are read again only when the data version differs; one that is missing comes back at any version', async () => {
  const client = (await start()).client()
  await register(client)
  await register(client, [topic('orders', { readQueues: 9 }), topic('payments')])
  expect((await routeOf(client, 'orders')).queueDatas[0]?.readQueueNums).toBe(4)
  await register(client, [topic('orders', { readQueues: 9 }), topic('payments')], {}, { counter: 2 })
  expect((await routeOf(client, 'orders')).queueDatas[0]?.readQueueNums).toBe(9)
  await client.request(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 'orders', clusterName: 'other' })
  expect((await routeOf(client, 'orders')).queueDatas).toHaveLength(1)
  await client.request(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 'orders' })
  expect(await routeCode(client, 'orders')).toBe(17)
  await register(client, two, {}, { counter: 2 })
  expect((await routeOf(client, 'orders')).queueDatas).toHaveLength(1)
})

test('a table that says it is complete takes away what it lacks', async () => {
  const client = (await start()).client()
  await register(client)
  await register(client, [topic('payments'), topic('new')], { completeTable: true }, { counter: 2 })
  expect(await routeCode(client, 'orders')).toBe(17)
  expect((await routeOf(client, 'new')).queueDatas).toHaveLength(1)
})

test('a wrong checksum, a damaged body and an address that is none are refused', async () => {
  const client = (await start()).client()
  expect((await register(client, two, { bodyCrc32: 1 })).code).toBe(1)
  expect((await register(client, two, {}, { body: Buffer.from('{') })).code).toBe(1)
  expect((await register(client, two, {}, { body: Buffer.from('no zlib'), compressed: true })).code).toBe(1)
  expect((await register(client, two, { brokerAddr: 'nowhere' })).code).toBe(29)
  expect((await register(client, two, { brokerName: ' ' })).code).toBe(29)
  expect((await register(client, two, { brokerId: -1 })).code).toBe(29)
  expect(await routeCode(client, 'orders')).toBe(17)
})

test('a broker of our own name is refused unless it is this very process', async () => {
  const client = (await start()).client()
  const refused = await register(client, two, { brokerName: 'tandemmq' })
  expect(refused).toMatchObject({ code: 29, remark: expect.stringContaining('brokerName') })
  expect((await register(client, two, { brokerName: 'tandemmq', instanceId: 'self' })).code).toBe(0)
  expect(await routeCode(client, 'orders')).toBe(17)
})

test('the end of the connection takes the broker away at once, the end of an older one does not', async () => {
  const rooms = await start()
  const [first, second, observer] = [rooms.client(), rooms.client(), rooms.client()]
  await register(first)
  await register(second)
  await rooms.clock.run(first.remoting.close())
  await rooms.settle()
  expect((await routeOf(observer, 'orders')).queueDatas).toHaveLength(1)
  await rooms.clock.run(second.remoting.close())
  await rooms.settle()
  expect(await routeCode(observer, 'orders')).toBe(17)
})

test('a broker is removed after 120 s of silence; 322 and 904 are signs of life', async () => {
  const rooms = await start()
  const client = rooms.client()
  await register(client)
  await register(client, two, { brokerName: 'quick', brokerAddr: '10.0.0.9:1', heartbeatTimeoutMillis: 10_000 })
  const names = async (): Promise<string[]> => (await routeOf(client, 'orders')).brokerDatas.map((b) => b.brokerName)
  await rooms.clock.advance(9_000)
  expect(await names()).toEqual(['broker-a', 'quick'])
  await rooms.clock.advance(7_000)
  expect(await names()).toEqual(['broker-a'])
  await rooms.clock.advance(100_000)
  await client.request(RequestCode.BROKER_HEARTBEAT, identity())
  await rooms.clock.advance(100_000)
  await client.request(RequestCode.QUERY_DATA_VERSION, identity(), {
    body: { counter: 1, stateVersion: 0, timestamp: 5 },
  })
  await rooms.clock.advance(100_000)
  expect(await names()).toEqual(['broker-a'])
  await rooms.clock.advance(30_000)
  expect(await routeCode(client, 'orders')).toBe(17)
})

test('322 tells whether a version is news and what is known', async () => {
  const client = (await start()).client()
  const ask = async (counter: number): Promise<[unknown, string]> => {
    const body = { counter, stateVersion: 0, timestamp: 5 }
    const answer = await client.request(RequestCode.QUERY_DATA_VERSION, identity(), { body })
    return [answer.extFields['changed'], answer.body.toString()]
  }
  expect(await ask(1)).toEqual(['true', ''])
  await register(client)
  expect(await ask(1)).toEqual(['false', '{"counter":1,"stateVersion":0,"timestamp":5}'])
  expect((await ask(2))[0]).toBe('true')
})

test('104 takes a broker away, its slave stays', async () => {
  const client = (await start()).client()
  await register(client)
  const slave = { brokerId: 1, brokerAddr: '10.0.0.2:10911' }
  const answer = await register(client, two, slave)
  expect(answer.extFields).toMatchObject({ masterAddr: '10.0.0.1:10911', haServerAddr: '10.0.0.1:10912' })
  const group = { clusterName: 'C', brokerName: 'broker-a' }
  const membersOf = async (): Promise<unknown> =>
    json(await client.request(RequestCode.GET_BROKER_MEMBER_GROUP, group)).brokerMemberGroup.brokerAddrs
  expect(await membersOf()).toEqual({ 0: '10.0.0.1:10911', 1: '10.0.0.2:10911' })
  expect((await client.request(RequestCode.UNREGISTER_BROKER, identity())).code).toBe(0)
  expect(await membersOf()).toEqual({ 1: '10.0.0.2:10911' })
  expect((await routeOf(client, 'orders')).queueDatas[0]?.perm).toBe(6)
  await client.request(RequestCode.UNREGISTER_BROKER, identity(slave))
  expect(await membersOf()).toEqual({})
  expect(await routeCode(client, 'orders')).toBe(17)
})

test('a slave that stands in for its master makes the topics read-only; one before 5.0 never speaks for topics', async () => {
  const client = (await start()).client()
  const acting = { enableActingMaster: true }
  await register(client, two, acting)
  await register(client, two, { ...acting, brokerId: 1, brokerAddr: '10.0.0.2:10911' })
  await client.request(RequestCode.UNREGISTER_BROKER, identity())
  expect((await routeOf(client, 'orders')).queueDatas[0]?.perm).toBe(4)
  const old = { ...identity(), brokerName: 'old', brokerId: 1, brokerAddr: '10.0.0.3:1', haServerAddr: '' }
  const body = encodeRegistration({ dataVersion: { counter: 1, stateVersion: 0, timestamp: 1 }, topics: two }, false)
  const init = { code: 103, version: 409, extFields: old, body }
  await open!.clock.run(client.remoting.request(client.address, init, 5_000))
  expect((await routeOf(client, 'orders')).brokerDatas.map((one) => one.brokerName)).toEqual(['broker-a'])
})

test('the same id at a new address is a broker that moved, unless a controller knows better', async () => {
  const client = (await start()).client()
  await register(client)
  await register(client, two, { brokerAddr: '10.0.0.7:10911' })
  expect((await routeOf(client, 'orders')).brokerDatas[0]?.brokerAddrs).toEqual({ 0: '10.0.0.7:10911' })
  const elected = encodeRegistration({ dataVersion: { counter: 1, stateVersion: 3, timestamp: 5 }, topics: two }, false)
  await register(client, two, { brokerAddr: '10.0.0.8:10911' }, { body: elected })
  await register(client, two, { brokerAddr: '10.0.0.7:10911' })
  expect((await routeOf(client, 'orders')).brokerDatas[0]?.brokerAddrs).toEqual({ 0: '10.0.0.8:10911' })
})

test('205 takes a broker out of writing until 327 or until it leaves, ours as well as registered ones', async () => {
  const rooms = await start()
  const client = rooms.client()
  rooms.topics.create({ name: 'orders', readQueues: 2, writeQueues: 2 })
  await register(client)
  const perms = async (): Promise<number[]> => (await routeOf(client, 'orders')).queueDatas.map((one) => one.perm)
  const wipe = await client.request(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: 'broker-a' })
  expect(wipe.extFields['wipeTopicCount']).toBe('2')
  await client.request(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: 'tandemmq' })
  expect(await perms()).toEqual([4, 4])
  await register(client, [topic('another')], {}, { counter: 2 })
  expect(await perms()).toEqual([4, 4])
  const add = await client.request(RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName: 'tandemmq' })
  expect(Number(add.extFields['addTopicCount'])).toBe(rooms.topics.list().length)
  expect(await perms()).toEqual([6, 4])
  await client.request(RequestCode.UNREGISTER_BROKER, identity())
  await register(client)
  expect(await perms()).toEqual([6, 6])
  const unknown = await client.request(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: 'nobody' })
  expect(unknown).toMatchObject({ code: 0, extFields: { wipeTopicCount: '0' } })
})

test('a client of a zone is told of its zone, and of brokers elsewhere only while their master is down', async () => {
  const client = (await start()).client()
  await register(client, two, { __ZONE_NAME: 'east' })
  await register(client, two, { brokerName: 'w', brokerAddr: '10.0.0.4:1', __ZONE_NAME: 'west' })
  await register(client, two, { brokerName: 's', brokerAddr: '10.0.0.5:1', brokerId: 2, __ZONE_NAME: 'west' })
  const zone = { __ZONE_MODE: true, __ZONE_NAME: 'EAST' }
  const route = await routeOf(client, 'orders', zone)
  expect(route.brokerDatas.map((one) => one.brokerName)).toEqual(['broker-a', 's'])
  expect(route.queueDatas).toHaveLength(2)
  expect((await routeOf(client, 'orders')).brokerDatas).toHaveLength(3)
})

test('217 gives a topic to brokers that are registered and to nobody else', async () => {
  const client = (await start()).client()
  await register(client)
  const queue = { perm: 6, readQueueNums: 1, writeQueueNums: 1, topicSysFlag: 0 }
  const queueDatas = ['broker-a', 'stranger'].map((brokerName) => ({ brokerName, ...queue }))
  await client.request(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: 'made' }, { body: { queueDatas } })
  expect((await routeOf(client, 'made')).queueDatas).toEqual([{ brokerName: 'broker-a', ...queue }])
})

test('settings of ordered topics come with the answer to a registration', async () => {
  const client = (await start()).client()
  expect((await register(client)).body).toHaveLength(0)
  await client.request(RequestCode.PUT_KV_CONFIG, {
    namespace: 'ORDER_TOPIC_CONFIG',
    key: 'orders',
    value: 'broker-a:4',
  })
  expect((await register(client)).body.toString()).toBe('{"table":{"orders":"broker-a:4"}}')
  expect((await routeOf(client, 'orders')).orderTopicConf).toBe('broker-a:4')
})
