import { LanguageCode, RequestCode, type RemotingCommand } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import { afterEach, expect, test } from 'vitest'
import {
  BrokerRooms,
  heartbeatBody,
  pullFields,
  type RoomsClient,
  type RoomsOptions,
} from '../../../test/kit/broker-rooms.ts'
import { ProducerGroups } from './producer-groups.ts'
import { TagFilter } from './subscription.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const start = async (options: RoomsOptions = {}): Promise<BrokerRooms> => (open = await BrokerRooms.start(options))
type Beat = Parameters<typeof heartbeatBody>[0]
const beat = (client: RoomsClient, over: Beat = {}): Promise<RemotingCommand> =>
  client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody(over) })
const notified = (client: RoomsClient): number => client.pushed.filter(({ code }) => code === 40).length
const membersOf = async (client: RoomsClient): Promise<unknown> => {
  const answer = await client.request(38, { consumerGroup: 'billing' })
  return answer.code === 0 ? JSON.parse(answer.body.toString()).consumerIdList : answer.code
}

test('a heartbeat makes the group, its retry topic and its member', async () => {
  const rooms = await start()
  const client = rooms.client()
  expect(await membersOf(client)).toBe(1)
  const answer = await beat(client)
  expect({ ...answer.extFields }).toEqual({ IS_SUPPORT_HEART_BEAT_V2: 'true', IS_SUB_CHANGE: 'true' })
  expect(await membersOf(client)).toEqual(['c1'])
  expect(rooms.topics.find('%RETRY%billing')).toMatchObject({ readQueues: 1, writeQueues: 1, perm: 6 })
})

test('a change is told to every member, a repeated heartbeat or a raised version to nobody', async () => {
  const rooms = await start()
  const first = rooms.client()
  const second = rooms.client()
  await beat(first)
  await beat(second, { clientId: 'c2' })
  await rooms.settle()
  expect([notified(first), notified(second)]).toEqual([2, 1])
  await beat(first)
  await beat(first, { version: 101 })
  await rooms.settle()
  expect([notified(first), notified(second)]).toEqual([2, 1])
  await beat(second, { clientId: 'c2', topics: { orders: 'paid' } })
  await rooms.settle()
  expect([notified(first), notified(second)]).toEqual([3, 2])
})

test('members that come in one turn cause one notification', async () => {
  const rooms = await start()
  const clients = [rooms.client(), rooms.client(), rooms.client()]
  for (const client of clients) await client.connection()
  const connections = [...rooms.server.connections]
  const who = { language: 0, version: 441, fingerprint: 0, short: false }
  const data = { group: 'g', consumeType: '', messageModel: 'CLUSTERING', consumeFromWhere: '', subscriptions: [] }
  connections.forEach((connection, n) => rooms.groups.heartbeat(connection, { ...who, clientId: `c${n}` }, data))
  await rooms.settle()
  expect(clients.map(notified)).toEqual([1, 1, 1])
})

test('a broadcasting group is not told', async () => {
  const rooms = await start()
  const client = rooms.client()
  await beat(client, { model: 'BROADCASTING' })
  await rooms.settle()
  expect(notified(client)).toBe(0)
})

test('a closed connection ends the membership and the others hear of it', async () => {
  const rooms = await start()
  const leaving = rooms.client()
  const staying = rooms.client()
  await beat(leaving)
  await beat(staying, { clientId: 'c2' })
  await rooms.settle()
  const before = notified(staying)
  ;(await leaving.connection()).destroy()
  await rooms.settle()
  expect([await membersOf(staying), notified(staying)]).toEqual([['c2'], before + 1])
})

test('a client that unregisters is gone at once', async () => {
  const rooms = await start()
  const client = rooms.client()
  await beat(client)
  await client.request(RequestCode.UNREGISTER_CLIENT, { clientID: 'c1', consumerGroup: 'billing' })
  expect(await membersOf(client)).toBe(1)
})

test('a client that comes back through a new connection is one member, and its old connection may close later', async () => {
  const rooms = await start()
  const old = rooms.client()
  const fresh = rooms.client()
  await beat(old)
  await beat(fresh)
  expect(rooms.groups.members('billing')).toHaveLength(1)
  ;(await old.connection()).destroy()
  await rooms.settle()
  expect(await membersOf(fresh)).toEqual(['c1'])
})

test.each([
  [120_000, [1, 1, 0, 0]],
  [Number.POSITIVE_INFINITY, [1, 1, 1, 1]],
])(
  'without heartbeats for %d ms a member is dropped, though its connection is in use',
  async (channelExpiryMs, left) => {
    const rooms = await start({ channelExpiryMs })
    const client = rooms.client()
    await beat(client)
    const counts: number[] = []
    for (const ms of [60_000, 55_000, 30_000, 30_000]) {
      await rooms.clock.advance(ms)
      await client.request(RequestCode.GET_BROKER_CLUSTER_INFO)
      counts.push(rooms.groups.clientIds('billing').length)
    }
    expect(counts).toEqual(left)
  },
)

