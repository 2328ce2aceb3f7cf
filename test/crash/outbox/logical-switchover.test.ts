import { Outbox } from '@tandemmq/outbox'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { FakeBroker } from '../../../packages/outbox/src/fake-broker-test-kit.ts'
import { prepareOrders } from './outbox-world.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function server(): Promise<{ url: string; pool: pg.Pool }> {
  const cluster = await PostgresCluster.start({ wal_level: 'logical' })
  closers.push(() => cluster.stop())
  const url = cluster.url('postgres')
  await prepareOrders(url)
  return { url, pool: poolOf(url) }
}

function poolOf(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 4 })
  pool.on('error', () => {})
  closers.push(() => pool.end())
  return pool
}

async function outboxOf(database: pg.Pool, broker: FakeBroker): Promise<Outbox<pg.Pool>> {
  const outbox = new Outbox({
    database,
    group: 'orders',
    producer: broker.sender(),
    relayIntervalMs: 20,
    markerAgeMs: 0,
  })
  closers.push(() => outbox.close())
  await outbox.start()
  return outbox
}

const one = async (pool: pg.Pool, sql: string): Promise<unknown> => (await pool.query(sql)).rows[0]?.value

/** Everything of the source goes over, the domain and the markers with it. */
async function subscribe(source: { url: string; pool: pg.Pool }, target: pg.Pool): Promise<void> {
  await source.pool.query('create publication everything for table orders, tandem.domain, tandem.tx, tandem.outbox')
  await target.query('delete from tandem.domain')
  const connection = new URL(source.url)
  const { hostname, port, username, password } = connection
  await target.query(`create subscription follower connection 'host=${hostname} port=${port} user=${username}
    password=${password} dbname=postgres' publication everything with (disable_on_error = true)`)
  await expect.poll(() => one(target, 'select domain_id as value from tandem.domain'), { timeout: 15_000 }).toBeTruthy()
}

const lags = async (pool: pg.Pool, isLagging: boolean): Promise<unknown> =>
  pool.query(`alter subscription follower ${isLagging ? 'disable' : 'enable'}`)

test('X5: after a logical switchover with lag an old transaction is applied or fenced, never both answers', async () => {
  const [source, target] = await Promise.all([server(), server()])
  await subscribe(source, target.pool)
  const broker = new FakeBroker()
  const before = await outboxOf(source.pool, broker)
  broker.loseEnds = true
  const place = (outbox: Outbox<pg.Pool>, id: string): Promise<void> =>
    outbox.transaction(async (trx, messages) => {
      await trx.query('insert into orders values ($1, 1)', [id])
      messages.send({ topic: 'orders', body: id })
    })
  const ordersOf = async (pool: pg.Pool): Promise<unknown[]> =>
    (await pool.query('select id from orders order by id')).rows.map(({ id }) => id)
  await place(before, 'replicated')
  await expect.poll(() => ordersOf(target.pool), { timeout: 15_000 }).toEqual(['replicated'])
  await lags(target.pool, true)
  await place(before, 'on its way')
  await before.close()
  // The target has the domain of the source: it must not answer before somebody says that the source is gone.
  const early = new Outbox({ database: target.pool, group: 'orders', producer: broker.sender() })
  await expect(early.start()).rejects.toMatchObject({ code: 'DOMAIN_MISMATCH' })
  await early.migrate({ adoptCluster: true })
  await early.close()
  broker.loseEnds = false
  const after = await outboxOf(target.pool, broker)
  await broker.checkBack()
  const delivered = (): string[] => broker.delivered.map(({ body }) => String(body)).toSorted()
  expect(delivered()).toEqual(['replicated'])
  // What comes late meets the tombstone, and the subscription stops: loud, and neither the order nor its message is there.
  await lags(target.pool, false)
  const isStopped = "select not subenabled as value from pg_subscription where subname = 'follower'"
  await expect.poll(() => one(target.pool, isStopped), { timeout: 20_000 }).toBe(true)
  expect(await ordersOf(target.pool)).toEqual(['replicated'])
  await place(after, 'new')
  await broker.checkBack()
  await expect.poll(delivered).toEqual(['new', 'replicated'])
  expect([await ordersOf(target.pool), broker.pending(), broker.conflicts]).toEqual([['new', 'replicated'], [], 0])
  await target.pool.query('alter subscription follower set (slot_name = none); drop subscription follower')
}, 90_000)
