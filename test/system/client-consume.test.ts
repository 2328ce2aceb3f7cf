import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, startBroker } from '@tandemmq/broker'
import {
  Admin,
  Producer,
  PushConsumer,
  type PushConsumerOptions,
  ReconsumeLater,
  RejectMessage,
} from '@tandemmq/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readTopic } from '../kit/read-topic.ts'

let directory: string
let broker: Broker
let producer: Producer

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-client-'))
  broker = await startBroker({ dataDir: directory, port: 0, flush: 'async' })
  producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
})

afterEach(async () => {
  await producer.close()
  await broker.close()
  await rm(directory, { recursive: true, force: true })
})

const consumer = (options: Partial<PushConsumerOptions> = {}): PushConsumer =>
  new PushConsumer({ nameServers: broker.address, group: 'g', startFrom: 'first', ...options })

const send = (topic: string, count: number, orderBy?: string) =>
  producer.sendAll(Array.from({ length: count }, (_, n) => ({ topic, body: `${n}`, orderBy })))

const readAll = (topic: string, count: number) => readTopic(broker.address, topic, count)

test('every message reaches a handler once, and none again after a close and a new start', async () => {
  await send('orders', 200)
  const seen: string[] = []
  await using first = consumer()
  first.subscribe('orders', '*', async (message) => {
    seen.push(message.text())
    if (seen.length === 120) first.close().catch(() => undefined)
  })
  await first.start()
  await expect.poll(() => seen.length).toBeGreaterThanOrEqual(120)
  await first.close()
  await using second = consumer()
  second.subscribe('orders', '*', async (message) => void seen.push(message.text()))
  await second.start()
  await expect.poll(() => seen.length).toBe(200)
  expect(new Set(seen).size).toBe(200)
})

test('a consumer gets what is sent while it runs', async () => {
  await send('orders', 1)
  const seen: string[] = []
  await using running = consumer({ startFrom: 'last' })
  running.subscribe('orders', '*', (message) => void seen.push(message.text()))
  await running.start()
  await producer.send({ topic: 'orders', body: 'new' })
  await expect.poll(() => seen).toEqual(['new'])
})

test("startFrom 'last' means the first start of the group, also for messages sent while no member was there", async () => {
  await send('orders', 20)
  await using first = consumer({ startFrom: 'last' })
  first.subscribe('orders', '*', () => undefined)
  await first.start()
  await first.close()
  await send('orders', 5)
  const seen: string[] = []
  await using second = consumer({ startFrom: 'last' })
  second.subscribe('orders', '*', (message) => void seen.push(message.text()))
  await second.start()
  await expect.poll(() => seen.toSorted()).toEqual(['0', '1', '2', '3', '4'])
})

test('startFrom a date begins with the first message stored at or after it', async () => {
  await send('orders', 3)
  await new Promise((resolve) => setTimeout(resolve, 20))
  const start = new Date()
  await new Promise((resolve) => setTimeout(resolve, 20))
  await producer.send({ topic: 'orders', body: 'after' })
  const seen: string[] = []
  await using running = consumer({ startFrom: start })
  running.subscribe('orders', '*', (message) => void seen.push(message.text()))
  await running.start()
  await expect.poll(() => seen).toEqual(['after'])
})

test('a topic that does not exist yet is consumed from its first message when it appears', async () => {
  const seen: string[] = []
  await using running = consumer({ startFrom: 'last' })
  running.subscribe('later', '*', (message) => void seen.push(message.text()))
  await running.start()
  await send('later', 5)
  await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(5)
})

test('a tag subscription gets its tags only, also when another tag has the same hash', async () => {
  await producer.send({ topic: 'tagged', tag: 'AaBB', body: 'wanted' })
  await producer.send({ topic: 'tagged', tag: 'BBAa', body: 'same hash' })
  await producer.send({ topic: 'tagged', tag: 'other', body: 'other' })
  await producer.send({ topic: 'tagged', tag: 'paid', body: 'wanted too' })
  await producer.send({ topic: 'tagged', body: 'no tag' })
  const seen: string[] = []
  await using running = consumer()
  running.subscribe('tagged', { tags: ['AaBB', 'paid'] }, (message) => void seen.push(message.text()))
  await running.start()
  await expect.poll(() => seen.toSorted()).toEqual(['wanted', 'wanted too'])
})

