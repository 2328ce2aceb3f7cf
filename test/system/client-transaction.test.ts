import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, startBroker } from '@tandemmq/broker'
import {
  Admin,
  type ConsumedMessage,
  PushConsumer,
  type TransactionDecision,
  TransactionProducer,
} from '@tandemmq/client'
import { afterEach, beforeEach, expect, test } from 'vitest'

let directory: string
let broker: Broker
let consumer: PushConsumer
let seen: string[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-client-'))
  broker = await startBroker({
    dataDir: directory,
    port: 0,
    flush: 'async',
    transactionTimeoutMs: 100,
    transactionCheckIntervalMs: 100,
  })
  seen = []
  consumer = new PushConsumer({ nameServers: broker.address, group: 'g', startFrom: 'first' })
  consumer.subscribe('payments', '*', (message) => void seen.push(message.text()))
})

afterEach(async () => {
  await consumer.close()
  await broker.close()
  await rm(directory, { recursive: true, force: true })
})

async function producerWith(
  check: (message: ConsumedMessage) => TransactionDecision,
  clientId?: string,
): Promise<TransactionProducer> {
  const producer = new TransactionProducer({
    nameServers: broker.address,
    group: 'payments',
    check: async (message) => check(message),
    clientId,
  })
  await producer.start()
  return producer
}

const neverAsked = (): TransactionDecision => {
  throw new Error('asked')
}

test('a committed transaction is delivered and a rolled back one is not', async () => {
  await using producer = await producerWith(neverAsked)
  const committed = await producer.sendInTransaction({ topic: 'payments', body: 'yes' }, async () => 'commit')
  const rolledBack = await producer.sendInTransaction({ topic: 'payments', body: 'no' }, () => 'rollback')
  expect([committed.outcome, rolledBack.outcome]).toEqual(['committed', 'rolledBack'])
  await producer.send({ topic: 'payments', body: 'plain' })
  await consumer.start()
  await expect.poll(() => seen.toSorted()).toEqual(['plain', 'yes'])
})

test('what execute throws rolls back and is thrown on', async () => {
  await using producer = await producerWith(neverAsked)
  const failure = new Error('ledger down')
  await expect(
    producer.sendInTransaction({ topic: 'payments', body: 'no' }, () => Promise.reject(failure)),
  ).rejects.toBe(failure)
  expect(broker.stats().transactions).toMatchObject({ pending: 0, rolledBack: 1 })
})

test('a transaction without an end is decided by the check, which sees the message as it was sent', async () => {
  const asked: { keys: string[]; topic: string; body: string; region: string | undefined }[] = []
  await using producer = await producerWith(({ keys, topic, properties, ...rest }) => {
    void rest
    asked.push({ keys, topic, body: '', region: properties['region'] })
    return asked.length === 1 ? 'unknown' : 'commit'
  })
  await producer.prepare({ topic: 'payments', keys: ['p-1'], body: 'late', properties: { region: 'eu' } })
  await consumer.start()
  await expect.poll(() => seen, { timeout: 10_000 }).toEqual(['late'])
  expect(asked).toEqual([
    { keys: ['p-1'], topic: 'payments', body: '', region: 'eu' },
    { keys: ['p-1'], topic: 'payments', body: '', region: 'eu' },
  ])
})

test('another producer of the group is asked when the one that sent is gone, although it never sent anything', async () => {
  const first = await producerWith(neverAsked, 'first')
  await first.prepare({ topic: 'payments', body: 'orphan' })
  await first.close()
  await using _second = await producerWith(() => 'commit', 'second')
  await consumer.start()
  await expect.poll(() => seen, { timeout: 10_000 }).toEqual(['orphan'])
})

test.each([
  ['a', 'b'],
  ['b', 'a'],
])('two open transactions, each known to one of two producers only, find theirs: %s and %s', async (left, right) => {
  const sender = await producerWith(neverAsked, 'gone-soon')
  for (const body of ['a', 'b']) await sender.prepare({ topic: 'payments', body })
  await sender.close()
  const knows = (own: string) => (message: ConsumedMessage) =>
    message.text() === own ? ('commit' as const) : ('unknown' as const)
  await using _left = await producerWith(knows(left), 'left')
  await using _right = await producerWith(knows(right), 'right')
  await consumer.start()
  await expect.poll(() => seen.toSorted(), { timeout: 5_000 }).toEqual(['a', 'b'])
})

