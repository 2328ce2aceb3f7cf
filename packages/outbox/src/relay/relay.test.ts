import type pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { databaseWithTables } from '../database/database-test-kit.ts'
import { newTransactionId } from '../database/transaction-id.ts'
import { FakeBroker } from '../fake-broker-test-kit.ts'
import type { OutgoingMessage } from '../foundation.ts'
import { systemClock } from '../foundation.ts'
import { recordMessage } from '../message.ts'
import { OutboxError } from '../outbox-error.ts'
import { Schema } from '../schema/schema.ts'
import { silentLogger } from '../silent-logger.ts'
import { CircuitBreakers } from './circuit-breakers.ts'
import { DeadMessages } from './dead-messages.ts'
import { hasRowsOf, insertRows } from './outbox-rows.ts'
import { OutboxTable } from './outbox-table.ts'
import { Relay } from './relay.ts'

const schema = new Schema('tandem')

let pool: pg.Pool
const closers: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  const db = await databaseWithTables()
  pool = db.pool
  closers.push(() => db.close())
})
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

interface Draft {
  body: string
  orderBy?: string
  topic?: string
}

/** A committed transaction with these messages. @returns its key */
async function write(...drafts: Draft[]): Promise<string> {
  const client = await pool.connect()
  const id = newTransactionId(systemClock)
  const messages = drafts.map((draft, n) => recordMessage({ topic: 'orders', ...draft }, n))
  await client.query('begin')
  await insertRows(client, schema, id, messages, 0)
  await client.query('commit')
  client.release()
  return id
}

type Send = (message: OutgoingMessage) => Promise<unknown>
const anomalies: string[] = []

function relay(send: Send, options: { attemptsMax?: number } = {}): Relay {
  const sender = { ...new FakeBroker().sender(), send }
  const breakers = new CircuitBreakers({ clock: systemClock })
  const made = new Relay({
    ...{ pool, schema, sender, breakers, logger: silentLogger, attemptsMax: 20, intervalMs: 5 },
    ...options,
    clock: systemClock,
    onAnomaly: (text) => void anomalies.push(text),
  })
  made.start()
  closers.push(() => made.close())
  return made
}

const count = async (table: string): Promise<number> =>
  Number((await pool.query(`select count(*) from ${table}`)).rows[0].count)
const drained = (): Promise<void> => expect.poll(() => count(schema.outbox), { timeout: 20_000 }).toBe(0)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const busy = (): OutboxError => new OutboxError('SYSTEM_ERROR', 'not now', { retryable: true })

test('two relays never reorder a key, though sends fail and keys are many and long', async () => {
  const keys = Array.from({ length: 30 }, (_, key) => `k${key}`)
  const expected = new Map<string, string[]>(keys.map((key) => [key, []]))
  for (let n = 0; n < 40; n++) {
    await write(...keys.map((key) => ({ body: `${key} ${n}`, orderBy: key })), { body: `free ${n}` })
    for (const key of keys) expected.get(key)?.push(`${key} ${n}`)
  }
  const got = new Map<string, string[]>()
  let sends = 0
  const send: Send = async (message) => {
    const text = String(message.body)
    if (++sends % 97 === 0) throw busy()
    for (let turns = sends % 5; turns > 0; turns--) await turn()
    const key = message.orderBy ?? 'free'
    got.set(key, [...(got.get(key) ?? []), text])
  }
  relay(send)
  relay(send)
  await drained()
  for (const key of keys) expect(got.get(key)).toEqual(expected.get(key))
  expect(got.get('free')).toHaveLength(40)
})

test('a key whose first message fails waits behind it, other keys and messages without one pass', async () => {
  await write(
    { body: 'a1', orderBy: 'a' },
    { body: 'a2', orderBy: 'a' },
    { body: 'b1', orderBy: 'b' },
    { body: 'free' },
  )
  let broken = true
  const got: string[] = []
  relay(async ({ body }) => {
    if (broken && String(body) === 'a1') throw busy()
    got.push(String(body))
  })
  await expect.poll(() => got.toSorted()).toEqual(['b1', 'free'])
  broken = false
  await drained()
  expect(got.slice(2)).toEqual(['a1', 'a2'])
})

