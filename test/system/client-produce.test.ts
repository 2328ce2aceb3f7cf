import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, startBroker } from '@tandemmq/broker'
import { Admin, Producer, PullConsumer, type SendReceipt } from '@tandemmq/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readTopic } from '../kit/read-topic.ts'

let directory: string
let broker: Broker

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-client-'))
  broker = await startBroker({ dataDir: directory, port: 0, flush: 'async' })
})

afterEach(async () => {
  await broker.close()
  await rm(directory, { recursive: true, force: true })
})

const readAll = (topic: string, count: number) => readTopic(broker.address, topic, count)

test('a message arrives with body, tag, keys and properties as it was sent', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const receipt = await producer.send({
    topic: 'orders',
    tag: 'created',
    keys: ['o-1', 'k"2'],
    body: { id: 'o-1', text: 'żółw "quoted" \\ 🐢' },
    properties: { region: 'eu', quote: 'a"b\\c\nd\u007f', turtle: '🐢' },
  })
  expect(receipt).toMatchObject({ topic: 'orders', queueOffset: 0n, duplicate: false })
  const [message] = await readAll('orders', 1)
  expect(message?.json()).toEqual({ id: 'o-1', text: 'żółw "quoted" \\ 🐢' })
  expect(message?.messageId).toBe(receipt.messageId)
  expect(message?.tag).toBe('created')
  expect(message?.keys).toEqual(['o-1', 'k"2'])
  expect(message?.properties).toMatchObject({ region: 'eu', quote: 'a"b\\c\nd\u007f', turtle: '🐢' })
  expect(message?.queueId).toBe(receipt.queueId)
  expect(message?.topic).toBe('orders')
  expect(message?.attempt).toBe(1)
  expect(Math.abs((message?.storedAt.getTime() ?? 0) - (message?.bornAt.getTime() ?? 0))).toBeLessThan(5_000)
})

test('bytes go as they are and text as UTF-8, also when compressed', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p', compressOverBytes: 1_000 })
  await producer.start()
  await producer.send({ topic: 'bodies', body: Buffer.of(0, 1, 255), orderBy: 'x' })
  await producer.send({ topic: 'bodies', body: 'é'.repeat(5_000), orderBy: 'x' })
  const [bytes, text] = await readAll('bodies', 2)
  expect(bytes?.body).toEqual(Buffer.of(0, 1, 255))
  expect(text?.text()).toBe('é'.repeat(5_000))
  expect(text?.storedBytes).toBeLessThan(1_000)
})

test('messages of one orderBy share a queue and keep their order', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const receipts = await Promise.all(
    Array.from({ length: 50 }, (_, n) => producer.send({ topic: 'ordered', body: `${n}`, orderBy: 'customer-7' })),
  )
  expect(new Set(receipts.map((receipt) => receipt.queueId)).size).toBe(1)
  expect(receipts.map((receipt) => receipt.queueOffset)).toEqual(receipts.map((_, n) => BigInt(n)))
})

test('a repeat of a dedupKey gets the receipt of the first one, marked duplicate', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const first = await producer.send({ topic: 'payments', body: 'x', dedupKey: 'payment-42' })
  const second = await producer.send({ topic: 'payments', body: 'x', dedupKey: 'payment-42' })
  expect(second).toEqual({ ...first, duplicate: true })
})

test('sendAll gives one receipt per message, in their order, and each message is stored once', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const outgoing = Array.from({ length: 300 }, (_, n) => ({
    topic: n % 3 === 0 ? 'batch-a' : 'batch-b',
    body: `${n}`,
    tag: 't',
  }))
  const receipts = await producer.sendAll(outgoing)
  expect(receipts.map((receipt) => receipt.topic)).toEqual(outgoing.map((message) => message.topic))
  const stored = [...(await readAll('batch-a', 100)), ...(await readAll('batch-b', 200))]
  const byPlace = new Map(stored.map((m) => [`${m.topic} ${m.queueId} ${m.queueOffset}`, m]))
  for (const [n, receipt] of receipts.entries()) {
    const message = byPlace.get(`${receipt.topic} ${receipt.queueId} ${receipt.queueOffset}`)
    expect(message?.text()).toBe(`${n}`)
    expect(message?.messageId).toBe(receipt.messageId)
  }
})

