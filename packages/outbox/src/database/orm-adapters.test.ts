import { sql as drizzleSql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { drizzle } from 'drizzle-orm/node-postgres'
import { type ControlledTransaction, Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startTestDatabase } from '@tandemmq/testing/database'
import { type Driver, prepare, World } from '../outbox-world-test-kit.ts'
import type { Outbox } from '../outbox.ts'
import { callbackTransaction } from './callback-transaction.ts'
import type { DatabaseAdapter } from './database-adapter.ts'

const ignore = (): void => {}
const ownPool = (url: string, max: number): pg.Pool => {
  const pool = new pg.Pool({ connectionString: url, max })
  pool.on('error', ignore)
  return pool
}

type DrizzleTransaction = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

function drizzleAdapter(pool: pg.Pool, url: string): DatabaseAdapter<DrizzleTransaction> {
  return {
    async connect(isolation) {
      const client = await pool.connect()
      client.on('error', ignore)
      const config = isolation === undefined ? undefined : { isolationLevel: isolation }
      return {
        client,
        ...callbackTransaction<DrizzleTransaction>((body) => drizzle(client).transaction(body, config)),
        release: (broken) => client.release(broken),
      }
    },
    ownPool: (size) => ownPool(url, size),
  }
}

type KyselyTransaction = ControlledTransaction<Record<string, never>>

function kyselyAdapter(pool: pg.Pool, url: string): DatabaseAdapter<KyselyTransaction> {
  return {
    async connect(isolation) {
      const client = await pool.connect()
      client.on('error', ignore)
      const single = {
        connect: async () => ({
          query: (text: string, values: readonly unknown[]) => client.query(text, [...values]),
          release: ignore,
        }),
        end: async () => {},
      }
      const db = new Kysely<Record<string, never>>({ dialect: new PostgresDialect({ pool: single as never }) })
      const begin = isolation === undefined ? db.startTransaction() : db.startTransaction().setIsolationLevel(isolation)
      let trx: KyselyTransaction | undefined
      return {
        client,
        begin: async () => (trx = await begin.execute()),
        commit: async () => trx?.commit().execute(),
        rollback: async () => trx?.rollback().execute(),
        release: (broken) => client.release(broken),
      }
    },
    ownPool: (size) => ownPool(url, size),
  }
}

interface Orm {
  adapter: (pool: pg.Pool, url: string) => DatabaseAdapter<never>
  query(trx: unknown, text: string): Promise<unknown>
  /** A part that is undone: its library's own savepoint around `inside`. */
  undo(trx: unknown, inside: (trx: unknown) => Promise<void>): Promise<void>
}

const orms: Record<string, Orm> = {
  drizzle: {
    adapter: drizzleAdapter as Orm['adapter'],
    query: (trx, text) => (trx as DrizzleTransaction).execute(drizzleSql.raw(text)),
    undo: async (trx, inside) => {
      const undone = (trx as DrizzleTransaction).transaction(async (inner) => {
        await inside(inner)
        throw new Error('undo')
      })
      await undone.catch(ignore)
    },
  },
  kysely: {
    adapter: kyselyAdapter as Orm['adapter'],
    query: (trx, text) => sql.raw(text).execute(trx as KyselyTransaction),
    undo: async (trx, inside) => {
      const saved = await (trx as KyselyTransaction).savepoint('part').execute()
      await inside(saved)
      await saved.rollbackToSavepoint('part').execute()
    },
  },
}

describe.each(Object.keys(orms))('%s', (name) => {
  const orm = orms[name] as Orm
  let world: World
  let outbox: Outbox
  const driver: Driver = {
    open: (url) => {
      const pool = ownPool(url, 5)
      return { database: orm.adapter(pool, url), end: () => pool.end() }
    },
    insert: (trx, id) => orm.query(trx, `insert into orders values ('${id}')`),
    query: (trx, text) => orm.query(trx, text),
    fail: (trx) => orm.query(trx, 'select 1/0'),
  }
  beforeEach(async () => {
    world = new World(await startTestDatabase({ prepare }), driver)
    outbox = await world.outbox()
  })
  afterEach(() => world.close())

  const place = (id: string, more: (trx: unknown) => unknown = ignore): Promise<void> =>
    outbox.transaction(async (trx, messages) => {
      await driver.insert(trx, id)
      messages.send({ topic: 'orders', body: id })
      await more(trx)
    })

  test('committed means delivered, rolled back means silent', async () => {
    await place('o-1')
    const thrown = place('o-2', () => {
      throw new Error('above credit')
    })
    await expect(thrown).rejects.toThrow('above credit')
    const swallowed = place('o-3', (trx) => driver.fail(trx).catch(ignore))
    await expect(swallowed).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    await expect(place('o-1')).rejects.toMatchObject({ code: '23505' })
    await place('o-4')
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([
      ['o-1', 'o-4'],
      ['o-1', 'o-4'],
    ])
    expect(world.broker.conflicts).toBe(0)
  })

  test("messages of the library's savepoints go with them", async () => {
    await outbox.transaction(async (trx, messages) => {
      await orm.undo(trx, async (inner) => {
        await driver.insert(inner, 'undone')
        messages.send({ topic: 'orders', body: 'undone' })
      })
      await driver.insert(trx, 'kept')
      messages.send({ topic: 'orders', body: 'kept' })
    })
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([['kept'], ['kept']])
  })

  test('the marker is there with BEGIN, at the isolation level asked for', async () => {
    const seen: unknown[] = []
    await outbox.transaction(
      async (trx) => {
        seen.push(
          await orm.query(trx, "select current_setting('transaction_isolation') as level, count(*) from tandem.tx"),
        )
      },
      { isolationLevel: 'serializable' },
    )
    const [row] = (seen[0] as { rows: { level: string; count: string }[] }).rows
    expect(row).toEqual({ level: 'serializable', count: '1' })
  })

  test('BEGIN inside the transaction is refused', async () => {
    const begun = place('o-1', (trx) => orm.query(trx, 'begin'))
    await expect(begun).rejects.toThrow(/ILLEGAL_OPERATION|Failed query/)
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
  })
})
