import pg from 'pg'
import { startTestDatabase } from '@tandemmq/testing/database'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { poolOf } from '../database/database-test-kit.ts'
import { firstIdAt, newTransactionId } from '../database/transaction-id.ts'
import { FakeBroker } from '../fake-broker-test-kit.ts'
import { systemClock } from '../foundation.ts'
import { Outbox } from '../outbox.ts'
import type { InboxMessage } from './inbox-key.ts'
import { Inbox } from './inbox.ts'
import type { InboxOptions } from './inbox.ts'

const DAY_MS = 86_400_000

async function prepare(url: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url })
  await new Inbox({ database: pool, group: 'billing' }).migrate()
  await pool.query('create table invoices (id serial, note text)')
  await pool.end()
}

let pool: pg.Pool
let url: string
const closers: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  const db = await startTestDatabase({ prepare })
  url = db.url
  pool = poolOf(url)
  closers.push(
    () => db.close(),
    () => pool.end(),
  )
})
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

const effects: string[] = []
beforeEach(() => void effects.splice(0))
type Options = Partial<InboxOptions<pg.Pool>>
const inboxOf = (options: Options = {}) => new Inbox({ database: pool, group: 'billing', ...options })
const handlerOf = (options: Options = {}) =>
  inboxOf(options).handler((message, trx) => {
    effects.push(message.messageId)
    return trx.query('insert into invoices (note) values ($1)', [message.messageId])
  })
const keyed = (messageId: string, atMs: number, storedAtMs = atMs): InboxMessage => ({
  messageId,
  properties: { DEDUP_KEY: `${firstIdAt(atMs)}:0` },
  storedAt: new Date(storedAtMs),
})
const count = async (table: string): Promise<number> => {
  const { rows } = await pool.query(`select count(*) from ${table === 'invoices' ? '' : 'tandem.'}${table}`)
  return Number(rows[0].count)
}
const partitions = async (): Promise<string[]> =>
  (
    await pool.query(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'tandem.inbox'::regclass`,
    )
  ).rows
    .map((row) => String(row.name).replace('tandem.', ''))
    .toSorted()
const nameOf = (atMs: number): string => `inbox_${new Date(atMs).toISOString().slice(0, 10).replaceAll('-', '')}`

test('the first message makes the partitions of today and the next two days, and lands in one', async () => {
  const now = Date.now()
  await handlerOf()(keyed('m', now))
  expect(await partitions()).toEqual([0, 1, 2].map((day) => nameOf(now + day * DAY_MS)).concat('inbox_default'))
  expect([await count(nameOf(now)), await count('inbox_default')]).toEqual([1, 0])
})

test('what was seen before its partition existed moves into it and stays seen', async () => {
  const now = Date.now()
  const message = keyed('early', now)
  await pool.query(`insert into tandem.inbox_group (name) values ('billing')`)
  await pool.query(`insert into tandem.inbox values (1, '${firstIdAt(now)}', 0)`)
  expect(await count('inbox_default')).toBe(1)
  await handlerOf()(message)
  expect(effects).toEqual([])
  expect([await count(nameOf(now)), await count('inbox_default')]).toEqual([1, 0])
})

test('consumers that start at once neither fail nor handle a message twice while partitions are made', async () => {
  const now = Date.now()
  const messages = Array.from({ length: 40 }, (_, n) => keyed(`m${n}`, now - n))
  const handlers = Array.from({ length: 4 }, () => handlerOf())
  await Promise.all(handlers.flatMap((handle) => messages.map((message) => handle(message))))
  expect(await count('invoices')).toBe(40)
})

test('a partition goes when the group with the longest memory has forgotten it, and no younger one', async () => {
  const now = Date.now()
  const old = now - 10 * DAY_MS
  await inboxOf({ retentionMs: 5 * DAY_MS }).upkeep()
  await inboxOf({ group: 'audit', retentionMs: 20 * DAY_MS }).upkeep()
  const [from, to] = [old - (old % DAY_MS), old - (old % DAY_MS) + DAY_MS].map(firstIdAt)
  await pool.query(
    `create table tandem.${nameOf(old)} partition of tandem.inbox for values from ('${from}') to ('${to}')`,
  )
  await inboxOf({ retentionMs: 5 * DAY_MS }).upkeep()
  expect(await partitions()).toContain(nameOf(old))
  await pool.query(`insert into tandem.inbox values (1, '${firstIdAt(now - 30 * DAY_MS)}', 0)`)
  await pool.query(`update tandem.inbox_group set retention_ms = 1000 where name = 'audit'`)
  const upkeep = await inboxOf({ retentionMs: 5 * DAY_MS }).upkeep()
  expect(upkeep).toEqual({ created: 0, dropped: 1, deleted: 1 })
  expect(await partitions()).toHaveLength(4)
})

test('a role that owns nothing keeps handling and forgets by DELETE', async () => {
  const role = `reader_${process.pid}`
  await pool.query(`create role ${role} login password 'reader'; grant usage on schema tandem to ${role};
    grant select, insert, update, delete on all tables in schema tandem to ${role};
    grant insert on invoices to ${role}; grant usage on all sequences in schema public, tandem to ${role}`)
  const database = new pg.Pool({ connectionString: url.replace(/\/\/[^@]*@/, `//${role}:reader@`) })
  database.on('error', () => {})
  const handle = handlerOf({ database })
  const message = keyed('m', Date.now())
  await handle(message)
  await handle(message)
  expect(effects).toEqual(['m'])
  await pool.query(`insert into tandem.inbox values (1, '${firstIdAt(Date.now() - 30 * DAY_MS)}', 0)`)
  expect(await inboxOf({ database }).upkeep()).toEqual({ created: 0, dropped: 0, deleted: 1 })
  await database.end()
  await pool.query(`drop owned by ${role}; drop role ${role}`)
})

