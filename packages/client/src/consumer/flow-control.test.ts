import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, recordOf, serveQueue, type World, world } from '../../../../test/kit/fake-broker.ts'
import { retryAfterOf } from '../client-error.ts'
import { startedProducer } from '../clients-test-kit.ts'
import type { ProducerOptions } from '../producer/producer-options.ts'
import { Producer } from '../producer/producer.ts'
import { CacheBudget } from './cache-budget.ts'
import { PushConsumer } from './push-consumer.ts'

const SEND = RequestCode.SEND_MESSAGE_V2
const busy = (retryAfterMs: number) => ({ code: 2, remark: '[SYSTEM_BUSY] later', extFields: { retryAfterMs } })

let w: World
let fake: FakeBroker

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  await w.clock.run(fake.start())
})

const started = (options?: Partial<ProducerOptions>): Promise<Producer> => startedProducer(fake, options)

const bodies = (): string[] => fake.asked(SEND).map(({ body }) => body.toString())

test('a refused send comes again when the broker said, not before, and as often as it takes', async () => {
  const askedAt: number[] = []
  fake.on(SEND, (request) => (askedAt.push(w.clock.monotonic()) > 5 ? fake.stored(request) : busy(200)))
  const producer = await started({ sendTimeoutMs: 5_000, retriesMax: 2 })
  await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  expect(askedAt).toHaveLength(6)
  const pauses = askedAt.slice(1).map((at, index) => at - (askedAt[index] ?? 0))
  for (const pause of pauses) {
    expect(pause).toBeGreaterThanOrEqual(200)
    expect(pause).toBeLessThan(402)
  }
  // Jitter: producers that were refused together must not come back together.
  expect(new Set(pauses.map(Math.round)).size).toBeGreaterThan(1)
})

test('while a broker is busy new sends wait in line behind the refused ones, and all go out in their order', async () => {
  let isBusy = true
  fake.on(SEND, (request) => (isBusy ? busy(300) : fake.stored(request)))
  const producer = await started({ sendTimeoutMs: 10_000 })
  const sends = [producer.send({ topic: 't', body: '0', orderBy: 'k' })]
  await w.clock.advance(100)
  expect(bodies()).toEqual(['0'])
  for (let n = 1; n < 50; n++) sends.push(producer.send({ topic: 't', body: String(n), orderBy: 'k' }))
  await w.clock.advance(100)
  expect(bodies()).toEqual(['0'])
  isBusy = false
  await w.clock.run(Promise.all(sends))
  expect(bodies().slice(1)).toEqual(Array.from({ length: 50 }, (_, n) => String(n)))
})

test('a send fails as busy when the broker stays busy for its whole time, and says so at once when it knows', async () => {
  fake.on(SEND, () => busy(400))
  const producer = await started({ sendTimeoutMs: 1_000 })
  const begun = w.clock.monotonic()
  const refused = { code: 'SYSTEM_BUSY', retryable: true, retryAfterMs: 400 }
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).rejects.toMatchObject(refused)
  expect(w.clock.monotonic() - begun).toBeLessThanOrEqual(1_000)
  fake.on(SEND, () => busy(10_000))
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({ code: 'SYSTEM_BUSY' })
})