test('keys in other hands are passed by, however many they are', async () => {
  await write(...Array.from({ length: 255 }, (_, n) => ({ body: `x${n}`, orderBy: `k${100 + n}` })))
  const mine = new OutboxTable(pool, schema, 30_000)
  const other = new OutboxTable(pool, schema, 30_000)
  const held = await other.claimRuns(1_000)
  expect(held).toHaveLength(250)
  const claim = async () => (await mine.claimRuns(3)).map((row) => row.group_key)
  expect([await claim(), await claim()]).toEqual([
    ['k350', 'k351', 'k352'],
    ['k353', 'k354'],
  ])
  expect(await claim()).toEqual([])
})

test('keys whose first message is of a topic that waits are passed by, and one of them is the probe', async () => {
  const of = (topic: string) => (n: number) => ({ body: `${topic}${n}`, topic, orderBy: `k${topic}${100 + n}` })
  await write(...Array.from({ length: 260 }, (_, n) => of('away')(n)), of('near')(1), { body: 'free', topic: 'away' })
  await write({ body: 'behind', topic: 'near', orderBy: 'kaway100' })
  const table = new OutboxTable(pool, schema, 30_000)
  const bodies = (rows: { body: Buffer }[]): string[] => rows.map(({ body }) => String(body))
  expect(bodies(await table.claimRuns(1_000, { except: ['away'] }))).toEqual(['near1'])
  expect(await table.claimFree(1_000, { except: ['away'] })).toEqual([])
  expect(bodies(await table.claimFree(1, { only: ['away'] }))).toEqual(['free'])
  expect(bodies(await table.claimRuns(1, { only: ['away'] }))).toEqual(['away0'])
  expect(await table.claimRuns(1, { only: ['other'] })).toEqual([])
})

test('a run is claimed from the first row of its key without a gap, or not at all', async () => {
  await write(...Array.from({ length: 6 }, (_, n) => ({ body: `x${n}`, orderBy: 'k' })))
  await pool.query(`update ${schema.outbox} set lease_until = clock_timestamp() + interval '1 minute' where n = 3`)
  const table = new OutboxTable(pool, schema, 30_000)
  expect((await table.claimRuns(1_000)).map((row) => row.n)).toEqual([0, 1, 2])
  expect(await table.claimRuns(1_000)).toEqual([])
  await pool.query(`update ${schema.outbox} set lease_until = null where n > 0`)
  expect(await table.claimRuns(1_000)).toEqual([])
})

test('a claim is bounded by bytes, not only by rows', async () => {
  const body = 'x'.repeat(1_500_000)
  await write(...Array.from({ length: 5 }, (_, n) => ({ body, ...(n > 2 ? {} : { orderBy: 'k' }) })))
  await write({ body, orderBy: 'k' }, { body })
  const table = new OutboxTable(pool, schema, 30_000)
  expect(await table.claimRuns(1_000)).toHaveLength(3)
  expect(await table.claimFree(1_000)).toHaveLength(3)
})

test('the claim of messages without a key starts over for what was committed behind it', async () => {
  const late = await pool.connect()
  await late.query('begin')
  await insertRows(late, schema, newTransactionId(systemClock), [recordMessage({ topic: 't', body: 'late' }, 0)], 0)
  await write({ body: 'early' })
  const table = new OutboxTable(pool, schema, 30_000)
  expect((await table.claimFree(10)).map((row) => String(row.body))).toEqual(['early'])
  await late.query('commit')
  late.release()
  expect((await table.claimFree(10)).map((row) => String(row.body))).toEqual(['late'])
})

test('a message answered with errors goes to the dead table with its history; requeued it keeps its place', async () => {
  const id = await write({ body: 'a1', orderBy: 'a' }, { body: 'a2', orderBy: 'a' })
  let broken = true
  const got: string[] = []
  const before = anomalies.length
  const first = relay(
    async ({ body }) => {
      if (broken && String(body) === 'a1') throw busy()
      got.push(String(body))
    },
    { attemptsMax: 2 },
  )
  await drained()
  expect(got).toEqual(['a2'])
  expect(anomalies.slice(before)).toEqual([expect.stringContaining(`${id}:0 to orders moved to`)])
  const dead = new DeadMessages({ database: pool })
  const [message] = await dead.list()
  expect(message).toMatchObject({ key: `${id}:0`, groupKey: 'a', attempts: 2, bodyBytes: 2 })
  expect(message?.history).toEqual([0, 1].map(() => expect.stringMatching(/^20.*Z .*not now$/)))
  await first.close()
  await write({ body: 'a3', orderBy: 'a' })
  expect(await dead.requeue(['12345678'])).toBe(0)
  expect(await dead.requeue([message?.id ?? ''])).toBe(1)
  broken = false
  relay(async ({ body }) => void got.push(String(body)))
  await drained()
  expect(got).toEqual(['a2', 'a1', 'a3'])
  expect(await dead.list()).toEqual([])
})

