import { type Broker, type BrokerOptions, type NameServerProcess, startBroker, startNameServer } from '@tandemmq/broker'
import { MemoryDisk } from '@tandemmq/broker/simulation'
import {
  Admin,
  type ConsumedMessage,
  PullConsumer,
  Producer,
  PushConsumer,
  type TransactionDecision,
  TransactionProducer,
} from '@tandemmq/client'
import { afterEach, expect, test } from 'vitest'
import { freePort } from '../kit/free-port.ts'
import { until } from '../kit/waiting.ts'

interface Closeable {
  close(): Promise<unknown>
}

const open: Closeable[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})
function closing<T extends Closeable>(one: T): T {
  open.push(one)
  return one
}

const nameServer = async (port = 0): Promise<NameServerProcess> => closing(await startNameServer({ port }))
const broker = async (brokerName: string, nameServers: string, over: Partial<BrokerOptions> = {}): Promise<Broker> =>
  closing(await startBroker({ dataDir: '/memory', disk: new MemoryDisk(), port: 0, brokerName, nameServers, ...over }))

/** Two name servers that know the same two brokers. */
async function cluster(over: Partial<BrokerOptions> = {}) {
  const names = [await nameServer(), await nameServer()]
  const nameServers = names.map(({ address }) => address).join(';')
  const a = await broker('a', nameServers, over)
  const b = await broker('b', nameServers, over)
  const admin = closing(new Admin({ nameServers }))
  await admin.start()
  return { names, nameServers, a, b, admin }
}

/** Refreshes routes ten times a second, so that no test waits for the default half minute. */
const impatient = { routeRefreshMs: 100, heartbeatIntervalMs: 1_000 }

async function producerOf(nameServers: string | string[], group = 'p'): Promise<Producer> {
  const producer = closing(new Producer({ nameServers, group, ...impatient }))
  await producer.start()
  return producer
}

async function consumerOf(nameServers: string, seen: ConsumedMessage[], ordered = false): Promise<PushConsumer> {
  const options = {
    nameServers,
    group: 'g',
    startFrom: 'first',
    ordered,
    rebalanceIntervalMs: 200,
    ...impatient,
  } as const
  const consumer = closing(new PushConsumer(options))
  consumer.subscribe('orders', '*', (message) => void seen.push(message))
  await consumer.start()
  return consumer
}

async function sendMany(producer: Producer, count: number, prefix = 'm'): Promise<string[]> {
  const receipts = []
  for (let n = 0; n < count; n++) receipts.push(await producer.send({ topic: 'orders', body: `${prefix}${n}` }))
  return receipts.map(({ brokerName }) => brokerName)
}
const textsOf = (seen: readonly ConsumedMessage[]): string[] => [...new Set(seen.map((message) => message.text()))]

test('a topic is created on both brokers, sends go to both, a consumer gets everything, offsets are told per broker', async () => {
  const { names, nameServers, admin, a, b } = await cluster()
  await admin.createTopic('orders', { queues: 2 })
  expect((await admin.queues('orders')).map((queue) => `${queue.brokerName}${queue.queueId}`)).toEqual([
    ...['a0', 'a1', 'b0', 'b1'],
  ])
  const producer = await producerOf(nameServers)
  const used = await sendMany(producer, 8)
  expect(used.filter((name) => name === 'a')).toHaveLength(4)
  expect([a.messages('orders').length, b.messages('orders').length]).toEqual([4, 4])
  const seen: ConsumedMessage[] = []
  const consumer = await consumerOf(nameServers, seen)
  await until(() => seen.length === 8, 5_000)
  await consumer.close()
  const progress = (await admin.progress('g')).filter(({ topic }) => topic === 'orders')
  expect(progress.map(({ brokerName, committedOffset }) => `${brokerName} ${committedOffset}`).toSorted()).toEqual([
    ...['a 2', 'a 2', 'b 2', 'b 2'],
  ])
  const byId = await admin.messageById(seen[0]?.offsetMessageId ?? '')
  expect(byId?.text()).toBe(seen[0]?.text())
  await admin.deleteTopic('orders')
  for (const { address } of names) {
    const one = closing(new Admin({ nameServers: address }))
    await one.start()
    expect(await one.topics()).not.toContain('orders')
  }
  await expect(admin.queues('orders')).rejects.toMatchObject({ code: 'ROUTE_NOT_FOUND' })
})

