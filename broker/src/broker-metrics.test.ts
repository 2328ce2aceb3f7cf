import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { beforeEach, afterEach, expect, test } from 'vitest'
import { type Broker, startBroker } from './broker.ts'
import { metricFamilies } from './metrics/index.ts'
import { MemoryDisk } from './store/memory-disk.ts'
import { pullFields } from '../../test/kit/broker-rooms.ts'

const ADDRESS = '127.0.0.1:9876'
let clock: VirtualClock
let network: MemoryNetwork
let client: RemotingClient
let broker: Broker

beforeEach(async () => {
  clock = new VirtualClock({ seed: 1 })
  network = new MemoryNetwork({ clock })
  client = new RemotingClient({ clock, network })
  const place = { clock, network, disk: new MemoryDisk(), dataDir: 'data', port: 9876, defaultQueues: 1 }
  broker = await clock.run(startBroker({ ...place, metricsPort: 9100, flush: 'sync' }))
})

afterEach(() => clock.run(broker.close(), 60_000))

async function scrape(): Promise<string> {
  const socket = await clock.run(network.connect({ host: '127.0.0.1', port: 9100, timeoutMs: 1_000 }))
  let text = ''
  socket.handler = { onData: (bytes, at, end) => (text += bytes.toString('utf8', at, end)), onDrain() {}, onClose() {} }
  const request = Buffer.from('GET /metrics HTTP/1.1\r\n\r\n')
  socket.write(request, 0, request.length)
  await clock.advance(50)
  return text.slice(text.indexOf('\r\n\r\n') + 4)
}

/** One sample by its whole name, labels included. */
const valueOf = (text: string, name: string): number | undefined => {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length + 1))
}

async function send(topic: string, properties = ''): Promise<number> {
  const extFields = { a: 'p', b: topic, c: 'TBW102', d: 1, e: 0, f: 0, g: clock.now(), h: 0, i: properties, j: 0 }
  const command = {
    code: 310,
    version: 441,
    extFields: { ...extFields, k: 'false', m: 'false' },
    body: Buffer.from('x'),
  }
  return (await clock.run(client.request(ADDRESS, command, 5_000))).code
}

test('each family has its two lines once, in front of its samples, and every family of the table is there', async () => {
  const lines = (await scrape()).split('\n')
  expect(lines.pop()).toBe('')
  const seen: string[] = []
  for (const line of lines) {
    const help = /^# HELP (\S+) ./.exec(line)?.[1]
    if (help !== undefined) {
      expect(seen).not.toContain(help)
      seen.push(help)
      continue
    }
    const family = seen.at(-1)
    if (line.startsWith('# ')) expect(line).toMatch(new RegExp(`^# TYPE ${family} (counter|gauge|histogram)$`))
    else expect(line).toMatch(new RegExp(`^${family}(_bucket|_sum|_count)?({[^{}]*})? [-+0-9.eInf]+$`))
  }
  // A memory disk cannot say how full it is.
  const expected = metricFamilies.map(({ name }) => name).filter((name) => name !== 'tandemmq_disk_used_ratio')
  expect(seen.toSorted()).toEqual(expected.toSorted())
})

test('what producers sent, consumers lag behind, and the broker refused is in the next answer', async () => {
  for (let n = 0; n < 3; n++) expect(await send('orders')).toBe(0)
  expect(await send('no good')).not.toBe(0)
  await clock.run(client.request(ADDRESS, { code: 9999 }, 5_000))
  const pull = (offset: number) => {
    const extFields = pullFields({ sysFlag: 5, queueOffset: offset, commitOffset: offset, maxMsgNums: 1 })
    return clock.run(client.request(ADDRESS, { code: 11, extFields }, 5_000))
  }
  await pull(0)
  expect((await pull(1)).code).toBe(0)
  await clock.advance(60_000)
  const text = await scrape()
  const pair = '{group="billing",topic="orders"}'
  expect({
    received: valueOf(text, 'tandemmq_messages_received_total'),
    ofTopic: valueOf(text, 'tandemmq_topic_messages_received_total{topic="orders"}'),
    sends: valueOf(text, 'tandemmq_send_duration_seconds_count'),
    delivered: valueOf(text, 'tandemmq_messages_delivered_total'),
    deliveries: valueOf(text, 'tandemmq_delivery_age_seconds_count'),
    toGroup: valueOf(text, `tandemmq_group_messages_delivered_total${pair}`),
    lag: valueOf(text, `tandemmq_group_lag_messages${pair}`),
    badName: valueOf(text, 'tandemmq_requests_refused_total{code="TOPIC_NAME_INVALID"}'),
    unknownCode: valueOf(text, 'tandemmq_requests_refused_total{code="REQUEST_NOT_SUPPORTED"}'),
  }).toEqual({
    ...{ received: 3, ofTopic: 3, sends: 3, delivered: 2, deliveries: 2, toGroup: 2, lag: 2 },
    ...{ badName: 1, unknownCode: 1 },
  })
  const age = valueOf(text, `tandemmq_group_lag_seconds${pair}`) ?? 0
  expect(age).toBeGreaterThanOrEqual(60)
  expect(age).toBeLessThan(62)
  expect(valueOf(text, 'tandemmq_store_sync_duration_seconds_count')).toBeGreaterThanOrEqual(3)
})