test('two members share the queues, and one takes all when the other leaves', async () => {
  await using admin = new Admin({ nameServers: broker.address })
  await admin.start()
  await admin.createTopic('shared', { queues: 5 })
  const byMember: Record<string, Set<number>> = { a: new Set(), b: new Set() }
  let total = 0
  const member = async (name: string): Promise<PushConsumer> => {
    const one = consumer({ clientId: name })
    one.subscribe('shared', '*', (message) => {
      byMember[name]?.add(message.queueId)
      total++
    })
    await one.start()
    return one
  }
  await using a = await member('a')
  await using b = await member('b')
  // 5 queues, and the one of the retry topic.
  await expect.poll(() => a.stats().queues + b.stats().queues).toBe(6)
  await send('shared', 10)
  for (let n = 0; n < 40; n++) await producer.send({ topic: 'shared', body: `${n}` })
  await expect.poll(() => total).toBe(50)
  expect([...(byMember['a'] ?? [])].filter((queueId) => byMember['b']?.has(queueId))).toEqual([])
  expect((byMember['a']?.size ?? 0) + (byMember['b']?.size ?? 0)).toBe(5)
  await a.close()
  await expect.poll(() => b.stats().queues).toBe(6)
})

test('what a handler throws back comes again with the next attempt, under its own topic and id', async () => {
  const receipt = await producer.send({ topic: 'orders', body: 'x', keys: 'k' })
  const seen: { attempt: number; topic: string; messageId: string; keys: string[] }[] = []
  await using running = consumer()
  running.subscribe('orders', '*', ({ attempt, topic, messageId, keys }) => {
    seen.push({ attempt, topic, messageId, keys })
    if (attempt === 1) throw new ReconsumeLater({ delayMs: 50 })
  })
  await running.start()
  await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(2)
  const same = { topic: 'orders', messageId: receipt.messageId, keys: ['k'] }
  expect(seen).toEqual([
    { attempt: 1, ...same },
    { attempt: 2, ...same },
  ])
})

test('a rejected message is in the dead letter topic at once, with its reason and origin', async () => {
  const receipt = await producer.send({ topic: 'orders', body: 'broken', keys: 'k' })
  let calls = 0
  await using running = consumer()
  running.subscribe('orders', '*', () => {
    calls++
    throw new RejectMessage('no amount')
  })
  await running.start()
  await expect.poll(() => readAll('%DLQ%g', 1).catch(() => []), { timeout: 10_000 }).toHaveLength(1)
  const [dead] = await readAll('%DLQ%g', 1)
  expect(dead?.text()).toBe('broken')
  expect(dead?.messageId).toBe(receipt.messageId)
  expect(dead?.properties).toMatchObject({ DLQ_REASON: 'no amount', DLQ_ORIGIN_TOPIC: 'orders' })
  expect(calls).toBe(1)
})

test('a message that fails attemptsMax times is handled exactly so often and then a dead letter', async () => {
  await producer.send({ topic: 'orders', body: 'poison' })
  const attempts: number[] = []
  await using running = consumer({ attemptsMax: 3 })
  running.subscribe('orders', '*', ({ attempt }) => {
    attempts.push(attempt)
    throw new ReconsumeLater({ delayMs: 10 }, 'still not')
  })
  await running.start()
  await expect.poll(() => readAll('%DLQ%g', 1).catch(() => []), { timeout: 10_000 }).toHaveLength(1)
  expect(attempts).toEqual([1, 2, 3])
  const [dead] = await readAll('%DLQ%g', 1)
  expect(dead?.properties['DLQ_REASON']).toBe('still not')
})

test('an ordered consumer handles one message of a queue at a time, in order, and repeats a failing one in place', async () => {
  await send('ordered', 30, 'customer-7')
  const seen: string[] = []
  let running = 0
  let overlap = 0
  await using one = consumer({ ordered: true, orderedRetryMs: 20 })
  one.subscribe('ordered', '*', async (message) => {
    overlap = Math.max(overlap, ++running)
    await new Promise((resolve) => setTimeout(resolve, 1))
    running--
    if (message.text() === '7' && message.attempt < 3) throw new Error('not yet')
    seen.push(`${message.text()}/${message.attempt}`)
  })
  await one.start()
  await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(30)
  expect(overlap).toBe(1)
  expect(seen).toEqual(Array.from({ length: 30 }, (_, n) => (n === 7 ? '7/3' : `${n}/1`)))
})

test('a queue of an ordered group is taken over only after its last handler has ended', async () => {
  await send('ordered', 10, 'customer-7')
  const events: string[] = []
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  await using a = consumer({ ordered: true, clientId: 'a' })
  a.subscribe('ordered', '*', async (message) => {
    events.push(`a begins ${message.text()}`)
    await gate
    events.push(`a ends ${message.text()}`)
  })
  await a.start()
  await expect.poll(() => events).toEqual(['a begins 0'])
  await using b = consumer({ ordered: true, clientId: 'b' })
  b.subscribe('ordered', '*', (message) => void events.push(`b ${message.text()}`))
  await b.start()
  const closing = a.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  release()
  await closing
  await expect.poll(() => events.length, { timeout: 10_000 }).toBe(11)
  expect(events).toEqual(['a begins 0', 'a ends 0', ...Array.from({ length: 9 }, (_, n) => `b ${n + 1}`)])
})