test('a batch sent again, to whichever queue and with a new member, is answered with the places of the first time', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const outgoing = ['a', 'b', 'c'].map((body) => ({ topic: 'again', body, messageId: `id-${body}` }))
  const place = ({ queueId, queueOffset, duplicate }: SendReceipt) => `${queueId}/${queueOffset} ${duplicate}`
  const first = await producer.sendAll(outgoing)
  // More often than there are queues.
  for (let repeat = 0; repeat < 5; repeat++) {
    const again = await producer.sendAll([...outgoing, { topic: 'again', body: `new ${repeat}` }])
    expect(again.slice(0, 3).map(place)).toEqual(first.map((receipt) => place({ ...receipt, duplicate: true })))
    const [stored] = (await readAll('again', 4 + repeat)).filter((message) => message.text() === `new ${repeat}`)
    expect(stored).toMatchObject({ queueId: again[3]?.queueId, queueOffset: again[3]?.queueOffset })
  }
})

test('sendAll splits at the size limit instead of being refused', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const body = Buffer.alloc(1_000_000, 'x')
  const receipts = await producer.sendAll(Array.from({ length: 9 }, () => ({ topic: 'large', body })))
  expect(receipts).toHaveLength(9)
  expect(new Set(receipts.map((receipt) => receipt.messageId)).size).toBe(9)
})

test('a body above the limit is refused before it is sent', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const before = broker.stats().requests
  await expect(producer.send({ topic: 'orders', body: Buffer.alloc(4_194_305) })).rejects.toMatchObject({
    code: 'MESSAGE_TOO_LARGE',
    retryable: false,
  })
  await expect(producer.send({ topic: 'orders', body: Buffer.alloc(4_194_304) })).resolves.toBeDefined()
  expect(broker.stats().requests).toEqual(before)
})

test('a cancelled delayed message is never delivered, and cancelling again is answered truthfully', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const later = await producer.send({ topic: 'timers', body: 'later', delayMs: 60_000 })
  expect(await producer.cancel(later)).toBe('cancelled')
  expect(await producer.cancel({ ...later })).not.toBe('fired')
  const soon = await producer.send({ topic: 'timers', body: 'soon', delayMs: 1 })
  const [message] = await readAll('timers', 1)
  expect(message?.text()).toBe('soon')
  expect(await producer.cancel(soon)).toBe('fired')
})

test('a one-way message arrives, also as the very first of a producer', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  producer.sendOneway({ topic: 'oneway', body: 'x' })
  await using pull = new PullConsumer({ nameServers: broker.address, group: 'reader' })
  await pull.start()
  await expect.poll(() => readAll('oneway', 1).catch(() => []), { timeout: 5_000 }).toHaveLength(1)
})

test('the operator sees topics, offsets, messages by id and by key, and moves a group', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  await using admin = new Admin({ nameServers: broker.address })
  await admin.start()
  await admin.createTopic('made', { queues: 2 })
  expect(await admin.topics()).toContain('made')
  const receipt = await producer.send({ topic: 'made', body: 'x', keys: 'k-1' })
  expect((await admin.queueOffsets('made')).map((queue) => queue.maxOffset).toSorted()).toEqual([0n, 1n])
  expect((await admin.messageById(receipt.offsetMessageId))?.text()).toBe('x')
  expect((await admin.messageById(receipt.messageId, 'made'))?.text()).toBe('x')
  expect((await admin.messagesByKey('made', 'k-1')).map((message) => message.messageId)).toEqual([receipt.messageId])
  expect(await admin.messagesByKey('made', 'k-2')).toEqual([])
  await using pull = new PullConsumer({ nameServers: broker.address, group: 'reader' })
  await pull.start()
  const queue = { topic: 'made', brokerName: receipt.brokerName, queueId: receipt.queueId }
  expect(await pull.committed(queue)).toBeUndefined()
  await pull.commit(queue, 1n)
  expect(await admin.committedOffset('reader', queue)).toBe(1n)
  await admin.resetOffset('reader', 'made', 'first')
  expect(await pull.committed(queue)).toBe(0n)
  await admin.deleteTopic('made')
  expect(await admin.topics()).not.toContain('made')
})

test('aborting the signal ends a reading loop without an error', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  await producer.sendAll([1, 2, 3].map((n) => ({ topic: 'some', body: `${n}` })))
  await using pull = new PullConsumer({ nameServers: broker.address, group: 'reader' })
  await pull.start()
  const ending = new AbortController()
  let count = 0
  for await (const _message of pull.messages('some', { from: 'first', signal: ending.signal })) {
    if (++count === 3) ending.abort()
  }
  expect(count).toBe(3)
})