test('a broker that goes away costs no send, its queues leave the assignment, and they come back with it', async () => {
  const { nameServers, admin, a } = await cluster()
  const disk = new MemoryDisk()
  const port = await freePort()
  const c = await startBroker({ dataDir: '/memory', disk, port, brokerName: 'c', nameServers })
  await admin.createTopic('orders', { queues: 1 })
  const producer = await producerOf(nameServers)
  const seen: ConsumedMessage[] = []
  const consumer = await consumerOf(nameServers, seen)
  const queuesOfAll = (): number => consumer.stats().queues
  // One queue of the topic and one for retries on each of three brokers, as soon as their routes are there.
  await until(
    () => queuesOfAll() === 6,
    5_000,
    () => `${queuesOfAll()} queues`,
  )
  expect(new Set(await sendMany(producer, 6))).toEqual(new Set(['a', 'b', 'c']))
  await c.close()
  expect(new Set(await sendMany(producer, 12, 'while-away-'))).toEqual(new Set(['a', 'b']))
  await until(
    () => queuesOfAll() === 4,
    5_000,
    () => `${queuesOfAll()} queues`,
  )
  await broker('c', nameServers, { disk, port })
  await until(
    () => queuesOfAll() === 6,
    5_000,
    () => `${queuesOfAll()} queues`,
  )
  await until(async () => (await sendMany(producer, 3, 'again-')).includes('c'), 5_000)
  const sent = [
    ...Array.from({ length: 6 }, (_, n) => `m${n}`),
    ...Array.from({ length: 12 }, (_, n) => `while-away-${n}`),
  ]
  await until(
    () => sent.every((text) => textsOf(seen).includes(text)),
    5_000,
    () => textsOf(seen).join(' '),
  )
  expect(a.port).not.toBe(port)
})

test('clients go on without any name server; when one comes back brokers register and new clients find them', async () => {
  const port = await freePort()
  const nameServers = `127.0.0.1:${port}`
  const names = await startNameServer({ port })
  await broker('a', nameServers)
  await broker('b', nameServers)
  const admin = closing(new Admin({ nameServers }))
  await admin.start()
  await admin.createTopic('orders', { queues: 2 })
  const producer = await producerOf(nameServers)
  const seen: ConsumedMessage[] = []
  await consumerOf(nameServers, seen)
  await sendMany(producer, 4, 'before-')
  await names.close()
  // More than two refreshes of routes and rebalances without an answer.
  for (let n = 0; n < 10; n++) {
    await producer.send({ topic: 'orders', body: `during-${n}` })
    await until(() => textsOf(seen).includes(`during-${n}`), 5_000)
  }
  const lonely = await producerOf(nameServers, 'lonely')
  await expect(lonely.send({ topic: 'orders', body: 'x' }, { retriesMax: 0 })).rejects.toMatchObject({
    retryable: true,
  })
  const again = await nameServer(port)
  await until(() => again.brokerNames.length === 2, 10_000)
  expect((await lonely.send({ topic: 'orders', body: 'found' })).duplicate).toBe(false)
  await until(() => textsOf(seen).includes('found'), 5_000)
})

test('a dead name server in the list, as text or array, keeps nobody from starting, sending and consuming', async () => {
  const dead = `127.0.0.1:${await freePort()}`
  const alive = await nameServer()
  await broker('a', `${dead};${alive.address}`)
  for (const nameServers of [`${dead};${alive.address}`, `${alive.address},${dead}`]) {
    const producer = await producerOf(nameServers)
    expect((await producer.send({ topic: 'orders', body: 'x' })).brokerName).toBe('a')
  }
  const producer = await producerOf([dead, alive.address])
  await sendMany(producer, 3)
  const admin = closing(new Admin({ nameServers: [dead, alive.address] }))
  await admin.start()
  await admin.deleteTopic('orders')
  expect(await admin.topics()).not.toContain('orders')
})