test('a replay older than the retention is refused unless flagged, and flagged it runs once', async () => {
  const replay = keyed('old', Date.now() - 8 * DAY_MS)
  await expect(handlerOf()(replay)).rejects.toMatchObject({ code: 'REPLAY_TOO_OLD', retryable: false })
  await expect(handlerOf()({ ...replay, properties: {} })).rejects.toMatchObject({ code: 'REPLAY_TOO_OLD' })
  const flagged = handlerOf({ acceptReplays: true })
  await flagged(replay)
  await flagged(replay)
  expect(effects).toEqual(['old'])
})

test('a message delayed for longer than the retention is new when it comes, once', async () => {
  const now = Date.now()
  const handle = handlerOf()
  const delayed = keyed('delayed', now - 30 * DAY_MS, now)
  await handle(delayed)
  await handle(delayed)
  expect(effects).toEqual(['delayed'])
})

test('a message handled in time is not handled again by a flagged replay after it', async () => {
  const now = Date.now()
  const message = keyed('m', now - 5.5 * DAY_MS)
  await handlerOf()(message)
  await handlerOf({ retentionMs: 5 * DAY_MS, acceptReplays: true })(message)
  expect(effects).toEqual(['m'])
})

const queued = (messageId: string, queueOffset: bigint, storedAtMs: number, queueId = 0): InboxMessage => ({
  ...{ messageId, properties: {}, storedTopic: "o'rders", brokerName: 'a', queueId, queueOffset },
  storedAt: new Date(storedAtMs),
})

test('the offset fence skips what is not above the last offset of its queue, in one row for each queue', async () => {
  const now = Date.now()
  const handle = handlerOf({ fence: true })
  const [first, second, other] = [queued('1', 5n, now), queued('2', 6n, now + 1), queued('3', 5n, now, 1)]
  for (const message of [first, second, first, second, other]) await handle(message)
  expect(effects).toEqual(['1', '2', '3'])
  expect([await count('inbox_offset'), await count('inbox'), await count('inbox_foreign')]).toEqual([2, 0, 0])
})

test('a fenced handler that throws takes its offset back; a queue made anew starts over; retries go by their key', async () => {
  const now = Date.now()
  let broken = true
  const failing = inboxOf({ fence: true }).handler(() => {
    if (broken) throw new Error('first time')
    effects.push('again')
  })
  await expect(failing(queued('1', 9n, now))).rejects.toThrow('first time')
  broken = false
  await failing(queued('1', 9n, now))
  expect(effects).toEqual(['again'])
  const handle = handlerOf({ fence: true })
  await handle(queued('anew', 0n, now + 5_000))
  const retry = { ...queued('retry', 0n, now), storedTopic: '%RETRY%billing' }
  await handle(retry)
  await handle(retry)
  expect(effects).toEqual(['again', 'anew', 'retry'])
  await expect(handle({ messageId: 'x', properties: {} })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
})

async function startOutbox(broker: FakeBroker): Promise<Outbox<pg.Pool>> {
  const outbox = new Outbox({ database: pool, group: 'billing', producer: broker.sender(), relayIntervalMs: 20 })
  await outbox.start()
  closers.push(() => outbox.close())
  return outbox
}

test.each(['here', 'away'])('effect, seen row and outgoing message are one act, with the broker %s', async (where) => {
  const broker = new FakeBroker()
  const outbox = await startOutbox(broker)
  broker.away = where === 'away'
  const message = keyed('m', Date.now())
  let runs = 0
  const handle = inboxOf({ outbox }).handler(async ({ messageId }, trx, messages) => {
    await trx.query('insert into invoices (note) values ($1)', [messageId])
    messages.send({ topic: 'invoices', body: `run ${++runs}` })
    if (runs === 1) throw new Error('first time')
  })
  await expect(handle(message)).rejects.toThrow('first time')
  expect([await count('invoices'), await count('inbox'), await count('outbox')]).toEqual([0, 0, 0])
  await Promise.all([handle(message), handle(message)])
  await handle(message)
  broker.away = false
  await expect.poll(() => broker.delivered.map(({ body }) => String(body)), { timeout: 10_000 }).toEqual(['run 2'])
  expect([runs, await count('invoices')]).toEqual([2, 1])
})

test('without an outbox a handler that sends is told what is missing, and nothing is committed', async () => {
  const handle = inboxOf().handler(async (_message, trx, messages) => {
    await trx.query("insert into invoices (note) values ('x')")
    messages.send({ topic: 'invoices', body: 'x' })
  })
  await expect(handle(keyed('m', Date.now()))).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  expect(await count('invoices')).toBe(0)
})

test('of two consumers with one message the second waits for the first, and is skipped', async () => {
  const message: InboxMessage = { messageId: 'm', properties: { DEDUP_KEY: `${newTransactionId(systemClock)}:0` } }
  await handlerOf()(keyed('warm', Date.now()))
  let release = (): void => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  const first = inboxOf().handler(async (_message, trx) => {
    await held
    await trx.query("insert into invoices (note) values ('first')")
  })(message)
  const isClaimed = `select from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`
  await expect.poll(async () => (await pool.query(isClaimed)).rowCount).toBe(1)
  let isSecondDone = false
  const second = handlerOf()(message).finally(() => (isSecondDone = true))
  const waits = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  await expect.poll(async () => (await pool.query(waits)).rowCount).toBe(1)
  expect(isSecondDone).toBe(false)
  release()
  await Promise.all([first, second])
  expect(effects).toEqual(['warm'])
  expect(await count('invoices')).toBe(2)
})
