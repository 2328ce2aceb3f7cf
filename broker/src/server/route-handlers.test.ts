import { RequestCode, type RemotingCommand } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, type RoomsOptions } from '../../../test/kit/broker-rooms.ts'
import { FaultDisk } from '../store/fault-disk.ts'
import { dialectJson } from './json-dialect.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const start = async (options: RoomsOptions = {}): Promise<BrokerRooms> => {
  open = await BrokerRooms.start(options)
  open.topics.create({ name: 'orders', readQueues: 3, writeQueues: 2 })
  return open
}
const text = ({ body }: RemotingCommand): string => body.toString()
const route = (broker: BrokerRooms, topic: string, address?: string): Promise<RemotingCommand> =>
  broker.client(address).request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })

test('each client is told the address it dialled itself', async () => {
  const rooms = await start()
  for (const address of ['127.0.0.1:9876', '10.1.2.3:9876']) {
    expect(JSON.parse(text(await route(rooms, 'orders', address)))).toEqual({
      brokerDatas: [
        { brokerAddrs: { 0: address }, brokerName: 'tandemmq', cluster: 'DefaultCluster', enableActingMaster: false },
      ],
      filterServerTable: {},
      queueDatas: [{ brokerName: 'tandemmq', perm: 6, readQueueNums: 3, topicSysFlag: 0, writeQueueNums: 2 }],
    })
  }
})

test('an advertised address replaces the dialled one', async () => {
  const answer = await route(await start({ advertise: 'broker.example:1' }), 'orders')
  expect(JSON.parse(text(answer)).brokerDatas[0].brokerAddrs).toEqual({ 0: 'broker.example:1' })
})

test('clients before 4.9.4 get unquoted numbers as keys unless they ask for standard JSON', async () => {
  const client = (await start()).client()
  const ask = async (version: number, extFields = {}): Promise<string> =>
    text(await client.request(105, { topic: 'orders', ...extFields }, { version }))
  expect(await ask(400)).toContain('"brokerAddrs":{0:"')
  expect(await ask(401)).toContain('"brokerAddrs":{"0":"')
  expect(await ask(317, { acceptStandardJsonOnly: true })).toContain('"brokerAddrs":{"0":"')
})

test('cluster and broker name are topics, TBW102 and the retry topic of a group to come have routes', async () => {
  const rooms = await start()
  for (const topic of ['DefaultCluster', 'tandemmq', 'TBW102', '%RETRY%soon']) {
    expect([topic, (await route(rooms, topic)).code]).toEqual([topic, 0])
  }
  expect(rooms.groups.list()).toEqual([])
  expect((await route(rooms, '%RETRY%a b')).code).toBe(17)
})

test('an unknown topic is 17, and without auto-creation so is the template', async () => {
  expect((await route(await start(), 'nowhere')).code).toBe(17)
  await open?.close()
  expect((await route(await start({ autoCreate: false }), 'TBW102')).code).toBe(17)
})

test('the cluster is described in the dialect, topics are listed for all and for a cluster', async () => {
  const client = (await start()).client()
  expect(text(await client.request(106))).toBe(
    '{"brokerAddrTable":{"tandemmq":{"brokerAddrs":{0:"127.0.0.1:9876"},"brokerName":"tandemmq",' +
      '"cluster":"DefaultCluster","enableActingMaster":false}},"clusterAddrTable":{"DefaultCluster":["tandemmq"]}}',
  )
  const topics = async (code: number, fields = {}): Promise<string[]> =>
    JSON.parse(text(await client.request(code, fields))).topicList
  expect(await topics(206)).toEqual(expect.arrayContaining(['orders', 'TBW102', 'DefaultCluster', 'tandemmq']))
  expect(await topics(224, { cluster: 'DefaultCluster' })).toContain('orders')
  expect(await topics(224, { cluster: 'other' })).toEqual([])
})

test('names of clusters and brokers are the topics of the name server itself', async () => {
  const answer = await (await start()).client('127.0.0.5:9876').request(304)
  expect(JSON.parse(text(answer))).toEqual({ brokerAddr: '127.0.0.5:9876', topicList: ['DefaultCluster', 'tandemmq'] })
})

test('settings are kept over a kill, and a missing one is 22', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const client = (await start({ disk })).client()
  const of = { namespace: 'ORDER_TOPIC_CONFIG', key: 'orders' }
  expect((await client.request(101, of)).code).toBe(22)
  expect((await client.request(219, of)).code).toBe(22)
  await client.request(100, { ...of, value: 'x' })
  await client.request(102, of)
  expect((await client.request(219, of)).code).toBe(22)
  await client.request(100, { ...of, value: 'tandemmq:2' })
  await client.request(100, { ...of, key: 'gone', value: 'x' })
  await client.request(102, { ...of, key: 'gone' })
  expect((await client.request(102, { ...of, key: 'gone' })).code).toBe(0)
  open = await BrokerRooms.start({ disk: disk.killed() })
  const again = open.client()
  expect((await again.request(101, of)).extFields['value']).toBe('tandemmq:2')
  expect(text(await again.request(219, of))).toBe('{"table":{"orders":"tandemmq:2"}}')
  expect(JSON.parse(text(await route(open, 'orders'))).orderTopicConf).toBe('tandemmq:2')
})

test('the dialect has objects as keys', () => {
  const value = { a: new Map([[{ queueId: 1 }, new Map([[0, 'x"']])]]), b: undefined, c: [1, null] }
  expect(dialectJson(value)).toBe('{"a":{{"queueId":1}:{0:"x\\""}},"c":[1,null]}')
})