test('what the filter of a waiting pull refuses is no lag of its group, unless the group is still at work on what is before it', async () => {
  const tagged = (tag: string): Promise<number> => send('orders', `TAGS\u0001${tag}\u0002`)
  const pull = (over: Parameters<typeof pullFields>[0]): Promise<void> => {
    const extFields = pullFields({ sysFlag: 7, subscription: 'paid', queueOffset: 1, commitOffset: 1, ...over })
    client.request(ADDRESS, { code: 11, extFields }, 60_000).catch(() => undefined)
    return clock.advance(50)
  }
  expect(await tagged('paid')).toBe(0)
  await pull({ consumerGroup: 'waits' })
  await pull({ consumerGroup: 'works', commitOffset: 0 })
  await pull({ consumerGroup: 'away', sysFlag: 5 })
  for (let n = 0; n < 3; n++) expect(await tagged('placed')).toBe(0)
  const text = await scrape()
  const lagOf = (group: string) => valueOf(text, `tandemmq_group_lag_messages{group="${group}",topic="orders"}`)
  expect(['waits', 'works', 'away'].map(lagOf)).toEqual([0, 4, 3])
})

test('a delayed and a half message are pending, with the age of the half', async () => {
  const one = (name: string, value: string): string => `${name}\u0001${value}\u0002`
  expect(await send('orders', one('TIMER_DELAY_MS', '3600000'))).toBe(0)
  expect(await send('orders', one('TRAN_MSG', 'true') + one('PGROUP', 'p'))).toBe(0)
  await clock.advance(30_000)
  const text = await scrape()
  expect(valueOf(text, 'tandemmq_timers_pending')).toBe(1)
  expect(valueOf(text, 'tandemmq_transactions_pending')).toBe(1)
  expect(valueOf(text, 'tandemmq_transactions_oldest_seconds')).toBeGreaterThanOrEqual(30)
})

test('members that disagree, dead letters and members are told by group', async () => {
  const other = new RemotingClient({ clock, network })
  const heartbeat = (from: RemotingClient, clientID: string, subString: string) => {
    const subscription = { topic: 'orders', subString, tagsSet: [], codeSet: [], subVersion: 1, expressionType: 'TAG' }
    const consumer = { groupName: 'billing', consumeType: 'CONSUME_PASSIVELY', messageModel: 'CLUSTERING' }
    const where = { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET', unitMode: false }
    const consumerDataSet = [{ ...consumer, ...where, subscriptionDataSet: [subscription] }]
    const body = Buffer.from(JSON.stringify({ clientID, consumerDataSet, producerDataSet: [] }))
    return clock.run(from.request(ADDRESS, { code: 34, body }, 5_000))
  }
  await heartbeat(client, 'a', 'created')
  await heartbeat(other, 'b', 'created')
  expect(valueOf(await scrape(), 'tandemmq_group_subscription_conflicts{group="billing"}')).toBe(0)
  await heartbeat(other, 'b', 'paid')
  await send('orders')
  const [message] = broker.messages('orders')
  const extFields = { group: 'billing', offset: String(message?.physicalOffset), delayLevel: -1, maxReconsumeTimes: 3 }
  expect((await clock.run(client.request(ADDRESS, { code: 36, extFields }, 5_000))).code).toBe(0)
  const text = await scrape()
  expect(valueOf(text, 'tandemmq_group_subscription_conflicts{group="billing"}')).toBeGreaterThan(0)
  expect(valueOf(text, 'tandemmq_group_members{group="billing"}')).toBe(2)
  expect(valueOf(text, 'tandemmq_group_dead_letters{group="billing"}')).toBe(1)
  await clock.run(other.close())
})

test('a tool is told the same figures as Prometheus', async () => {
  for (let n = 0; n < 3; n++) expect(await send('orders')).toBe(0)
  const { code, body } = await clock.run(client.request(ADDRESS, { code: 9105 }, 5_000))
  const { figures } = JSON.parse(body.toString()) as { figures: { name: string; value: number; p99?: number }[] }
  const text = await scrape()
  expect(code).toBe(0)
  const changing =
    /^tandemmq_(requests_total|connections.*|output_bytes|unfinished_bytes|.*memory_bytes|heap_used_bytes|store_journal_bytes)$/
  for (const { name, value, p99 } of figures.filter((one) => !changing.test(one.name))) {
    expect([name, valueOf(text, p99 === undefined ? name : `${name}_count`)]).toEqual([name, value])
  }
  expect(figures.find(({ name }) => name === 'tandemmq_send_duration_seconds')).toMatchObject({ value: 3 })
})

test('nothing listens unless it was asked for', async () => {
  const elsewhere = new MemoryNetwork({ clock })
  const quiet = await clock.run(
    startBroker({ clock, network: elsewhere, disk: new MemoryDisk(), dataDir: 'data', port: 9876 }),
  )
  expect([broker.metricsUrl, quiet.metricsUrl]).toEqual(['http://127.0.0.1:9100/metrics', undefined])
  const refused = elsewhere.connect({ host: '127.0.0.1', port: 9100, timeoutMs: 1_000 })
  await expect(clock.run(refused)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
  await clock.run(quiet.close(), 60_000)
})

test('a broker whose metrics port is taken does not start, and leaves its directory and port to the next', async () => {
  const disk = new MemoryDisk()
  const place = { clock, network, disk, dataDir: 'other', port: 9877 }
  const start = startBroker({ ...place, metricsPort: 9100 })
  await expect(clock.run(start)).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' })
  const next = await clock.run(startBroker(place))
  await clock.run(next.close(), 60_000)
})
