import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, startBroker } from '@tandemmq/broker'
import { PushConsumer } from '@tandemmq/client'
import { Inbox, Outbox } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import knexFactory from 'knex'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'

/** A statement the outbox does not see. */
const past = (client: pg.PoolClient, text: string): Promise<unknown> =>
  (pg.Client.prototype.query as (text: string) => Promise<unknown>).call(client, text)

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function setUp() {
  const directory = await mkdtemp(join(tmpdir(), 'tandem-outbox-'))
  closers.push(() => rm(directory, { recursive: true, force: true }))
  let broker: Broker | undefined
  const start = async (port = 0): Promise<Broker> => {
    broker = await startBroker({ dataDir: directory, port, transactionTimeoutMs: 200, transactionCheckIntervalMs: 200 })
    return broker
  }
  const { address } = await start()
  closers.push(async () => broker?.close())
  const db = await startTestDatabase()
  closers.push(() => db.close())
  const knex = knexFactory({ client: 'pg', connection: db.url, pool: { min: 0, max: 8 } })
  closers.push(() => knex.destroy())
  const outbox = new Outbox({
    database: knex,
    nameServers: address,
    group: 'orders',
    // A busy machine is not an absent broker.
    halfTimeoutMs: 3_000,
    relayIntervalMs: 50,
    markerAgeMs: 0,
  })
  await outbox.migrate()
  await knex.raw('create table orders (id text primary key); create table invoices (order_id text)')
  await outbox.start()
  closers.push(() => outbox.close())
  const seen: string[] = []
  const consumer = new PushConsumer({ nameServers: address, group: 'billing', startFrom: 'first' })
  const inbox = new Inbox({ database: knex, group: 'billing' })
  consumer.subscribe(
    'orders',
    '*',
    inbox.handler(async (message: { text(): string; messageId: string; properties: Record<string, string> }, trx) => {
      seen.push(message.text())
      await trx('invoices').insert({ order_id: message.text() })
    }),
  )
  await consumer.start()
  closers.push(() => consumer.close())
  const invoices = async (): Promise<string[]> =>
    (await knex('invoices').select('order_id').orderBy('order_id')).map((row) => String(row.order_id))
  return { db, knex, outbox, address, seen, invoices, restart: start, stop: async () => broker?.close() }
}

test('orders written with their messages reach billing once; a rejected one never does', async () => {
  const { outbox, invoices, knex } = await setUp()
  const place = (id: string, rejected = false) =>
    outbox.transaction(async (trx, messages) => {
      await trx('orders').insert({ id })
      messages.send({ topic: 'orders', tag: 'created', keys: [id], body: id })
      if (rejected) throw new Error('above credit')
    })
  await Promise.all(Array.from({ length: 20 }, (_, n) => place(`o-${10 + n}`)))
  await expect(place('o-90', true)).rejects.toThrow('above credit')
  const expected = Array.from({ length: 20 }, (_, n) => `o-${10 + n}`)
  await expect.poll(invoices, { timeout: 15_000 }).toEqual(expected)
  await expect.poll(() => outbox.stats().pendingHalves).toBe(0)
  expect(outbox.stats()).toMatchObject({ committed: 20, rolledBack: 1, fallbacks: 0, anomalies: 0 })
  await expect.poll(async () => (await knex.raw('select * from tandem.tx')).rows).toEqual([])
})

test('the broker asks about a half whose END never came, and the message of the committed order arrives', async () => {
  const { outbox, invoices, address, db } = await setUp()
  const pool = new pg.Pool({ connectionString: db.url })
  pool.on('error', () => {}) // A connection may still say goodbye when the database is dropped.
  closers.push(() => pool.end())
  const silent = new Outbox({ database: pool, nameServers: address, group: 'orders' })
  await silent.start()
  const send = (body: string) =>
    silent.transaction(async (client, messages) => {
      await client.query('insert into orders values ($1)', [body])
      messages.send({ topic: 'orders', body })
    })
  await send('warm')
  await expect.poll(invoices, { timeout: 15_000 }).toEqual(['warm'])
  const before = outbox.stats().checks + silent.stats().checks
  // Committed behind the outbox's back: it cannot know, so it sends no END at all.
  const cut = silent.transaction(async (client, messages) => {
    await client.query("insert into orders values ('cut')")
    messages.send({ topic: 'orders', body: 'cut' })
    await new Promise((resolve) => setTimeout(resolve, 50))
    await past(client, 'commit')
    throw new Error('died')
  })
  await expect(cut).rejects.toThrow('died')
  await expect.poll(invoices, { timeout: 15_000 }).toEqual(['cut', 'warm'])
  expect(outbox.stats().checks + silent.stats().checks).toBeGreaterThan(before)
  await silent.close()
})

test('while the broker is down orders go on, and their messages arrive once it is back', async () => {
  const { outbox, invoices, address, stop, restart } = await setUp()
  const place = (id: string) =>
    outbox.transaction(async (trx, messages) => {
      await trx('orders').insert({ id })
      messages.send({ topic: 'orders', body: id })
    })
  await place('o-1')
  await expect.poll(invoices, { timeout: 15_000 }).toEqual(['o-1'])
  await stop()
  await Promise.all([place('o-2'), place('o-3')])
  expect(outbox.stats().fallbacks).toBe(2)
  await restart(Number(address.split(':')[1]))
  await expect.poll(invoices, { timeout: 20_000 }).toEqual(['o-1', 'o-2', 'o-3'])
  await outbox.sweep()
})

test('a delayed message of a transaction arrives after its delay', async () => {
  const { outbox, seen } = await setUp()
  await outbox.transaction((_trx, messages) => messages.send({ topic: 'orders', body: 'later', delayMs: 1_000 }))
  const sentAt = Date.now()
  await expect.poll(() => seen, { timeout: 15_000 }).toEqual(['later'])
  expect(Date.now() - sentAt).toBeGreaterThanOrEqual(900)
})

test('orders of applications that begin and end their transactions themselves reach billing once', async () => {
  const { outbox, invoices, knex, db } = await setUp()
  const viaKnex = async (id: string, fails: boolean): Promise<void> => {
    const trx = await knex.transaction()
    await trx('orders').insert({ id })
    outbox.join(trx).send({ topic: 'orders', keys: [id], body: id })
    if (fails) await trx.raw('select 1/0').catch(() => {})
    await trx.commit()
  }
  const viaPg = async (id: string, fails: boolean): Promise<void> => {
    const client = new pg.Client({ connectionString: db.url })
    await client.connect()
    await client.query('begin; insert into orders values ($$' + id + '$$)')
    outbox.join(client).send({ topic: 'orders', keys: [id], body: id })
    await client.query(fails ? 'rollback' : 'commit')
    await client.end()
  }
  const places = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? viaKnex : viaPg)(`o-${10 + n}`, n % 5 === 4))
  const outcomes = await Promise.allSettled(places)
  // A rolled back transaction of knex rejects its commit; ROLLBACK of pg is what was asked for.
  expect(outcomes.filter((outcome) => outcome.status === 'rejected')).toHaveLength(2)
  const expected = Array.from({ length: 20 }, (_, n) => `o-${10 + n}`).filter((_, n) => n % 5 !== 4)
  await expect.poll(invoices, { timeout: 15_000 }).toEqual(expected)
  await expect.poll(() => outbox.stats().pendingHalves).toBe(0)
  expect(outbox.stats()).toMatchObject({ committed: 16, rolledBack: 4, fallbacks: 0, anomalies: 0 })
  await expect.poll(async () => (await knex.raw("select * from tandem.tx where state <> 'R'")).rows).toEqual([])
})