test('heartbeat v2: full once, then short while nothing changed', async () => {
  const rooms = await start()
  const client = rooms.client()
  const changed = async (over: Beat): Promise<string | undefined> =>
    (await beat(client, over)).extFields['IS_SUB_CHANGE']
  expect(await changed({ fingerprint: 7, withoutSub: true, topics: {} })).toBe('true')
  expect(await changed({ fingerprint: 7, topics: { orders: 'paid' } })).toBe('false')
  expect(await changed({ fingerprint: 7, withoutSub: true, topics: {} })).toBe('false')
  expect(rooms.groups.subscriptions('billing').get('orders')?.text).toBe('paid')
  expect(await changed({ fingerprint: 8, withoutSub: true, topics: {} })).toBe('true')
  expect(rooms.groups.subscriptions('billing').get('orders')?.text).toBe('paid')
})

test('members with different subscriptions keep their own and the conflict is shown', async () => {
  const rooms = await start()
  const first = rooms.client()
  const second = rooms.client()
  await beat(first, { topics: { orders: 'paid', stock: '*' } })
  await beat(second, { clientId: 'c2', topics: { orders: 'created', stock: '*' }, version: 200 })
  const [one, two] = rooms.groups.members('billing')
  expect([one?.subscriptions.get('orders')?.text, two?.subscriptions.get('orders')?.text]).toEqual(['paid', 'created'])
  const answer = await first.request(RequestCode.GET_CONSUMER_CONNECTION_LIST, { consumerGroup: 'billing' })
  const body = JSON.parse(answer.body.toString())
  expect(body.subscriptionConflicts.map(({ topic }: { topic: string }) => topic)).toEqual(['orders'])
  expect(body.connectionSet).toHaveLength(2)
  expect(body.subscriptionTable.orders).toMatchObject({ subString: 'created', subVersion: 200, tagsSet: ['created'] })
})

test('an older heartbeat that arrives late does not bring its expression back', async () => {
  const rooms = await start()
  const client = rooms.client()
  await beat(client, { topics: { orders: 'new' }, version: 200 })
  await beat(client, { topics: { orders: 'old' }, version: 100 })
  expect(rooms.groups.subscriptions('billing').get('orders')?.text).toBe('new')
})

test('hashes the client computed itself count besides ours, as numbers or as texts', async () => {
  const rooms = await start()
  const body = heartbeatBody() as { consumerDataSet: { subscriptionDataSet: unknown[] }[] }
  const own = { topic: 'orders', subString: 'paid', codeSet: ['5', 6], subVersion: 1 }
  body.consumerDataSet[0]!.subscriptionDataSet = [own]
  await rooms.client().request(RequestCode.HEART_BEAT, {}, { body })
  const filter = rooms.groups.subscriptions('billing').get('orders')?.filter
  expect(filter).toBeInstanceOf(TagFilter)
  expect([5, 6, 3433164, 7].map((code) => (filter as TagFilter).matches(code))).toEqual([true, true, true, false])
})

test.each([
  ['no JSON', undefined, 29],
  ['no client id', { consumerDataSet: [] }, 29],
  ['an illegal group', heartbeatBody({ group: 'a b' }), 29],
])('a heartbeat with %s is refused and the connection lives on', async (_what, body, code) => {
  const rooms = await start()
  const client = rooms.client()
  expect((await client.request(RequestCode.HEART_BEAT, {}, { body })).code).toBe(code)
  expect((await beat(client)).code).toBe(0)
})

test('code 46 says where an expression is wrong', async () => {
  const client = (await start()).client()
  const check = async (over: Record<string, unknown>): Promise<unknown[]> => {
    const body = {
      clientId: 'c1',
      group: 'billing',
      subscriptionData: { topic: 'orders', subString: 'a || b', ...over },
    }
    const { code, remark } = await client.request(46, {}, { body })
    return [code, remark]
  }
  expect(await check({})).toEqual([0, undefined])
  expect(await check({ subString: 'a > 1', expressionType: 'SQL92' })).toEqual([0, undefined])
  const wrong = await check({ subString: 'a > 1 AND', expressionType: 'SQL92' })
  expect(wrong).toEqual([23, expect.stringMatching(/SQL92 expression, character 10: expected .*, found the end/)])
  expect(await check({ expressionType: 'XPATH' })).toEqual([23, expect.stringContaining('XPATH')])
})

