import { decodeCheckAnswers, EndReader, EndResult, RequestCode, TandemRequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, type World, world } from '../../../../test/kit/fake-broker.ts'
import type { CheckAnswer } from '../index.ts'
import type { PreparedMessage } from '../message/prepared-message.ts'
import { TransactionProducer } from './transaction-producer.ts'

let w: World
let fake: FakeBroker

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  await w.clock.run(fake.start())
})

const producer = (): TransactionProducer =>
  new TransactionProducer({ ...w, nameServers: fake.address, group: 'p', check: async () => 'unknown' })

const prepared = (n: number, brokerName = 'b'): PreparedMessage => ({
  ...{ messageId: `m${n}`, transactionId: `t${n}`, topic: 't', brokerName, duplicate: false },
  ...{ queueOffset: BigInt(n), physicalOffset: BigInt(1_000 + n) },
})

const endsIn = (body: Buffer): [number, number, number][] => {
  const reader = new EndReader(body, 0, body.length)
  return Array.from({ length: reader.count }, (_, n) => {
    reader.read(n)
    return [reader.physicalOffset, reader.queueOffset, reader.decision]
  })
}

test('the ends of a broker are one request, their outcomes one answer, in the order of the input', async () => {
  const other = new FakeBroker(w, 'other', 9877)
  await w.clock.run(other.start())
  fake.routes = { b: fake.address, other: other.address }
  const { committed, rolledBack, unknown, CONFLICT } = EndResult
  fake.on(TandemRequestCode.END_TRANSACTIONS, () => ({ code: 0, body: Buffer.of(committed, rolledBack | CONFLICT) }))
  other.on(TandemRequestCode.END_TRANSACTIONS, () => ({ code: 0, body: Buffer.of(unknown, EndResult.pending) }))
  const one = producer()
  await w.clock.run(one.start())
  const ends = [prepared(1), prepared(2, 'other'), prepared(3), prepared(4, 'other')]
  const results = await w.clock.run(
    one.endMany(ends.map((half, n) => ({ prepared: half, decision: n === 3 ? 'rollback' : 'commit' }))),
  )
  expect(results.map((result) => result.status === 'fulfilled' && result.value)).toEqual([
    'committed',
    'unknown',
    'rolledBack',
    'pending',
  ])
  const asked = [fake, other].map((broker) => broker.asked(TandemRequestCode.END_TRANSACTIONS))
  expect(asked.map(([request]) => endsIn(request!.body))).toEqual([
    [
      [1_001, 1, 8],
      [1_003, 3, 8],
    ],
    [
      [1_002, 2, 8],
      [1_004, 4, 12],
    ],
  ])
  expect(asked.map((requests) => requests.length)).toEqual([1, 1])
  expect(asked[0]?.[0]?.extFields).toMatchObject({ producerGroup: 'p' })
  expect(fake.asked(RequestCode.END_TRANSACTION)).toEqual([])
})

test('a broker that knows no batched ends is asked once per connection, and gets them one by one', async () => {
  fake.on(TandemRequestCode.END_TRANSACTIONS, () => ({ code: 3, remark: ' request type 9111 not supported' }))
  fake.on(RequestCode.END_TRANSACTION, () => ({ code: 0 }))
  const one = producer()
  await w.clock.run(one.start())
  const ends = [prepared(1), prepared(2)].map((half) => ({ prepared: half, decision: 'commit' as const }))
  const fulfilled = [
    { status: 'fulfilled', value: 'committed' },
    { status: 'fulfilled', value: 'committed' },
  ]
  expect(await w.clock.run(one.endMany(ends))).toEqual(fulfilled)
  expect(await w.clock.run(one.endMany(ends))).toEqual(fulfilled)
  expect(fake.asked(TandemRequestCode.END_TRANSACTIONS)).toHaveLength(1)
  expect(fake.asked(RequestCode.END_TRANSACTION)).toHaveLength(4)
  for (const connection of fake.connections) connection.destroy()
  await w.clock.advance(1_000)
  expect(await w.clock.run(one.endMany(ends))).toEqual(fulfilled)
  expect(fake.asked(TandemRequestCode.END_TRANSACTIONS)).toHaveLength(2)
})

test('one by one, those of one transaction wait for one another, and others do not wait for them', async () => {
  fake.on(TandemRequestCode.END_TRANSACTIONS, () => ({ code: 3 }))
  let isSilent = true
  fake.on(RequestCode.END_TRANSACTION, ({ extFields }) =>
    isSilent && extFields['commitLogOffset'] === '1001' ? undefined : { code: 0 },
  )
  const one = producer()
  await w.clock.run(one.start())
  const of = (n: number, transactionId: string) => ({
    prepared: { ...prepared(n), transactionId },
    decision: 'commit' as const,
  })
  const ends = [of(1, 'a'), of(2, 'b'), of(3, 'a'), of(4, 'a'), of(5, 'b')]
  const asked = (): unknown[] =>
    fake.asked(RequestCode.END_TRANSACTION).map(({ extFields }) => Number(extFields['commitLogOffset']) - 1_000)
  const results = await w.clock.run(one.endMany(ends))
  expect(asked()).toEqual([1, 2, 5])
  expect(results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.code))).toEqual([
    'REQUEST_TIMEOUT',
    'committed',
    'REQUEST_TIMEOUT',
    'REQUEST_TIMEOUT',
    'committed',
  ])
  isSilent = false
  expect((await w.clock.run(one.endMany(ends))).every(({ status }) => status === 'fulfilled')).toBe(true)
  const order = asked().slice(3)
  expect([1, 3, 4].map((n) => order.indexOf(n))).toEqual([1, 3, 4].map((n) => order.indexOf(n)).toSorted())
  expect(order).toHaveLength(5)
})