test('the first decision wins and the opposite one is told so', async () => {
  await using producer = await producerWith(() => 'unknown')
  const prepared = await producer.prepare({ topic: 'payments', body: 'x' })
  expect(await producer.end(prepared, 'rollback')).toBe('rolledBack')
  expect(await producer.end(prepared, 'rollback')).toBe('rolledBack')
  expect(await producer.end(prepared, 'commit')).toBe('rolledBack')
})

test('pendingOf names exactly the transactions that are not ended, and endMany ends them', async () => {
  await using producer = await producerWith(() => 'unknown')
  const prepared = await Promise.all(
    ['t-1', 't-2', 't-3'].map((transactionId) =>
      producer.prepare({ topic: 'payments', body: transactionId }, { transactionId, immunityMs: 60_000 }),
    ),
  )
  expect((await producer.pendingOf(['t-3', 't-1', 't-9'])).toSorted()).toEqual(['t-1', 't-3'])
  await using admin = new Admin({ nameServers: broker.address })
  await admin.start()
  expect((await admin.transactions()).map((one) => one.transactionId).toSorted()).toEqual(['t-1', 't-2', 't-3'])
  const ends = prepared.slice(1).map((one) => ({ prepared: one, decision: 'commit' as const }))
  expect(await producer.endMany(ends)).toEqual([
    { status: 'fulfilled', value: 'committed' },
    { status: 'fulfilled', value: 'committed' },
  ])
  expect(await producer.pendingOf(['t-1', 't-2', 't-3'])).toEqual(['t-1'])
})

test('a repeated prepare with the same message id is the same half message', async () => {
  await using producer = await producerWith(() => 'unknown')
  const first = await producer.prepare({ topic: 'payments', body: 'x', messageId: 'A'.repeat(32) })
  const again = await producer.prepare({ topic: 'payments', body: 'x', messageId: 'A'.repeat(32) })
  expect(again).toEqual({ ...first, duplicate: true })
  expect(broker.stats().transactions.pending).toBe(1)
})

const DOMAIN = 'TANDEM_DOMAIN'

test('transactions of a database are asked of whoever announced it, many at once, and of no other producer of the group', async () => {
  const sender = await producerWith(neverAsked, 'sender')
  for (const n of [0, 1, 2, 3]) {
    const transactionId = `t-${n >> 1}`
    await sender.prepare({ topic: 'payments', body: `m${n}`, properties: { [DOMAIN]: 'db1' } }, { transactionId })
  }
  await sender.close()
  await using stranger = await producerWith(neverAsked, 'stranger')
  stranger.answerFor('db2', async () => [neverAsked()])
  await expect.poll(() => broker.stats().transactions.checksUnanswerable).toBeGreaterThanOrEqual(4)
  expect(broker.stats().transactions).toMatchObject({ checksSent: 0, pending: 4 })
  const asked: (readonly string[])[] = []
  const check = async (): Promise<TransactionDecision> => neverAsked()
  await using resolver = new TransactionProducer({ nameServers: broker.address, group: 'resolvers', check })
  resolver.answerFor('db1', async (ids) => {
    asked.push(ids)
    return ids.map((id) => (id === 't-0' ? 'commit' : 'rollback'))
  })
  await resolver.start()
  await consumer.start()
  await expect.poll(() => seen.toSorted(), { timeout: 10_000 }).toEqual(['m0', 'm1'])
  await expect.poll(() => broker.stats().transactions.pending).toBe(0)
  expect(asked).toEqual([['t-0', 't-1']])
  expect(broker.stats().transactions).toMatchObject({
    committed: 2,
    rolledBack: 2,
    checkRequests: 1,
    checksAnswered: 4,
  })
})

test('many ends are one request, each with the outcome that holds', async () => {
  await using producer = await producerWith(() => 'unknown')
  const halves = await Promise.all(
    Array.from({ length: 5 }, (_, n) => producer.prepare({ topic: 'payments', body: `m${n}` }, { immunityMs: 60_000 })),
  )
  await producer.end(halves[0]!, 'rollback')
  const nowhere = { ...halves[0]!, physicalOffset: 999_999_999n }
  const ends = [...halves, nowhere].map((prepared) => ({ prepared, decision: 'commit' as const }))
  const results = await producer.endMany(ends)
  expect(results.map((result) => result.status === 'fulfilled' && result.value)).toEqual([
    'rolledBack',
    ...Array.from({ length: 4 }, () => 'committed'),
    'unknown',
  ])
  expect(broker.stats().transactions).toMatchObject({ conflicts: 1, commitsAfterRollback: 1, unknownEnds: 1 })
})