test('without retries a refusal is the answer, and with another broker the message goes there at once', async () => {
  fake.on(SEND, () => busy(400))
  const impatient = await started({ retriesMax: 0, clientId: 'a' })
  await expect(w.clock.run(impatient.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({ code: 'SYSTEM_BUSY' })
  expect(fake.asked(SEND)).toHaveLength(1)
  const other = new FakeBroker(w, 'other', 9877)
  await w.clock.run(other.start())
  fake.routes = { b: fake.address, other: other.address }
  const producer = await started({ clientId: 'b' })
  const begun = w.clock.monotonic()
  const receipts = []
  for (let n = 0; n < 4; n++) receipts.push(await w.clock.run(producer.send({ topic: 't', body: 'x' })))
  expect(receipts.map(({ brokerName }) => brokerName)).toEqual(['other', 'other', 'other', 'other'])
  expect(w.clock.monotonic() - begun).toBeLessThan(100)
})

test('more than the network takes is sent in line: no connection is ended for it, and each message is sent once', async () => {
  const producer = await started({ sendTimeoutMs: 60_000, requestTimeoutMs: 60_000 })
  const body = Buffer.alloc(524_288, 'x')
  const sends = Array.from({ length: 300 }, () => producer.send({ topic: 't', body, orderBy: 'k' }))
  await w.clock.advance(10)
  const [connection] = fake.connections
  const receipts = await w.clock.run(Promise.all(sends), 60_000)
  expect(receipts).toHaveLength(300)
  expect(fake.asked(SEND)).toHaveLength(300)
  expect([...fake.connections]).toEqual([connection])
  await w.clock.run(producer.close())
})

test.each([
  ['250', 250],
  ['0', 0],
  ['99999999', 10_000],
  ['-1', undefined],
  ['soon', undefined],
  [undefined, undefined],
])('a broker that asks to wait %s ms is heard as %s', (text, ms) => {
  expect(retryAfterOf(text)).toBe(ms)
})

test('a pull that is refused comes again when the broker said', async () => {
  const askedAt: number[] = []
  serveQueue(fake, 't', [])
  fake.on(RequestCode.PULL_MESSAGE, (request) => {
    if (request.extFields['topic'] !== 't') return undefined
    askedAt.push(w.clock.monotonic())
    return { code: 215, remark: '[SYSTEM_BUSY] later', extFields: { retryAfterMs: 100 } }
  })
  fake.queues = 1
  const consumer = new PushConsumer({ ...w, nameServers: fake.address, group: 'g', startFrom: 'first' })
  consumer.subscribe('t', '*', () => undefined)
  await w.clock.run(consumer.start())
  await w.clock.advance(2_000)
  expect(askedAt.length).toBeGreaterThan(5)
  for (const [index, at] of askedAt.slice(1).entries()) {
    expect(at - (askedAt[index] ?? 0)).toBeGreaterThanOrEqual(100)
    expect(at - (askedAt[index] ?? 0)).toBeLessThan(203)
  }
  await w.clock.run(consumer.close())
})

test('clients that lose a broker together come back spread in time, each once', async () => {
  const clients = []
  for (let n = 0; n < 30; n++) clients.push(await started({ clientId: `c${n}` }))
  await w.clock.run(Promise.all(clients.map((client) => client.send({ topic: 't', body: 'x' }))))
  const backAt = new Map<string, number[]>()
  fake.on(RequestCode.HEART_BEAT, ({ body }) => {
    const { clientID } = JSON.parse(body.toString()) as { clientID: string }
    backAt.set(clientID, [...(backAt.get(clientID) ?? []), w.clock.monotonic()])
    return { code: 0 }
  })
  const lostAt = w.clock.monotonic()
  for (const connection of fake.connections) connection.destroy()
  await w.clock.advance(1_000)
  const pauses = [...backAt.values()].map(([at = 0]) => at - lostAt)
  expect(pauses).toHaveLength(30)
  expect([...backAt.values()].every((times) => times.length === 1)).toBe(true)
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(100)
  expect(Math.max(...pauses) - Math.min(...pauses)).toBeGreaterThan(100)
  await w.clock.run(Promise.all(clients.map((client) => client.close())))
})

const limits = { queueMessagesMax: 10, queueBytesMax: 1_000, totalMessagesMax: 100, totalBytesMax: 5_000 }

test.each([
  ['below every limit', 9, 999, 99, 4_999, true],
  ['at the messages of a queue', 10, 0, 0, 0, false],
  ['above them', 11, 0, 0, 0, false],
  ['at the bytes of a queue', 0, 1_000, 0, 0, false],
  ['above them', 0, 1_001, 0, 0, false],
  ['at all messages', 0, 0, 100, 0, false],
  ['at all bytes', 0, 0, 0, 5_000, false],
  ['above all bytes', 0, 0, 0, 5_001, false],
])('%s a consumer asks for more: %i %i %i %i %s', (_name, queueMessages, queueBytes, messages, bytes, hasRoom) => {
  const budget = new CacheBudget(limits)
  for (let n = 0; n < messages; n++) budget.take(n === 0 ? bytes : 0)
  if (messages === 0 && bytes > 0) budget.take(bytes)
  expect(budget.hasRoom(queueMessages, queueBytes)).toBe(hasRoom)
})

test('who waits for room is told at the next release', async () => {
  const budget = new CacheBudget(limits)
  budget.take(5_000)
  let isTold = false
  const told = budget.change().then(() => (isTold = true))
  await Promise.resolve()
  expect(isTold).toBe(false)
  budget.release(1, 5_000)
  await told
  expect([budget.messages, budget.bytes, budget.hasRoom(0, 0)]).toEqual([0, 0, true])
})

test('pulling of one queue pauses at the bytes of that queue, all pulling at the bytes of all, and both go on', async () => {
  fake.queues = 2
  const all = Array.from({ length: 20 }, (_, n) => recordOf({ topic: 't', queueOffset: n, body: 'x'.repeat(1_000) }))
  serveQueue(fake, 't', all)
  fake.on(RequestCode.PULL_MESSAGE, (request) => {
    const offset = Number(request.extFields['queueOffset'])
    if (request.extFields['topic'] !== 't' || offset >= all.length) return undefined
    const extFields = { nextBeginOffset: offset + 1, minOffset: 0, maxOffset: all.length, suggestWhichBrokerId: 0 }
    return { code: 0, extFields, body: all[offset] ?? Buffer.alloc(0) }
  })
  const waiting: (() => void)[] = []
  const size = all[0]?.length ?? 0
  const consumer = new PushConsumer({
    ...{ ...w, nameServers: fake.address, group: 'g', startFrom: 'first', pullBatchMax: 1, concurrencyMax: 1 },
    ...{ queueBytesMax: 5 * size, totalBytesMax: 8 * size },
  })
  consumer.subscribe('t', '*', () => new Promise<void>((resolve) => waiting.push(resolve)))
  await w.clock.run(consumer.start())
  await w.clock.advance(2_000)
  const paused = consumer.stats()
  expect(paused.cachedBytes).toBeGreaterThanOrEqual(5 * size)
  expect(paused.cachedBytes).toBeLessThanOrEqual(10 * size)
  const pulls = fake.asked(RequestCode.PULL_MESSAGE).length
  await w.clock.advance(5_000)
  const idle = fake.asked(RequestCode.PULL_MESSAGE).filter(({ extFields }) => extFields['topic'] === 't').length
  expect(fake.asked(RequestCode.PULL_MESSAGE).length - pulls).toBeLessThanOrEqual(2)
  for (let n = 0; n < 200 && consumer.stats().consumed < 40; n++) {
    for (const resolve of waiting.splice(0)) resolve()
    await w.clock.advance(50)
    expect(consumer.stats().cachedBytes).toBeLessThanOrEqual(10 * size)
  }
  expect(consumer.stats().consumed).toBeGreaterThanOrEqual(40)
  const after = fake.asked(RequestCode.PULL_MESSAGE).filter(({ extFields }) => extFields['topic'] === 't').length
  expect(after).toBeGreaterThan(idle)
  await w.clock.run(consumer.close())
})
