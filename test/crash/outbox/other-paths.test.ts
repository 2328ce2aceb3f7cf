import { Outbox, type OutboxOptions } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../packages/outbox/src/foundation.ts'
import { Resolver } from '../../../packages/outbox/src/check-back/resolver.ts'
import { Schema } from '../../../packages/outbox/src/schema/schema.ts'
import { newTransactionId } from '../../../packages/outbox/src/database/transaction-id.ts'
import { FakeBroker } from '../../../packages/outbox/src/fake-broker-test-kit.ts'
import { prepareOrders } from './outbox-world.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

const ignore = (): void => {}
const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }

function poolOf(url: string, max = 4): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max })
  pool.on('error', ignore)
  closers.push(() => pool.end())
  return pool
}

async function cluster(): Promise<{ postgres: PostgresCluster; pool: pg.Pool }> {
  const postgres = await PostgresCluster.start()
  closers.push(() => postgres.stop())
  await prepareOrders(postgres.url('postgres'))
  return { postgres, pool: poolOf(postgres.url('postgres')) }
}

async function database(): Promise<{ url: string; pool: pg.Pool }> {
  const db = await startTestDatabase({ prepare: prepareOrders })
  closers.push(() => db.close())
  return { url: db.url, pool: poolOf(db.url) }
}

async function resolverOf(pool: pg.Pool, url: string): Promise<Resolver> {
  const { rows } = await pool.query<{ domain_id: string }>('select domain_id from tandem.domain')
  const own = poolOf(url, 2)
  const domainId = rows[0]?.domain_id ?? ''
  return new Resolver({ pool: own, schema: new Schema('tandem'), domainId, clock: systemClock, logger })
}

const waitingForStandby = "select pid from pg_stat_activity where wait_event = 'SyncRep'"

async function standbyMissing(pool: pg.Pool, isMissing: boolean): Promise<void> {
  await pool.query(
    `alter system ${isMissing ? "set synchronous_standby_names = 'nobody'" : 'reset synchronous_standby_names'}`,
  )
  await pool.query('select pg_reload_conf()')
  const names = isMissing ? 'nobody' : ''
  await expect
    .poll(async () => (await pool.query('show synchronous_standby_names')).rows)
    .toEqual([{ synchronous_standby_names: names }])
}

describe('docs/spec/outbox.md 6.2', () => {
  test.each([
    ['commit', 'C'],
    ['rollback', 'R'],
  ])(
    'C2: a resolver killed while it waits for a live marker answers nothing; after the owner, %s, it is %s',
    async (end, last) => {
      const { url, pool } = await database()
      const resolver = await resolverOf(pool, url)
      const id = newTransactionId(systemClock)
      const owner = await pool.connect()
      await owner.query(`begin; insert into tandem.tx (tx_id) values ('${id}')`)
      const asked = resolver.check(id)
      const waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
      await expect.poll(async () => (await pool.query(waiting)).rowCount, { interval: 5 }).toBe(1)
      await pool.query(`select pg_terminate_backend(pid) from (${waiting}) w`)
      expect(['unavailable', 'running']).toContain((await asked).state)
      await owner.query(end)
      owner.release()
      expect((await resolver.check(id)).state).toBe(last)
    },
  )

  test('C3: Postgres killed while the tombstone is not durable: no answer; the next ask decides afresh', async () => {
    const { postgres, pool } = await cluster()
    const resolver = await resolverOf(pool, postgres.url('postgres'))
    await standbyMissing(pool, true)
    const id = newTransactionId(systemClock)
    const asked = resolver.check(id)
    await expect.poll(async () => (await pool.query(waitingForStandby)).rowCount).toBe(1)
    await postgres.kill()
    expect((await asked).state).toBe('unavailable')
    await postgres.start()
    await standbyMissing(pool, false)
    expect((await resolver.check(id)).state).toBe('R')
  })

  test('C6: two producers that answer at once give equal answers', async () => {
    const { url, pool } = await database()
    const [one, two] = [await resolverOf(pool, url), await resolverOf(pool, url)]
    const ids = Array.from({ length: 200 }, () => newTransactionId(systemClock))
    for (const [n, id] of ids.entries()) {
      if (n % 2 === 0) await pool.query(`insert into tandem.tx (tx_id) values ('${id}')`)
    }
    const answersOf = async (resolver: Resolver): Promise<string[]> =>
      (await Promise.all(ids.map(async (id) => resolver.check(id)))).map(({ state }) => state)
    // Who found a row locked by the other is told that it runs, and asks again.
    const settle = async (resolver: Resolver): Promise<string[]> => {
      await expect.poll(async () => (await answersOf(resolver)).filter((state) => !'CR'.includes(state))).toEqual([])
      return answersOf(resolver)
    }
    const [first, second] = await Promise.all([settle(one), settle(two)])
    expect(first).toEqual(second)
    expect(first).toEqual(ids.map((_, n) => (n % 2 === 0 ? 'C' : 'R')))
  })

  test('C8: without its synchronous standby nobody is answered, and one backend of the process hangs at most', async () => {
    const { postgres, pool } = await cluster()
    const resolver = await resolverOf(pool, postgres.url('postgres'))
    await standbyMissing(pool, true)
    for (let n = 0; n < 4; n++) {
      expect((await resolver.check(newTransactionId(systemClock))).state).toBe('unavailable')
      expect((await pool.query(waitingForStandby)).rowCount).toBe(1)
    }
    await standbyMissing(pool, false)
    const id = newTransactionId(systemClock)
    await expect.poll(async () => (await resolver.check(id)).state, { timeout: 10_000 }).toBe('R')
  })

  test.each([2, -2])(
    'G4: a process whose clock is %s hours off neither loses nor invents, whoever answers for it',
    async (hours) => {
      const { url, pool } = await database()
      const broker = new FakeBroker()
      const start = async (options: Partial<OutboxOptions<pg.Pool>>): Promise<Outbox<pg.Pool>> => {
        const outbox = new Outbox({ database: poolOf(url), group: 'orders', producer: broker.sender(), ...options })
        closers.push(() => outbox.close())
        await outbox.start()
        return outbox
      }
      const off = Object.assign(Object.create(systemClock) as typeof systemClock, {
        now: () => systemClock.now() + hours * 3_600_000,
      })
      const outbox = await start({ clock: off })
      broker.loseEnds = true
      for (let n = 0; n < 10; n++) {
        await outbox
          .transaction(async (trx, messages) => {
            await trx.query('insert into orders values ($1, 1)', [`o-${n}`])
            messages.send({ topic: 'orders', body: `o-${n}` })
            await trx.query('select 1')
            if (n % 2 === 1) throw new Error('above credit')
          })
          .catch(ignore)
      }
      const heir = await start({ markerAgeMs: 0 })
      await heir.sweep()
      await broker.checkBack()
      broker.loseEnds = false
      expect(broker.pending()).toEqual([])
      const orders = (await pool.query<{ id: string }>('select id from orders')).rows.map(({ id }) => id)
      expect(broker.delivered.map(({ body }) => String(body)).toSorted()).toEqual(orders.toSorted())
      expect(orders.length).toBe(5)
      await heir.sweep()
      expect((await pool.query("select 1 from tandem.tx where state <> 'R'")).rowCount).toBe(0)
    },
  )
})
