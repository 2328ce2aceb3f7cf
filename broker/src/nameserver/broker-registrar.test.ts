import { type RemotingCommand, RequestCode } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { afterEach, expect, test } from 'vitest'
import { FakeBroker } from '../../../test/kit/fake-broker.ts'
import type { Broker } from '../broker.ts'
import { startBroker } from '../broker.ts'
import { MemoryDisk } from '../store/memory-disk.ts'
import { BrokerRegistrar } from './broker-registrar.ts'
import { decodeRegistration } from './registration.ts'

const clock = { current: new VirtualClock({ seed: 1 }) }
let network: MemoryNetwork
const closing: (() => Promise<unknown>)[] = []
const lines: string[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await clock.current.run(close())
  lines.length = 0
})

function newWorld(): void {
  clock.current = new VirtualClock({ seed: 1 })
  network = new MemoryNetwork({ clock: clock.current, latencyMs: 1 })
}

/** A name server that says yes to everything and remembers what it was told. */
async function nameServer(port: number, code = 0): Promise<FakeBroker> {
  const fake = new FakeBroker({ clock: clock.current, network }, 'ns', port)
  for (const asked of [RequestCode.REGISTER_BROKER, RequestCode.UNREGISTER_BROKER, RequestCode.QUERY_DATA_VERSION]) {
    fake.scripts.set(asked, () => ({ code, extFields: { changed: false } }))
  }
  await clock.current.run(fake.start())
  closing.push(() => fake.close())
  return fake
}

async function broker(nameServers: string, over: Record<string, unknown> = {}): Promise<Broker> {
  const world = {
    clock: clock.current,
    network,
    disk: new MemoryDisk(),
    dataDir: '/data',
    log: (l: string) => lines.push(l),
  }
  const started = await clock.current.run(
    startBroker({ ...world, port: 10911, brokerName: 'a', clusterName: 'C', nameServers, ...over }),
  )
  closing.push(() => started.close())
  return started
}

const told = (fake: FakeBroker, code: number): RemotingCommand[] => fake.requests.filter((one) => one.code === code)
const topicsOf = ({ body, version, extFields }: RemotingCommand): string[] =>
  decodeRegistration(body, { compressed: extFields['compressed'] === 'true', version }).topics.map(({ name }) => name)

async function ask(port: number, code: number, extFields: Record<string, string | number>): Promise<RemotingCommand> {
  const client = new RemotingClient({ clock: clock.current, network })
  const answer = await clock.current.run(client.request(`127.0.0.1:${port}`, { code, extFields }, 5_000))
  await clock.current.run(client.close())
  return answer
}

const createTopic = (name: string): Promise<RemotingCommand> =>
  ask(10911, RequestCode.UPDATE_AND_CREATE_TOPIC, { topic: name, readQueueNums: 1, writeQueueNums: 1, perm: 6 })

test('a broker that has started is registered with all its topics, and again every 30 s', async () => {
  newWorld()
  const [one, two] = [await nameServer(9001), await nameServer(9002)]
  await broker('127.0.0.1:9001;127.0.0.1:9002')
  for (const fake of [one, two]) {
    const [first] = told(fake, RequestCode.REGISTER_BROKER)
    expect(first?.extFields).toMatchObject({
      ...{ brokerName: 'a', clusterName: 'C', brokerId: '0', brokerAddr: '127.0.0.1:10911' },
      ...{ haServerAddr: '127.0.0.1:10911', compressed: 'false', enableActingMaster: 'false' },
    })
    expect(first && topicsOf(first)).toEqual(expect.arrayContaining(['a', 'C', 'TBW102']))
  }
  await clock.current.advance(61_000)
  expect(told(one, RequestCode.REGISTER_BROKER)).toHaveLength(3)
})

test('a new topic is registered alone before whoever created it has the answer; a deleted one by a table without it', async () => {
  newWorld()
  const fake = await nameServer(9001)
  await broker('127.0.0.1:9001')
  expect((await createTopic('orders')).code).toBe(0)
  const created = told(fake, RequestCode.REGISTER_BROKER)
  expect(created).toHaveLength(2)
  expect(created[1] && topicsOf(created[1])).toEqual(['orders'])
  expect(created[1]?.extFields['completeTable']).toBe('false')
  await ask(10911, RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'orders' })
  const deleted = told(fake, RequestCode.REGISTER_BROKER)[2]
  expect(deleted?.extFields['completeTable']).toBe('true')
  expect(deleted && topicsOf(deleted)).not.toContain('orders')
  expect(deleted && topicsOf(deleted)).toContain('TBW102')
})