test('when a broker does not answer, its ends are rejected and those of the others are not', async () => {
  const silent = new FakeBroker(w, 'silent', 9877)
  await w.clock.run(silent.start())
  fake.routes = { b: fake.address, silent: silent.address }
  fake.on(TandemRequestCode.END_TRANSACTIONS, () => ({ code: 0, body: Buffer.of(1, 1) }))
  const one = producer()
  await w.clock.run(one.start())
  const ends = [prepared(1), prepared(2, 'silent'), prepared(3), prepared(4, 'silent'), prepared(5, 'nowhere')]
  const results = await w.clock.run(one.endMany(ends.map((half) => ({ prepared: half, decision: 'commit' }))))
  expect(results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.code))).toEqual([
    'committed',
    'REQUEST_TIMEOUT',
    'committed',
    'REQUEST_TIMEOUT',
    'ROUTE_NOT_FOUND',
  ])
})

test('an answer with another number of outcomes is an error, never a guess', async () => {
  fake.on(TandemRequestCode.END_TRANSACTIONS, () => ({ code: 0, body: Buffer.of(1) }))
  const one = producer()
  await w.clock.run(one.start())
  const ends = [prepared(1), prepared(2)].map((half) => ({ prepared: half, decision: 'commit' as const }))
  for (const result of await w.clock.run(one.endMany(ends))) {
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'SYSTEM_ERROR' } })
  }
})

const heartbeats = (): unknown[] =>
  fake.asked(RequestCode.HEART_BEAT).map(({ body }) => JSON.parse(body.toString()).transactionDomains)

test('domains are announced with the first heartbeat, and at once when one is added later', async () => {
  const one = producer()
  one.answerFor('db1', async () => [])
  await w.clock.run(one.start())
  expect(heartbeats().every((domains) => JSON.stringify(domains) === '["db1"]')).toBe(true)
  one.answerFor('db2', async () => [])
  await w.clock.advance(10)
  expect(heartbeats().at(-1)).toEqual(['db1', 'db2'])
})

async function check(domain: string, transactionIds: string[]): Promise<CheckAnswer[]> {
  const [connection] = fake.connections
  const body = Buffer.from(JSON.stringify({ domain, transactionIds }))
  const answer = await w.clock.run(connection!.request({ code: TandemRequestCode.CHECK_TRANSACTIONS, body }, 5_000))
  expect(answer.code).toBe(0)
  return decodeCheckAnswers(JSON.parse(answer.body.toString()).answers, transactionIds.length)
}

test('a batched check is answered by the check of its domain; of a domain nobody here knows it is not mine', async () => {
  const one = producer()
  const asked: (readonly string[])[] = []
  one.answerFor('db1', async (ids) => {
    asked.push(ids)
    return ids.map((id) => (id === 'a' ? 'commit' : 'rollback'))
  })
  await w.clock.run(one.start())
  expect(await check('db1', ['a', 'b'])).toEqual(['commit', 'rollback'])
  expect(await check('db2', ['a'])).toEqual(['notMine'])
  expect(asked).toEqual([['a', 'b']])
})

test('a check that throws, or gives another number of answers, says unknown about all', async () => {
  const one = producer()
  one.answerFor('down', () => Promise.reject(new Error('database down')))
  one.answerFor('odd', async () => ['commit'])
  await w.clock.run(one.start())
  expect(await check('down', ['a', 'b'])).toEqual(['unknown', 'unknown'])
  expect(await check('odd', ['a', 'b'])).toEqual(['unknown', 'unknown'])
})

test('a domain without a name and a check that is no function are refused', () => {
  const one = producer()
  expect(() => one.answerFor('', async () => [])).toThrow('OPTION_INVALID')
  expect(() => one.answerFor('d'.repeat(256), async () => [])).toThrow('OPTION_INVALID')
  expect(() => one.answerFor('db1', 7 as never)).toThrow('OPTION_INVALID')
})

test('a producer that never sends is known to a broker that starts after it', async () => {
  await w.clock.run(fake.close())
  const one = producer()
  one.answerFor('db1', async () => [])
  await w.clock.run(one.start())
  await w.clock.advance(60_000)
  const late = new FakeBroker(w)
  await w.clock.run(late.start())
  await w.clock.advance(8_000)
  expect(JSON.parse(late.asked(RequestCode.HEART_BEAT)[0]!.body.toString()).transactionDomains).toEqual(['db1'])
  await w.clock.run(one.close())
})

test('name servers that name no broker yet are asked again until they do', async () => {
  fake.routes = {}
  const one = producer()
  await w.clock.run(one.start())
  await w.clock.advance(3_000)
  expect(fake.asked(RequestCode.HEART_BEAT)).toEqual([])
  fake.routes = { b: fake.address }
  await w.clock.advance(8_000)
  expect(fake.asked(RequestCode.HEART_BEAT).length).toBeGreaterThan(0)
})
