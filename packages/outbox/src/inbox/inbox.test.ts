import knexFactory, { type Knex } from 'knex'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { startTestDatabase } from '@tandemmq/testing/database'
import { poolOf } from '../database/database-test-kit.ts'
import { firstIdAt } from '../database/transaction-id.ts'
import { Inbox } from './inbox.ts'

const keyAt = (atMs: number, n = 0): string => `${firstIdAt(atMs)}:${n}`
const key = keyAt(Date.now() - 3_600_000)
const message = (properties: Record<string, string>, messageId = 'AC11000100002A9F0000000000000001') => ({
  messageId,
  properties,
})

async function prepare(url: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url })
  await new Inbox({ database: pool, group: 'billing' }).migrate()
  await pool.query('create table invoices (id serial, note text)')
  await pool.end()
}

type Effect = (trx: unknown) => Promise<unknown>
const pgEffect: Effect = (trx) => (trx as pg.PoolClient).query("insert into invoices (note) values ('x')")
const knexEffect: Effect = async (trx) => (trx as Knex)('invoices').insert({ note: 'x' })

const write: Record<string, (url: string) => { inbox: Inbox; effect: Effect; end(): Promise<unknown> }> = {
  pg: (url) => {
    const database = poolOf(url)
    return { inbox: new Inbox({ database, group: 'billing' }), effect: pgEffect, end: () => database.end() }
  },
  knex: (url) => {
    const database = knexFactory({ client: 'pg', connection: url })
    return { inbox: new Inbox({ database, group: 'billing' }), effect: knexEffect, end: () => database.destroy() }
  },
}

describe.each(Object.keys(write))('%s', (name) => {
  async function setUp() {
    const db = await startTestDatabase({ prepare })
    const made = (write[name] as (typeof write)[string])(db.url)
    const pool = poolOf(db.url)
    const invoices = async (): Promise<number> => (await pool.query('select from invoices')).rowCount ?? -1
    const close = async () => {
      await made.end()
      await pool.end()
      await db.close()
    }
    return { ...made, pool, invoices, [Symbol.asyncDispose]: close }
  }

  test.each([
    ['our producer', message({ DEDUP_KEY: key }), message({ DEDUP_KEY: key }, 'another id')],
    ['the relay after the half path', message({ DEDUP_KEY: key }), message({ DEDUP_KEY: `${key}:f` })],
    ['a key of the user', message({ DEDUP_KEY: 'pay-1' }), message({ DEDUP_KEY: 'pay-1' }, 'another id')],
    ['no key', message({}), message({})],
  ])('a repeat is skipped: %s', async (_, first, repeat) => {
    await using world = await setUp()
    const handle = world.inbox.handler((_message, trx) => world.effect(trx))
    await handle(first)
    await handle(repeat)
    await Promise.all([handle(first), handle(repeat)])
    expect(await world.invoices()).toBe(1)
  })

  test('messages of one transaction are different messages', async () => {
    await using world = await setUp()
    const handle = world.inbox.handler((_message, trx) => world.effect(trx))
    for (const n of [0, 1]) await handle(message({ DEDUP_KEY: key.replace(/0$/, String(n)) }))
    expect(await world.invoices()).toBe(2)
  })

  test('a handler that throws leaves neither effect nor seen row: the repeat runs', async () => {
    await using world = await setUp()
    let runs = 0
    const handle = world.inbox.handler(async (_message, trx) => {
      await world.effect(trx)
      if (runs++ === 0) throw new Error('first time')
    })
    await expect(handle(message({ DEDUP_KEY: key }))).rejects.toThrow('first time')
    expect(await world.invoices()).toBe(0)
    await handle(message({ DEDUP_KEY: key }))
    expect(await world.invoices()).toBe(1)
  })

  test('two deliveries at once: the second waits for the first and is skipped', async () => {
    await using world = await setUp()
    const handle = world.inbox.handler((_message, trx) => world.effect(trx))
    await Promise.all(Array.from({ length: 5 }, () => handle(message({ DEDUP_KEY: key }))))
    expect(await world.invoices()).toBe(1)
  })

  test('a swallowed error rejects, so that the message comes again', async () => {
    await using world = await setUp()
    let runs = 0
    const handle = world.inbox.handler(async (_message, trx) => {
      await world.effect(trx)
      const { query, raw } = trx as unknown as Record<'query' | 'raw', (sql: string) => Promise<unknown>>
      if (runs++ === 0) await Promise.resolve((query ?? raw).call(trx, 'select 1/0')).catch(() => {})
    })
    await expect(handle(message({ DEDUP_KEY: key }))).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    await handle(message({ DEDUP_KEY: key }))
    expect(await world.invoices()).toBe(1)
  })
})