test('a name server that is not there holds up nothing, and is told when it comes', async () => {
  newWorld()
  const before = clock.current.monotonic()
  await broker('127.0.0.1:9001')
  expect(clock.current.monotonic() - before).toBeLessThanOrEqual(1_000)
  expect((await createTopic('orders')).code).toBe(0)
  await clock.current.advance(10_000)
  const fake = await nameServer(9001)
  await clock.current.advance(31_000)
  const [first] = told(fake, RequestCode.REGISTER_BROKER)
  expect(first && topicsOf(first)).toContain('orders')
  expect(lines.filter((line) => line.includes('9001'))).toEqual([
    expect.stringContaining('not registered with name server 127.0.0.1:9001'),
    'registered with name server 127.0.0.1:9001 as 127.0.0.1:10911',
  ])
})

test('a silent name server is waited for one second and no longer', async () => {
  newWorld()
  const fake = await nameServer(9001)
  fake.scripts.set(RequestCode.REGISTER_BROKER, () => undefined)
  const before = clock.current.monotonic()
  const started = await broker('127.0.0.1:9001')
  expect(clock.current.monotonic() - before).toBeLessThanOrEqual(1_100)
  await clock.current.run(started.close())
  expect(clock.current.monotonic() - before).toBeLessThanOrEqual(3_000)
})

test('a restarted name server is told everything within seconds, one that refuses is asked ever more rarely', async () => {
  newWorld()
  const fake = await nameServer(9001)
  await broker('127.0.0.1:9001')
  await clock.current.run(fake.close())
  await clock.current.advance(500)
  const again = await nameServer(9001)
  await clock.current.advance(2_000)
  expect(told(again, RequestCode.REGISTER_BROKER).map((one) => topicsOf(one).includes('TBW102'))).toEqual([true])
  again.scripts.set(RequestCode.REGISTER_BROKER, () => ({ code: 1, remark: 'full' }))
  await clock.current.advance(200_000)
  const asked = told(again, RequestCode.REGISTER_BROKER).length
  expect(asked).toBeGreaterThan(5)
  expect(asked).toBeLessThan(15)
  expect(lines.filter((line) => line.includes('full'))).toHaveLength(1)
})

test('a broker that closes leaves its name servers', async () => {
  newWorld()
  const fake = await nameServer(9001)
  const started = await broker('127.0.0.1:9001')
  await clock.current.run(started.close())
  expect(told(fake, RequestCode.UNREGISTER_BROKER).map((one) => one.extFields)).toEqual([
    { brokerName: 'a', brokerAddr: '127.0.0.1:10911', clusterName: 'C', brokerId: '0' },
  ])
})

test('advertise is what name servers are told; on all interfaces it is the address that leads to them', async () => {
  newWorld()
  const fake = await nameServer(9001)
  const fixed = await broker('127.0.0.1:9001', { advertise: 'broker.example:7' })
  await clock.current.run(fixed.close())
  await broker('127.0.0.1:9001', { host: '0.0.0.0' })
  const addresses = told(fake, RequestCode.REGISTER_BROKER).map((one) => one.extFields['brokerAddr'])
  expect(addresses).toEqual(['broker.example:7', '127.0.0.1:10911'])
})

test('a large table is sent compressed, and again only when the name server does not have it', async () => {
  newWorld()
  const fake = await nameServer(9001)
  const topics = Array.from({ length: 40_000 }, (_, n) => {
    return { name: `topic-${n}-${(n * 7919).toString(36)}`, perm: 6, readQueues: 4, writeQueues: 4, sysFlag: 0 }
  })
  const registrar = new BrokerRegistrar({
    ...{ clock: clock.current, network, nameServers: ['127.0.0.1:9001'], brokerName: 'a', clusterName: 'C' },
    ...{ instanceId: 'i', advertise: 'auto', host: '127.0.0.1', topics: () => topics, log: () => {} },
  })
  closing.push(() => registrar.close())
  await clock.current.run(registrar.start(10911))
  const [first] = told(fake, RequestCode.REGISTER_BROKER)
  expect(first?.extFields['compressed']).toBe('true')
  expect(first && topicsOf(first)).toHaveLength(40_000)
  await clock.current.advance(61_000)
  expect(told(fake, RequestCode.REGISTER_BROKER)).toHaveLength(1)
  expect(told(fake, RequestCode.QUERY_DATA_VERSION)).toHaveLength(2)
  fake.scripts.set(RequestCode.QUERY_DATA_VERSION, () => ({ code: 0, extFields: { changed: true } }))
  await clock.current.advance(30_000)
  expect(told(fake, RequestCode.REGISTER_BROKER)).toHaveLength(2)
})