test('a name server that knows less than another is not believed about a missing topic', async () => {
  const [ignorant, informed] = [await nameServer(), await nameServer()]
  await broker('a', informed.address, { autoCreateTopic: false })
  const admin = closing(new Admin({ nameServers: informed.address }))
  await admin.start()
  await admin.createTopic('orders')
  for (const nameServers of [
    [ignorant.address, informed.address],
    [informed.address, ignorant.address],
  ]) {
    const producer = await producerOf(nameServers)
    expect((await producer.send({ topic: 'orders', body: 'x' })).brokerName).toBe('a')
  }
})

test('brokers may be one another’s name servers; two of the same name are refused', async () => {
  const ports = [await freePort(), await freePort()]
  const nameServers = ports.map((port) => `127.0.0.1:${port}`).join(';')
  const lines: string[] = []
  await broker('a', nameServers, { port: ports[0] as number })
  await broker('b', nameServers, { port: ports[1] as number })
  await broker('a', nameServers, { log: (line) => lines.push(line) })
  expect(lines.join('\n')).toMatch(/a is the name of the broker here.*brokerName/)
  for (const address of nameServers.split(';')) {
    const admin = closing(new Admin({ nameServers: address }))
    await admin.start()
    await until(async () => (await admin.queues('DefaultCluster')).some((queue) => queue.brokerName === 'b'), 5_000)
    await until(async () => (await admin.queues('DefaultCluster')).some((queue) => queue.brokerName === 'a'), 5_000)
  }
})

test('a transaction ends at the broker that holds it, a check-back comes from there, pendingOf asks all', async () => {
  const { nameServers, admin, a, b } = await cluster({ transactionTimeoutMs: 200, transactionCheckIntervalMs: 200 })
  await admin.createTopic('orders', { queues: 1 })
  const asked: string[] = []
  let decision: TransactionDecision = 'unknown'
  const check = async (message: ConsumedMessage): Promise<TransactionDecision> => {
    asked.push(message.brokerName)
    return decision
  }
  const producer = closing(new TransactionProducer({ nameServers, group: 't', check, ...impatient }))
  await producer.start()
  const halves = []
  for (let n = 0; n < 4; n++) halves.push(await producer.prepare({ topic: 'orders', body: `half-${n}` }))
  expect(new Set(halves.map(({ brokerName }) => brokerName))).toEqual(new Set(['a', 'b']))
  const ids = halves.map(({ transactionId }) => transactionId)
  expect(await producer.pendingOf(ids)).toEqual(ids)
  const [first, second, third, fourth] = halves
  if (first === undefined || second === undefined || third === undefined || fourth === undefined) throw new Error()
  expect([await producer.end(first, 'commit'), await producer.end(second, 'commit')]).toEqual([
    'committed',
    'committed',
  ])
  expect([a.messages('orders').length, b.messages('orders').length]).toEqual([1, 1])
  await until(
    () => new Set(asked).size === 2,
    5_000,
    () => asked.join(' '),
  )
  // Both logs began alike, so the two open ones stand at the same position: a position alone names neither.
  const undecided = await admin.transactions()
  expect(undecided.map(({ brokerName }) => brokerName).toSorted()).toEqual(['a', 'b'])
  expect(await admin.resolveTransaction(third.physicalOffset, 'rollback', third.brokerName)).toBe('rolledBack')
  decision = 'commit'
  await until(() => a.messages('orders').length + b.messages('orders').length === 3, 5_000)
  expect(await producer.pendingOf(ids)).toEqual([])
})

