import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { Producer, PushConsumer, ReconsumeLater, TransactionProducer } from '@tandemmq/client'
import type { ConsumedMessage, Filter } from '@tandemmq/client'
import { afterEach, expect, test } from 'vitest'
import { startTestBroker } from './test-broker.ts'
import type { TestBroker } from './test-broker.ts'

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end()
})

async function started(options?: Parameters<typeof startTestBroker>[0]): Promise<TestBroker> {
  const broker = await startTestBroker(options)
  endings.push(() => broker.close())
  return broker
}

async function listen(
  broker: TestBroker,
  topic: string,
  handler: (message: ConsumedMessage) => unknown,
  filter: Filter = '*',
): Promise<PushConsumer> {
  const consumer = new PushConsumer({
    nameServers: broker.address,
    group: `${topic}-listener`,
    startFrom: 'first',
    commitIntervalMs: 5,
    rebalanceIntervalMs: 20,
  })
  consumer.subscribe(topic, filter, handler)
  await consumer.start()
  endings.push(() => consumer.close())
  return consumer
}

test('what was delivered is found with tag, keys and parsed body, in the order of storing', async () => {
  const broker = await started()
  await broker.deliver('orders', { id: 'o-1' }, { tag: 'created', keys: ['o-1', 'c-7'] })
  await broker.deliver('orders', 'plain words')
  const [first, second, ...others] = broker.sent('orders')
  expect(first).toMatchObject({ body: { id: 'o-1' }, tag: 'created', keys: ['o-1', 'c-7'] })
  expect(second).toMatchObject({ body: 'plain words', tag: '', keys: [] })
  expect(others).toEqual([])
  expect(broker.sent('nobody-sent-here')).toEqual([])
})

test('settled waits for handlers that run and for what they send', async () => {
  const broker = await started()
  const producer = new Producer({ nameServers: broker.address, group: 'chain' })
  await producer.start()
  endings.push(() => producer.close())
  const finished: string[] = []
  await listen(broker, 'orders', async (message) => {
    await new Promise((resolve) => setImmediate(resolve))
    await producer.send({ topic: 'invoices', body: `invoice of ${message.text()}` })
    finished.push(message.text())
  })
  await listen(broker, 'invoices', (message) => void finished.push(message.text()))
  for (const id of ['o-1', 'o-2', 'o-3']) await broker.deliver('orders', id)
  await broker.settled()
  expect(finished.toSorted()).toEqual(['invoice of o-1', 'invoice of o-2', 'invoice of o-3', 'o-1', 'o-2', 'o-3'])
})

test.each<[Filter]>([[{ tags: ['paid'] }], [{ sql: "TAGS = 'paid'" }]])(
  'settled does not wait for what nobody gets: filter %j',
  async (filter) => {
    const broker = await started({ clock: 'virtual' })
    const finished: string[] = []
    await listen(broker, 'orders', (message) => void finished.push(message.text()), filter)
    await broker.deliver('orders', 'o-1', { tag: 'paid' })
    await broker.settled()
    for (const id of ['o-2', 'o-3', 'o-4', 'o-5']) await broker.deliver('orders', id, { tag: 'placed' })
    await broker.settled()
    await broker.deliver('orders', 'o-6', { tag: 'paid' })
    await broker.settled()
    expect(finished).toEqual(['o-1', 'o-6'])
  },
)

test('settled gives up with the name of what is not finished', async () => {
  const broker = await started()
  let release = (): void => {}
  let begun = (): void => {}
  const running = new Promise<void>((resolve) => (begun = resolve))
  await listen(broker, 'orders', () => {
    begun()
    return new Promise<void>((resolve) => (release = resolve))
  })
  await broker.deliver('orders', 'o-1')
  await running
  const waiting = broker.settled({ timeoutMs: 50 })
  await expect(waiting).rejects.toThrow(/REQUEST_TIMEOUT.*orders-listener.*orders/)
  release()
  await broker.settled()
})

test('a delayed message stays away until its time was let pass, not a millisecond earlier', async () => {
  const broker = await started({ clock: 'virtual' })
  await broker.deliver('orders', 'later', { delayMs: 30_000 })
  await broker.advance(29_999)
  expect(broker.sent('orders')).toEqual([])
  await broker.advance(1)
  expect(broker.sent('orders')).toMatchObject([{ body: 'later' }])
})

test('a retry happens when its time was let pass', async () => {
  const broker = await started({ clock: 'virtual' })
  const attempts: number[] = []
  await listen(broker, 'orders', (message) => {
    attempts.push(message.attempt)
    if (message.attempt < 3) throw new ReconsumeLater({ delayMs: 60_000 })
  })
  await broker.deliver('orders', 'o-1')
  await broker.settled()
  expect(attempts).toEqual([1])
  await broker.advance(60_000)
  await broker.settled()
  expect(attempts).toEqual([1, 2])
  await broker.advance(60_000)
  await broker.settled()
  expect(attempts).toEqual([1, 2, 3])
})

test('a check-back happens when its time was let pass', async () => {
  const broker = await started({ clock: 'virtual', transactionTimeoutMs: 6_000 })
  let asked = (): void => {}
  const question = new Promise<void>((resolve) => (asked = resolve))
  const producer = new TransactionProducer({
    nameServers: broker.address,
    group: 'payments',
    check: async () => {
      asked()
      return 'commit' as const
    },
  })
  await producer.start()
  endings.push(() => producer.close())
  await producer.sendInTransaction({ topic: 'payments', body: 'p-1' }, async () => 'unknown' as const)
  expect(broker.sent('payments')).toEqual([])
  await broker.advance(6_000)
  await question
  await broker.settled()
  expect(broker.sent('payments')).toMatchObject([{ body: 'p-1' }])
})

test('an undecided transaction is not settled', async () => {
  const broker = await started({ clock: 'virtual' })
  const producer = new TransactionProducer({
    nameServers: broker.address,
    group: 'payments',
    check: async () => 'unknown' as const,
  })
  await producer.start()
  endings.push(() => producer.close())
  await producer.sendInTransaction({ topic: 'payments', body: 'p-1' }, async () => 'unknown' as const)
  await expect(broker.settled({ timeoutMs: 50 })).rejects.toThrow('1 half messages')
})

test('time cannot be moved under the clock of the machine', async () => {
  const broker = await started()
  await expect(broker.advance(1)).rejects.toThrow("clock: 'virtual'")
})

test('a temporary directory is gone after close', async () => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith('tandemmq-test-'))
  const broker = await startTestBroker({ storage: 'temporary' })
  const [directory = ''] = readdirSync(tmpdir()).filter(
    (name) => name.startsWith('tandemmq-test-') && !before.includes(name),
  )
  expect(directory).not.toBe('')
  await broker.deliver('orders', 'o-1')
  await broker.close()
  await broker.close()
  expect(existsSync(`${tmpdir()}/${directory}`)).toBe(false)
})

test('an option of the broker reaches it, a wrong one is refused', async () => {
  const broker = await started({ autoCreateTopic: false })
  await expect(broker.deliver('orders', 'o-1')).rejects.toMatchObject({ retryable: expect.any(Boolean) })
  await expect(startTestBroker({ messageBytesMax: -1 })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
})
