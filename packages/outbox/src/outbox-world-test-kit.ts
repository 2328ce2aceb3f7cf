import knexFactory, { type Knex } from 'knex'
import type pg from 'pg'
import { expect } from 'vitest'
import type { TestDatabase } from '@tandemmq/testing/database'
import { poolOf } from './database/database-test-kit.ts'
import type { Database } from './database/database.ts'
import { FakeBroker } from './fake-broker-test-kit.ts'
import type { OutboxOptions } from './outbox-options.ts'
import { Outbox } from './outbox.ts'

/** What a test does with either driver. */
export interface Driver {
  open(url: string): { database: Database; end(): Promise<unknown> }
  insert(trx: unknown, id: string): Promise<unknown>
  query(trx: unknown, sql: string): Promise<unknown>
  fail(trx: unknown): Promise<unknown>
}

export const drivers: Record<string, Driver> = {
  pg: {
    open: (url) => {
      const pool = poolOf(url, 10)
      return { database: pool, end: () => pool.end() }
    },
    insert: (trx, id) => (trx as pg.PoolClient).query('insert into orders values ($1)', [id]),
    query: (trx, sql) => (trx as pg.PoolClient).query(sql),
    fail: (trx) => (trx as pg.PoolClient).query('select 1/0'),
  },
  knex: {
    open: (url) => {
      const knex = knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 10 } })
      return { database: knex, end: () => knex.destroy() }
    },
    insert: (trx, id) => (trx as Knex)('orders').insert({ id }),
    query: async (trx, sql) => (trx as Knex).raw(sql),
    fail: async (trx) => (trx as Knex).raw('select 1/0'),
  },
}

/** Tables, and `orders` whose key is checked at COMMIT. */
export async function prepare(url: string): Promise<void> {
  const pool = poolOf(url)
  const outbox = new Outbox({ database: pool, group: 'orders', producer: new FakeBroker().sender() })
  await outbox.migrate()
  await pool.query('create table orders (id text primary key deferrable initially deferred)')
  await pool.end()
}

/** A database, a broker and one process with an outbox. */
export class World {
  readonly broker = new FakeBroker()
  readonly db: TestDatabase
  readonly pool: pg.Pool
  readonly driver: Driver
  readonly #ends: (() => Promise<unknown>)[] = []

  constructor(db: TestDatabase, driver: Driver) {
    this.db = db
    this.driver = driver
    this.pool = poolOf(db.url, 3)
  }

  async outbox(options: Partial<OutboxOptions<Database>> = {}): Promise<Outbox> {
    const { database, end } = this.driver.open(this.db.url)
    const outbox = new Outbox({
      database,
      group: 'orders',
      producer: this.broker.sender(),
      relayIntervalMs: 20,
      ...options,
    })
    await outbox.start()
    this.#ends.push(async () => {
      await outbox.close()
      await end()
    })
    return outbox
  }

  async rows(sql: string): Promise<Record<string, unknown>[]> {
    return (await this.pool.query(sql)).rows as Record<string, unknown>[]
  }

  async orders(): Promise<string[]> {
    return (await this.rows('select id from orders order by id')).map((row) => String(row['id']))
  }

  delivered(): string[] {
    return this.broker.delivered.map((message) => String(message.body)).toSorted()
  }

  /** Everything that can still move has moved. */
  async quiesce(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end()
    const last = await this.outbox({ markerAgeMs: 0 })
    for (let round = 0; round < 3; round++) await this.broker.checkBack()
    await expect.poll(() => this.rows('select id from tandem.outbox'), { timeout: 10_000 }).toEqual([])
    await last.sweep()
  }

  async close(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end()
    await this.pool.end()
    await this.db.close()
  }
}
