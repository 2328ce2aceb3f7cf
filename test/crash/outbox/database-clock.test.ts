import { Outbox, type OutboxOptions } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../../packages/outbox/src/foundation.ts'
import { FakeBroker } from '../../../packages/outbox/src/fake-broker-test-kit.ts'
import { Resolver } from '../../../packages/outbox/src/check-back/resolver.ts'
import { Schema } from '../../../packages/outbox/src/schema/schema.ts'
import { selfCheck } from '../../../packages/outbox/src/transaction/self-check.ts'
import { newTransactionId } from '../../../packages/outbox/src/database/transaction-id.ts'
import { prepareOrders } from './outbox-world.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

const ignore = (): void => {}
const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }

interface Database {
  readonly pool: pg.Pool
  /** Every session sees the new time at once, as after a step of the server's clock. */
  stepTo(offset: string): Promise<unknown>
  outbox(broker: FakeBroker, options?: Partial<OutboxOptions<pg.Pool>>): Promise<Outbox<pg.Pool>>
  count(sql: string): Promise<number>
}

/** A database whose clock is ours: a function of the same name stands in front of that of Postgres. */
async function database(): Promise<Database> {
  const db = await startTestDatabase()
  closers.push(() => db.close())
  const poolOf = (): pg.Pool => {
    const pool = new pg.Pool({ connectionString: db.url, max: 4 })
    pool.on('error', ignore)
    closers.push(() => pool.end())
    return pool
  }
  const pool = poolOf()
  await pool.query(`create schema stepped; create table stepped.step (by interval); insert into stepped.step values ('0');
    create function stepped.clock_timestamp() returns timestamptz language sql volatile as
    'select pg_catalog.clock_timestamp() + by from stepped.step';
    alter database ${db.name} set search_path = stepped, pg_catalog, public`)
  await prepareOrders(db.url)
  const stepped = poolOf()
  return {
    pool: stepped,
    stepTo: (offset) => stepped.query('update stepped.step set by = $1', [offset]),
    async outbox(broker, options = {}) {
      const outbox = new Outbox({ database: poolOf(), group: 'orders', producer: broker.sender(), ...options })
      closers.push(() => outbox.close())
      await outbox.start()
      return outbox
    },
    count: async (sql) => Number((await stepped.query(`select count(*) as n from ${sql}`)).rows[0].n),
  }
}

async function place(outbox: Outbox<pg.Pool>, id: string): Promise<void> {
  await outbox.transaction(async (trx, messages) => {
    await trx.query('insert into orders values ($1, 1)', [id])
    messages.send({ topic: 'orders', body: id })
    if (id.endsWith('x')) throw new Error('above credit')
  })
}

const steps = ['-5 minutes', '5 minutes'] as const

test.each(steps)(
  'G4: a database clock that steps by %s between marker, COMMIT, check-back and sweep loses and invents nothing',
  async (step) => {
    const db = await database()
    const broker = new FakeBroker()
    const outbox = await db.outbox(broker, { relayIntervalMs: 20 })
    broker.loseEnds = true
    for (const id of ['1', '2x', '3']) await place(outbox, id).catch(ignore)
    // Inside a transaction, too.
    await outbox.transaction(async (trx, messages) => {
      await trx.query("insert into orders values ('4', 1)")
      messages.send({ topic: 'orders', body: '4' })
      await db.stepTo(step)
    })
    const heir = await db.outbox(broker)
    await heir.sweep()
    expect(await db.count("tandem.tx where state = 'C'")).toBe(3)
    for (const id of ['5', '6x']) await place(outbox, id).catch(ignore)
    await broker.checkBack()
    expect(broker.pending()).toEqual([])
    broker.loseEnds = false
    // Rows, too: written before the step, read after it.
    broker.away = true
    await place(outbox, '7')
    await db.stepTo('0')
    broker.away = false
    await expect.poll(() => broker.delivered.length, { timeout: 10_000 }).toBe(5)
    expect(broker.delivered.map(({ body }) => String(body)).toSorted()).toEqual(['1', '3', '4', '5', '7'])
    expect([await db.count('orders'), broker.conflicts]).toEqual([5, 0])
    const last = await db.outbox(broker, { markerAgeMs: 0 })
    await db.stepTo('3 hours')
    await last.sweep()
    expect(await db.count("tandem.tx where state <> 'R'")).toBe(0)
  },
)

test('G4: a marker swept before the clock stepped back 5 minutes is not taken for one that never was', async () => {
  const db = await database()
  const broker = new FakeBroker()
  const sweeper = await db.outbox(broker)
  const domainId = String((await db.pool.query('select domain_id from tandem.domain')).rows[0].domain_id)
  const resolver = new Resolver({ pool: db.pool, schema: new Schema('tandem'), domainId, clock: systemClock, logger })
  const id = newTransactionId(systemClock)
  const { rows } = await db.pool.query(
    'insert into tandem.tx (tx_id) values ($1) returning extract(epoch from at) * 1000 as at',
    [id],
  )
  await db.stepTo('601 seconds')
  expect(await sweeper.sweep()).toBe(1)
  await db.stepTo('301 seconds')
  expect(await selfCheck(resolver, systemClock, id, Number(rows[0].at), 10)).toBeUndefined()
})