test('what the broker refuses for ever is dead at once, and the next of its key follows', async () => {
  await write({ body: 'a1', orderBy: 'a' }, { body: 'a2', orderBy: 'a' })
  const got: string[] = []
  relay(async ({ body }) => {
    if (String(body) === 'a1') throw new OutboxError('MESSAGE_ILLEGAL', 'no')
    got.push(String(body))
  })
  await drained()
  expect(got).toEqual(['a2'])
  expect(await new DeadMessages({ database: pool }).list()).toMatchObject([{ reason: expect.stringContaining('no') }])
})

test.each(['CONNECT_FAILED', 'ROUTE_NOT_FOUND'] as const)(
  'an outage (%s) costs no message its attempts, however long it takes',
  async (code) => {
    await write({ body: 'a1', orderBy: 'a' }, { body: 'free' })
    let failures = 0
    const got: string[] = []
    relay(
      async ({ body }) => {
        if (failures++ < 4) throw new OutboxError(code, 'away')
        got.push(String(body))
      },
      { attemptsMax: 1 },
    )
    await drained()
    expect(got.toSorted()).toEqual(['a1', 'free'])
    expect(await count(schema.outboxDead)).toBe(0)
  },
)

test('a relay that died after sending repeats the message under the same dedup key', async () => {
  const id = await write({ body: 'a1', orderBy: 'a' }, { body: 'free' })
  const dying = new OutboxTable(pool, schema, 50)
  expect(await dying.claimFree(10)).toHaveLength(1)
  expect(await dying.claimRuns(10)).toHaveLength(1)
  const keys: (string | undefined)[] = []
  relay(async ({ dedupKey }) => void keys.push(dedupKey))
  await drained()
  expect(keys.toSorted()).toEqual([`${id}:0:f`, `${id}:1:f`])
})

test('a transaction that asks for rows of a key waits for the one that is just writing some', async () => {
  const [writer, asker] = [await pool.connect(), await pool.connect()]
  const key = "o'\\1"
  await writer.query('begin')
  const message = recordMessage({ topic: 'orders', body: 'first', orderBy: key }, 0)
  await insertRows(writer, schema, newTransactionId(systemClock), [message], 0)
  await asker.query('begin')
  let answered = false
  const asking = hasRowsOf(asker, schema, ['other', key]).finally(() => (answered = true))
  await expect.poll(() => blocked()).toBe(1)
  expect(answered).toBe(false)
  await writer.query('commit')
  expect(await asking).toBe(true)
  await asker.query('commit')
  for (const client of [writer, asker]) client.release()
})

const blocked = async (): Promise<number> =>
  (await pool.query(`select from pg_locks where locktype = 'advisory' and not granted`)).rowCount ?? 0

test('an empty table gives its disk space back, though somebody holds an old snapshot; one with a row keeps it', async () => {
  const bytes = async (): Promise<number> =>
    Number((await pool.query(`select pg_total_relation_size('${schema.outbox}') as bytes`)).rows[0].bytes)
  const table = new OutboxTable(pool, schema, 30_000)
  await write(...Array.from({ length: 12_000 }, (_, n) => ({ body: `x${n}`, orderBy: `key ${n}` })))
  const old = await pool.connect()
  await old.query('begin isolation level repeatable read; select 1 from pg_class')
  expect(await table.truncateEmpty()).toBe(false)
  expect(await bytes()).toBeGreaterThan(1_000_000)
  relay(async () => {})
  await drained()
  await expect.poll(bytes, { timeout: 10_000 }).toBeLessThan(100_000)
  await old.query('rollback')
  const writer = await pool.connect()
  await writer.query(`begin; lock table ${schema.outbox} in row exclusive mode`)
  expect(await table.truncateEmpty()).toBe(false)
  await writer.query('rollback')
  for (const client of [old, writer]) client.release()
})