test('the same position on two brokers is refused until the broker is named', async () => {
  const { nameServers, admin } = await cluster({ transactionTimeoutMs: 60_000 })
  await admin.createTopic('orders', { queues: 1 })
  const check = async (): Promise<TransactionDecision> => 'unknown'
  const producer = closing(new TransactionProducer({ nameServers, group: 't', check, ...impatient }))
  await producer.start()
  const halves = []
  for (let n = 0; n < 2; n++)
    halves.push(await producer.prepare({ topic: 'orders', body: 'same', messageId: `id-${n}` }))
  const [first, second] = halves
  if (first === undefined || second === undefined) throw new Error()
  expect(first.physicalOffset).toBe(second.physicalOffset)
  await expect(admin.resolveTransaction(first.physicalOffset, 'commit')).rejects.toMatchObject({
    code: 'INVALID_PARAMETER',
  })
  expect(await admin.resolveTransaction(first.physicalOffset, 'commit', first.brokerName)).toBe('committed')
  expect(await admin.resolveTransaction(second.physicalOffset, 'rollback')).toBe('rolledBack')
})

test('what a broker holds counts as pending also while it is away: nobody may conclude that it is not there', async () => {
  const { nameServers, admin } = await cluster()
  const c = await startBroker({ dataDir: '/memory', disk: new MemoryDisk(), port: 0, brokerName: 'c', nameServers })
  await admin.createTopic('orders', { queues: 1 })
  const check = async (): Promise<TransactionDecision> => 'unknown'
  const producer = closing(new TransactionProducer({ nameServers, group: 't', check, ...impatient }))
  await producer.start()
  await c.close()
  await expect(producer.pendingOf(['some-id'])).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
})

test('a reply finds its requester through whichever broker the request went', async () => {
  const { nameServers, admin } = await cluster()
  await admin.createTopic('orders', { queues: 1 })
  const responder = await producerOf(nameServers, 'responder')
  const through: string[] = []
  const consumer = closing(new PushConsumer({ nameServers, group: 'g', startFrom: 'first', ...impatient }))
  consumer.subscribe('orders', '*', async (message) => {
    through.push(message.brokerName)
    await responder.reply(message, `re: ${message.text()}`)
  })
  await consumer.start()
  const requester = await producerOf(nameServers, 'requester')
  for (let n = 0; n < 4; n++) {
    expect((await requester.request({ topic: 'orders', body: `${n}` })).text()).toBe(`re: ${n}`)
  }
  expect(new Set(through)).toEqual(new Set(['a', 'b']))
})

test('ordered groups lock queues at each broker, and every key keeps its order', async () => {
  const { nameServers, admin } = await cluster()
  await admin.createTopic('orders', { queues: 2 })
  const seen: ConsumedMessage[] = []
  await Promise.all([consumerOf(nameServers, seen, true), consumerOf(nameServers, seen, true)])
  const producer = await producerOf(nameServers)
  const keys = ['k1', 'k2', 'k3', 'k4', 'k5', 'k6']
  for (let n = 0; n < 5; n++) {
    await Promise.all(keys.map((orderBy) => producer.send({ topic: 'orders', orderBy, keys: [orderBy], body: `${n}` })))
  }
  await until(
    () => seen.length >= 30,
    20_000,
    () => `${seen.length}`,
  )
  for (const key of keys) {
    const mine = seen.filter((message) => message.keys.includes(key))
    expect([...new Set(mine.map((message) => message.text()))]).toEqual(['0', '1', '2', '3', '4'])
    expect(new Set(mine.map((message) => message.brokerName)).size).toBe(1)
  }
  expect(new Set(seen.map((message) => message.brokerName)).size).toBe(2)
})

test('a pull consumer reads the queues of both brokers', async () => {
  const { nameServers, admin } = await cluster()
  await admin.createTopic('orders', { queues: 1 })
  await sendMany(await producerOf(nameServers), 6)
  const pull = closing(new PullConsumer({ nameServers, group: 'audit' }))
  await pull.start()
  const seen: ConsumedMessage[] = []
  for await (const message of pull.messages('orders', { from: 'first' })) {
    seen.push(message)
    if (seen.length === 6) break
  }
  expect(new Set(seen.map((message) => message.brokerName))).toEqual(new Set(['a', 'b']))
})