test('broadcasting gives every message to every member', async () => {
  await send('news', 1)
  const seen: Record<string, string[]> = { a: [], b: [] }
  const member = async (name: string): Promise<PushConsumer> => {
    const one = consumer({ mode: 'broadcasting', clientId: name, startFrom: 'last' })
    one.subscribe('news', '*', (message) => void seen[name]?.push(message.text()))
    await one.start()
    return one
  }
  await using _a = await member('a')
  await using _b = await member('b')
  await producer.send({ topic: 'news', body: 'x' })
  await producer.send({ topic: 'news', body: 'y' })
  await expect
    .poll(() => [seen['a']?.toSorted(), seen['b']?.toSorted()])
    .toEqual([
      ['x', 'y'],
      ['x', 'y'],
    ])
})

test('close waits for the running handler and its message does not come again', async () => {
  await send('orders', 1)
  let ended = false
  const seen: number[] = []
  await using first = consumer()
  first.subscribe('orders', '*', async ({ attempt }) => {
    seen.push(attempt)
    await new Promise((resolve) => setTimeout(resolve, 100))
    ended = true
  })
  await first.start()
  await expect.poll(() => seen.length).toBe(1)
  await first.close()
  expect(ended).toBe(true)
  await using second = consumer()
  second.subscribe('orders', '*', ({ attempt }) => void seen.push(attempt))
  await second.start()
  await producer.send({ topic: 'orders', body: 'next' })
  await expect.poll(() => seen.length).toBe(2)
})

test('a handler that does not end is aborted after drainTimeoutMs, and its message comes again', async () => {
  await send('orders', 1)
  let aborted = false
  let begun = 0
  await using first = consumer({ drainTimeoutMs: 50 })
  first.subscribe('orders', '*', (_message, { signal }) => {
    begun++
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        aborted = true
        reject(signal.reason)
      })
    })
  })
  await first.start()
  await expect.poll(() => begun).toBe(1)
  await first.close()
  expect(aborted).toBe(true)
  let again = 0
  await using second = consumer()
  second.subscribe('orders', '*', () => void again++)
  await second.start()
  await expect.poll(() => again).toBe(1)
})

test('a reset moves a running group back', async () => {
  await send('orders', 10)
  const seen: string[] = []
  await using running = consumer()
  running.subscribe('orders', '*', (message) => void seen.push(message.text()))
  await running.start()
  await expect.poll(() => seen.length).toBe(10)
  await using admin = new Admin({ nameServers: broker.address })
  await admin.start()
  await admin.resetOffset('g', 'orders', 'first')
  await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(20)
  expect((await admin.consumerConnections('g')).members.map((member) => member.clientId)).toEqual([running.clientId])
})

test('a consumer goes on by itself after the broker was restarted', async () => {
  const seen: string[] = []
  await using running = consumer()
  running.subscribe('orders', '*', (message) => void seen.push(message.text()))
  await send('orders', 5)
  await running.start()
  await expect.poll(() => seen.length).toBe(5)
  const { port } = broker
  await broker.close()
  broker = await startBroker({ dataDir: directory, port, flush: 'async' })
  await expect.poll(() => producer.send({ topic: 'orders', body: 'again' }).then(() => true)).toBe(true)
  await expect.poll(() => seen.includes('again'), { timeout: 10_000 }).toBe(true)
})

test('a request is answered by the consumer it reaches', async () => {
  await using running = consumer({ startFrom: 'first' })
  running.subscribe('stock.level', '*', (message) =>
    producer.reply(message, { level: message.json<{ sku: string }>().sku.length }),
  )
  await expect(
    producer.request({ topic: 'stock.level', body: { sku: 'abc' } }, { timeoutMs: 100 }),
  ).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  await running.start()
  const answer = await producer.request({ topic: 'stock.level', body: { sku: 'abcd' } }, { timeoutMs: 3_000 })
  expect(answer.json<{ level: number }>()).toEqual({ level: 4 })
})

test('a reply that comes after its request timed out is dropped, and the next request gets its own', async () => {
  let release = (): void => undefined
  const late = new Promise<void>((resolve) => (release = resolve))
  const replied: string[] = []
  await using running = consumer({ startFrom: 'first' })
  running.subscribe('stock.level', '*', async (message) => {
    if (message.text() === 'slow') await late
    await producer.reply(message, `to ${message.text()}`)
    replied.push(message.text())
  })
  await running.start()
  const slow = producer.request({ topic: 'stock.level', body: 'slow' }, { timeoutMs: 300 })
  await expect(slow).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  release()
  await expect.poll(() => replied, { timeout: 10_000 }).toEqual(['slow'])
  const answer = await producer.request({ topic: 'stock.level', body: 'quick' }, { timeoutMs: 10_000 })
  expect(answer.text()).toBe('to quick')
})
