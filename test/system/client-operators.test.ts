import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, startBroker } from '@tandemmq/broker'
import { Admin, type ConsumedMessage, Producer, PushConsumer, ReconsumeLater } from '@tandemmq/client'
import { afterEach, beforeEach, expect, test } from 'vitest'

let directory: string
let broker: Broker
let admin: Admin

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-operators-'))
  broker = await startBroker({ dataDir: directory, port: 0, flush: 'async' })
  admin = new Admin({ nameServers: broker.address })
  await admin.start()
})

afterEach(async () => {
  await admin.close()
  await broker.close()
  await rm(directory, { recursive: true, force: true })
})

test('a group is created with settings, changed one by one, and forgotten', async () => {
  expect(await admin.groupSettings('stock')).toBeUndefined()
  await admin.createGroup('stock', { attemptsMax: 3, ordered: true })
  const created = { attemptsMax: 3, ordered: true, enabled: true, broadcast: true, retry: 'levels' }
  expect(await admin.groupSettings('stock')).toEqual(created)
  await admin.createGroup('stock', { enabled: false })
  expect(await admin.groupSettings('stock')).toEqual({ ...created, enabled: false })
  await admin.deleteGroup('stock')
  expect(await admin.groupSettings('stock')).toBeUndefined()
})

test.each([0, 1.5, -1])('a group of %d deliveries is refused', async (attemptsMax) => {
  await expect(admin.createGroup('stock', { attemptsMax })).rejects.toMatchObject({ code: 'INVALID_PARAMETER' })
  expect(await admin.groupSettings('stock')).toBeUndefined()
})

test('a group that is switched off gets nothing until it is switched on', async () => {
  await admin.createTopic('orders', { queues: 1 })
  await admin.createGroup('stock', { enabled: false })
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  await producer.send({ topic: 'orders', body: 'first' })
  const seen: string[] = []
  await using consumer = new PushConsumer({ nameServers: broker.address, group: 'stock', startFrom: 'first' })
  consumer.subscribe('orders', '*', (message) => void seen.push(message.text()))
  await consumer.start()
  // Another group has it by then.
  const others: string[] = []
  await using other = new PushConsumer({ nameServers: broker.address, group: 'audit', startFrom: 'first' })
  other.subscribe('orders', '*', (message) => void others.push(message.text()))
  await other.start()
  await expect.poll(() => others, { timeout: 5_000 }).toEqual(['first'])
  expect(seen).toEqual([])
  await admin.createGroup('stock', { enabled: true })
  await expect.poll(() => seen, { timeout: 15_000 }).toEqual(['first'])
})

test('brokers are listed with their addresses', async () => {
  const [one, ...others] = await admin.brokers()
  expect(others).toEqual([])
  expect(one?.address).toBe(broker.address)
})

test('a running consumer tells its queues and handles one message on request', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  await admin.createTopic('orders', { queues: 1 })
  const handled: ConsumedMessage[] = []
  await using consumer = new PushConsumer({
    nameServers: broker.address,
    group: 'stock',
    startFrom: 'first',
    clientId: 'c1',
  })
  consumer.subscribe('orders', { tags: ['a', 'b'] }, (message) => {
    handled.push(message)
    if (message.text() === 'later') throw new ReconsumeLater({ delayMs: 3_600_000 })
    if (message.text() === 'bad') throw new Error('cannot')
  })
  await consumer.start()
  for (const body of ['fine', 'later', 'bad']) await producer.send({ topic: 'orders', tag: 'a', body })
  await expect.poll(() => handled.length).toBe(3)

  const info = await admin.consumerInfo('stock', 'c1')
  expect(info?.subscriptions).toMatchObject({ orders: 'a || b' })
  expect(info?.queues.filter(({ topic }) => topic === 'orders').length).toBeGreaterThan(0)
  expect(await admin.consumerInfo('stock', 'c2')).toBeUndefined()

  const byText = new Map(handled.map((message) => [message.text(), message]))
  const direct = (text: string) => admin.consumeDirectly('stock', 'c1', byText.get(text) as ConsumedMessage)
  expect(await direct('fine')).toMatchObject({ result: 'success' })
  expect(await direct('later')).toMatchObject({ result: 'later' })
  expect((await direct('bad')).result).not.toBe('success')
  await expect(admin.consumeDirectly('stock', 'nobody', byText.get('fine') as ConsumedMessage)).rejects.toMatchObject({
    code: 'SYSTEM_ERROR',
  })
})

test('a unique message id that is not there is not taken for the address of a broker', async () => {
  await admin.createTopic('orders', { queues: 1 })
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const { messageId } = await producer.send({ topic: 'orders', body: 'here' })
  expect((await admin.messageById(messageId, 'orders'))?.text()).toBe('here')
  const other = `${messageId.slice(0, -4)}${messageId.endsWith('FFFF') ? '0000' : 'FFFF'}`
  expect(await admin.messageById(other, 'orders')).toBeUndefined()
  expect(await admin.messageById(other)).toBeUndefined()
})