test('with enablePropertyFilter off, SQL is answered 1 in code 46 and in pulls', async () => {
  const rooms = await start({ enablePropertyFilter: false })
  rooms.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  const client = rooms.client()
  const subscriptionData = { topic: 'orders', subString: 'a > 1', expressionType: 'SQL92' }
  const remark = expect.stringContaining('enablePropertyFilter')
  const body = { clientId: 'c1', group: 'billing', subscriptionData }
  expect(await client.request(46, {}, { body })).toMatchObject({ code: 1, remark })
  const heartbeat = heartbeatBody({ topics: { orders: 'a > 1' }, expressionType: 'SQL92' })
  expect((await client.request(RequestCode.HEART_BEAT, {}, { body: heartbeat })).code).toBe(0)
  expect(await client.request(11, pullFields({ sysFlag: 0 }))).toMatchObject({ code: 1, remark })
  const carried = pullFields({ subscription: 'a > 1', expressionType: 'SQL92' })
  expect(await client.request(11, carried)).toMatchObject({ code: 1, remark })
})

test('a check-back asks the producer that sent, between times the others in turn, then nobody', async () => {
  const rooms = await start()
  const clients = [rooms.client(), rooms.client(), rooms.client()]
  for (const [n, client] of clients.entries()) {
    const body = { clientID: `p${n}`, producerDataSet: [{ groupName: 'orders-producer' }] }
    await client.request(RequestCode.HEART_BEAT, {}, { body })
  }
  const ids = rooms.producers.members('orders-producer').map(({ connection }) => connection.id)
  const half = (group: string, connectionId: number) => ({ group, connectionId, domain: undefined, idHash: 0 })
  const pick = (id: number, turn = 0): number | undefined => rooms.domains.pick(half('orders-producer', id), turn)?.id
  expect([0, 1, 2, 3, 4].map((turn) => pick(ids[1]!, turn))).toEqual([ids[1], ids[0], ids[1], ids[2], ids[1]])
  ;(await clients[1]!.connection()).destroy()
  await rooms.settle()
  expect(new Set([pick(ids[1]!), pick(ids[1]!, 1)])).toEqual(new Set([ids[0], ids[2]]))
  expect(pick(-1)).toBeDefined()
  expect(rooms.domains.pick(half('nobody', -1), 0)).toBeUndefined()
  const answer = await clients[0]!.request(RequestCode.GET_PRODUCER_CONNECTION_LIST, {
    producerGroup: 'orders-producer',
  })
  const { connectionSet } = JSON.parse(answer.body.toString())
  expect(connectionSet[0]).toMatchObject({ clientId: 'p0', version: 441, language: expect.any(String) })
  expect(Object.keys(LanguageCode)).toContain(connectionSet[0].language)
})

test('a queue is locked by one client for 60 s, and the epoch tells its owners apart', async () => {
  const rooms = await start()
  rooms.topics.create({ name: 'orders', readQueues: 2, writeQueues: 2 })
  const client = rooms.client()
  const lock = async (clientId: string, ...queueIds: number[]): Promise<number[]> => {
    const mqSet = queueIds.map((queueId) => ({ brokerName: 'tandemmq', queueId, topic: 'orders' }))
    const body = { clientId, consumerGroup: 'billing', mqSet, onlyThisBroker: false }
    const answer = await client.request(RequestCode.LOCK_BATCH_MQ, {}, { body })
    return JSON.parse(answer.body.toString()).lockOKMQSet.map((queue: { queueId: number }) => queue.queueId)
  }
  expect(await lock('c1', 0, 1, 9)).toEqual([0, 1])
  expect(await lock('c2', 0)).toEqual([])
  await rooms.clock.advance(30_000)
  expect(await lock('c1', 0)).toEqual([0])
  await rooms.clock.advance(31_000)
  expect(await lock('c2', 0, 1)).toEqual([1])
  const queue = { brokerName: 'tandemmq', queueId: 0, topic: 'orders' }
  const body = { clientId: 'c1', consumerGroup: 'billing', mqSet: [queue] }
  await client.request(RequestCode.UNLOCK_BATCH_MQ, {}, { body })
  expect(await lock('c2', 0)).toEqual([0])
  expect(rooms.locks.epoch('billing', 'orders', 0)).toBeGreaterThan(rooms.locks.epoch('billing', 'orders', 1) - 1)
  expect(rooms.locks.owner('billing', 'orders', 0)).toBe('c2')
  expect(rooms.locks.isOrdered('billing')).toBe(true)
})

test('a producer that joins is announced once, so that its open transactions are asked about', () => {
  const joined: string[] = []
  const producers = new ProducerGroups({
    clock: new VirtualClock({ seed: 1 }),
    channelExpiryMs: Number.POSITIVE_INFINITY,
  })
  producers.onJoined = (group) => joined.push(group)
  const connection = { id: 7, isOpen: true } as Connection
  producers.register('shop', connection, 'client-a', 0, 479)
  producers.register('shop', connection, 'client-a', 0, 479)
  expect(joined).toEqual(['shop'])
})
