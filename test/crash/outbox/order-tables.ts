import type pg from 'pg'
import type { CommittedOrder } from './order-ledger.ts'

export const TOPICS: readonly string[] = ['orders', 'entities']
const ENTITIES = 48

/** What order-maker.mjs writes to. */
export async function createTables(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create table orders (id bigint primary key, messages smallint not null, at timestamptz not null default clock_timestamp());
    create table unique_later (id bigint unique deferrable initially deferred);
    create table entities (id int primary key, version bigint not null default 0);
    insert into entities (id) select generate_series(0, ${ENTITIES - 1})`)
}

export async function committedOrders(pool: pg.Pool): Promise<CommittedOrder[]> {
  const { rows } = await pool.query<[number, number, number]>({
    text: 'select id::float8, messages, (extract(epoch from at) * 1000)::float8 from orders',
    rowMode: 'array',
  })
  return rows.map(([id, messages, at]) => ({ id, messages, at }))
}

/** What the outbox has left in its tables, tombstones aside. */
export async function countLeft(pool: pg.Pool): Promise<{ total: number; markers: number; text: string }> {
  const { rows } = await pool.query<{ markers: number; waiting: number; dead: number }>(
    `select (select count(*) from tandem.tx where state <> 'R')::int as markers,
            (select count(*) from tandem.outbox)::int as waiting,
            (select count(*) from tandem.outbox_dead)::int as dead`,
  )
  const { markers = 0, waiting = 0, dead = 0 } = rows[0] ?? {}
  return {
    total: markers + waiting + dead,
    markers,
    text: `${markers} markers, ${waiting} outbox rows, ${dead} dead rows`,
  }
}
