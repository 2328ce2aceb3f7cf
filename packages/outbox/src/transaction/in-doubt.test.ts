import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestDatabase } from '@tandemmq/testing/database'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import type { Resolver, Verdict } from '../check-back/resolver.ts'
import { untilCommitsWait } from '../database/database-test-kit.ts'
import { systemClock } from '../foundation.ts'
import { type Driver, drivers, prepare, World } from '../outbox-world-test-kit.ts'
import type { Outbox } from '../outbox.ts'
import { selfCheck } from './self-check.ts'

let cluster: PostgresCluster
const before = process.env['TANDEMMQ_TEST_POSTGRES']
beforeAll(async () => {
  cluster = await PostgresCluster.start({ max_prepared_transactions: '10' })
  process.env['TANDEMMQ_TEST_POSTGRES'] = cluster.url('postgres')
})
afterAll(async () => {
  if (before === undefined) delete process.env['TANDEMMQ_TEST_POSTGRES']
  else process.env['TANDEMMQ_TEST_POSTGRES'] = before
  await cluster.stop()
})

describe.each(Object.keys(drivers))('%s', (name) => {
  let world: World
  const driver = drivers[name] as Driver
  beforeEach(async () => {
    world = new World(await startTestDatabase({ prepare }), driver)
  })
  afterEach(async () => {
    await world.rows('alter system reset synchronous_standby_names')
    await world.rows('select pg_reload_conf()')
    await world.close()
  })

  const place = (outbox: Outbox, id: string, sql?: string): Promise<void> =>
    outbox.transaction(async (trx, messages) => {
      await driver.insert(trx, id)
      messages.send({ topic: 'orders', keys: [id], body: id })
      if (sql !== undefined) await driver.query(trx, sql)
    })

  const standbys = async (names: string): Promise<void> => {
    await world.rows(`alter system set synchronous_standby_names = '${names}'`)
    await world.rows('select pg_reload_conf()')
    await expect
      .poll(() => world.rows('show synchronous_standby_names'))
      .toEqual([{ synchronous_standby_names: names }])
    if (names !== '') await untilCommitsWait(world.db.url)
  }
  /** Ends, one way or the other, the waiting of a commit for its standby. */
  const interruptCommit = async (how: 'pg_cancel_backend' | 'pg_terminate_backend'): Promise<void> => {
    const waiting = `select pid from pg_stat_activity where wait_event = 'SyncRep' and datname = current_database()
      and query ~* '(^|; *)commit' and query not like '%insert into%tandem%'`
    await expect.poll(async () => (await world.rows(waiting)).length, { timeout: 5_000 }).toBe(1)
    await world.rows(`select ${how}(pid) from (${waiting}) w`)
  }

  test('C9: a serialization failure at COMMIT rejects with 40001 and its message is rolled back', async () => {
    const outbox = await world.outbox()
    const count = 'select count(*) from orders'
    const failed = outbox.transaction(
      async (trx, messages) => {
        await driver.query(trx, count)
        await driver.insert(trx, 'a')
        messages.send({ topic: 'orders', body: 'a' })
        const other = await world.pool.connect()
        await other.query(`begin isolation level serializable; ${count}; insert into orders values ('b'); commit`)
        other.release()
      },
      { isolationLevel: 'serializable' },
    )
    await expect(failed).rejects.toMatchObject({ code: '40001' })
    await expect.poll(() => world.broker.halves.map((half) => half.fate)).toEqual(['rolledBack'])
    expect(outbox.stats()).toMatchObject({ inDoubt: 0, rolledBack: 1 })
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([['b'], []])
  })

  test('C9: a COMMIT after a swallowed error is no success, with or without messages', async () => {
    const outbox = await world.outbox()
    for (const mode of ['eager', 'late'] as const) {
      const swallowed = outbox.transaction((trx) => driver.fail(trx).catch(() => {}), { mode })
      await expect(swallowed).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    }
    await place(outbox, 'after')
    await world.quiesce()
    expect(world.delivered()).toEqual(['after'])
  })

  test.each([
    ['pg_cancel_backend', '01000'],
    ['pg_terminate_backend', '57P01'],
  ] as const)(
    'P9: a wait for the standby ended by %s (warning %s) is no commit until a standby has it',
    async (how, _code) => {
      const outbox = await world.outbox({ selfCheckTimeoutMs: 20_000 })
      await standbys('nobody')
      const placed = place(outbox, 'o-1')
      await interruptCommit(how)
      // Visible to everybody, replicated nowhere: the broker must hear neither yes nor no.
      await expect.poll(() => world.orders()).toEqual(['o-1'])
      await expect.poll(() => outbox.stats().inDoubt).toBe(1)
      expect(world.broker.halves.map((half) => half.fate)).toEqual(['pending'])
      expect(world.broker.log).not.toContain('end commit')
      await standbys('')
      await placed
      await world.quiesce()
      expect([await world.orders(), world.delivered()]).toEqual([['o-1'], ['o-1']])
    },
  )

  test('P9: a standby that stays away leaves the transaction in doubt, and its message pending', async () => {
    const outbox = await world.outbox({ selfCheckTimeoutMs: 300 })
    await standbys('nobody')
    const placed = place(outbox, 'o-1')
    placed.catch(() => {})
    await interruptCommit('pg_cancel_backend')
    await expect(placed).rejects.toMatchObject({ code: 'TRANSACTION_IN_DOUBT' })
    expect(world.broker.halves.map((half) => half.fate)).toEqual(['pending'])
    await standbys('')
    await world.quiesce()
    expect(world.delivered()).toEqual(['o-1'])
  })

  test('P2: a session that Postgres ended for idling (25P03) is rolled back, and the caller hears it', async () => {
    const outbox = await world.outbox({ idleInTransactionTimeoutMs: 100 })
    const idle = outbox.transaction(async (trx, messages) => {
      await driver.insert(trx, 'o-1')
      messages.send({ topic: 'orders', body: 'o-1' })
      const sessions =
        "select from pg_stat_activity where state = 'idle in transaction' and datname = current_database()"
      // It has been idle since before the insert was answered, or is ended already.
      await expect.poll(async () => (await world.rows(sessions)).length, { timeout: 10_000 }).toBe(0)
    })
    await expect(idle).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    await place(outbox, 'after')
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([['after'], ['after']])
  })

  test('X2: synchronous_commit lowered inside the transaction is raised again for its COMMIT', async () => {
    const outbox = await world.outbox()
    await world.rows(`create table commits (setting text);
      create function note() returns trigger language plpgsql as
      $$ begin insert into commits values (current_setting('synchronous_commit')); return null; end $$;
      create constraint trigger note after insert on orders deferrable initially deferred for each row execute function note()`)
    for (const [n, lower] of ['off', 'local', 'remote_write', 'remote_apply'].entries())
      await place(outbox, `o-${n}`, `set local synchronous_commit = ${lower}`)
    // Where nobody can read what it does.
    await place(outbox, 'hidden', "select set_config('synchronous' || '_commit', 'off', true)")
    await world.rows(`alter database ${world.db.name} set synchronous_commit = remote_apply`)
    await place(await world.outbox(), 'default')
    expect((await world.rows('select setting from commits')).map((row) => row['setting'])).toEqual([
      'on',
      'on',
      'on',
      'remote_apply',
      'on',
      'remote_apply',
    ])
  })

  test('S3: a prepared transaction answers unknown, also after a crash, until COMMIT PREPARED', async () => {
    const outbox = await world.outbox({ selfCheckTimeoutMs: 300 })
    const other = await world.outbox()
    const prepared = place(outbox, 'o-1', "prepare transaction 'two'")
    await expect(prepared).rejects.toMatchObject({ code: 'TRANSACTION_IN_DOUBT' })
    expect(await world.broker.checkBack()).toEqual(['unknown', 'unknown'])
    await cluster.kill()
    await cluster.start()
    await expect.poll(() => world.rows('select gid from pg_prepared_xacts')).toEqual([{ gid: 'two' }])
    expect(await world.broker.checkBack()).toEqual(['unknown', 'unknown'])
    expect(world.delivered()).toEqual([])
    await world.rows("commit prepared 'two'")
    expect((await world.broker.checkBack())[0]).toBe('commit')
    expect(other.stats().checks).toBeGreaterThan(0)
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([['o-1'], ['o-1']])
  })

  test('S3: PREPARE TRANSACTION waits for the messages as COMMIT does: with the broker away they are rows of it', async () => {
    const outbox = await world.outbox({ selfCheckTimeoutMs: 300 })
    world.broker.away = true
    await place(outbox, 'o-1', "prepare transaction 'two'").catch(() => {})
    world.broker.away = false
    await world.rows("commit prepared 'two'")
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([['o-1'], ['o-1']])
  })

  test('S3: who prepares inside the callback reads that COMMIT PREPARED decides', async () => {
    const outbox = await world.outbox()
    const prepared = place(outbox, 'o-1', "prepare transaction 'two'")
    await expect(prepared).rejects.toThrow('the callback prepared the transaction: COMMIT PREPARED decides')
    expect(outbox.stats()).toMatchObject({ running: 0, committed: 0, rolledBack: 0, anomalies: 0 })
    expect(world.broker.halves.map((half) => half.fate)).toEqual(['pending'])
    await world.rows("rollback prepared 'two'")
  })

  test.each([
    ['a name in use', "prepare transaction 'two'", '42710'],
    ['a slip of the pen', 'prepare transaction two', '42601'],
  ])('S3: a refused PREPARE TRANSACTION (%s) rolls back, and the caller reads its SQLSTATE', async (_, sql, code) => {
    const outbox = await world.outbox()
    await world.rows("begin; create table held (x int); prepare transaction 'two'")
    await expect(place(outbox, 'o-1', sql)).rejects.toMatchObject({ code })
    await expect.poll(() => world.broker.halves.map((half) => half.fate)).toEqual(['rolledBack'])
    expect(outbox.stats()).toMatchObject({ rolledBack: 1, inDoubt: 0 })
    await Promise.all(Array.from({ length: 10 }, (_value, n) => place(outbox, `after-${n}`)))
    await world.rows("rollback prepared 'two'")
    await world.quiesce()
    expect(await world.orders()).toHaveLength(10)
    expect(world.delivered()).toEqual(await world.orders())
  })

  test('S3: PREPARE TRANSACTION after a swallowed error is a rollback, with or without messages', async () => {
    const outbox = await world.outbox()
    for (const isSending of [true, false]) {
      const swallowed = outbox.transaction(async (trx, messages) => {
        await driver.insert(trx, 'o-1')
        if (isSending) messages.send({ topic: 'orders', body: 'o-1' })
        await driver.fail(trx).catch(() => {})
        await driver.query(trx, "prepare transaction 'two'")
      })
      await expect(swallowed).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    }
    await expect.poll(() => world.broker.halves.map((half) => half.fate)).toEqual(['rolledBack'])
    expect(await world.rows('select gid from pg_prepared_xacts')).toEqual([])
    await place(outbox, 'after')
    await world.quiesce()
    expect(world.delivered()).toEqual(['after'])
  })

  test('S3: PREPARE TRANSACTION whose answer is lost leaves it in doubt, and says where to look', async () => {
    const outbox = await world.outbox()
    await standbys('nobody')
    const placed = place(outbox, 'o-1', "prepare transaction 'two'")
    placed.catch(() => {})
    const waiting = `select pid from pg_stat_activity where wait_event = 'SyncRep' and datname = current_database()`
    await expect.poll(async () => (await world.rows(waiting)).length, { timeout: 5_000 }).toBe(1)
    await world.rows(`select pg_terminate_backend(pid) from (${waiting}) w`)
    await expect(placed).rejects.toMatchObject({
      code: 'TRANSACTION_IN_DOUBT',
      message: expect.stringContaining('look into pg_prepared_xacts'),
    })
    await standbys('')
    expect(world.broker.halves.map((half) => half.fate)).toEqual(['pending'])
    expect(await world.rows('select gid from pg_prepared_xacts')).toEqual([{ gid: 'two' }])
    await world.rows("commit prepared 'two'")
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([['o-1'], ['o-1']])
  })

  test('S3: ROLLBACK PREPARED rolls its message back', async () => {
    const outbox = await world.outbox({ selfCheckTimeoutMs: 300 })
    await place(outbox, 'o-1', "prepare transaction 'two'").catch(() => {})
    await world.rows("rollback prepared 'two'")
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
    expect(world.broker.halves.map((half) => half.fate)).toEqual(['rolledBack'])
  })
})

test('C9: a COMMIT answered with tag ROLLBACK and no error is no success, and its message is rolled back', async () => {
  const world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
  const database = new pg.Pool({ connectionString: world.db.url, max: 2 })
  // An error that was swallowed is found before COMMIT; here nothing but the tag tells.
  database.on('connect', (client) => {
    const query = client.query.bind(client) as (text: unknown, ...rest: unknown[]) => unknown
    const turned = (text: unknown, ...rest: unknown[]): unknown =>
      query(typeof text === 'string' ? text.replace(/; commit$/i, '; rollback') : text, ...rest)
    Object.assign(client, { query: turned })
  })
  const outbox = await world.outbox({ database })
  const turned = outbox.transaction(async (trx, messages) => {
    await (trx as unknown as pg.PoolClient).query("insert into orders values ('o-1')")
    messages.send({ topic: 'orders', body: 'o-1' })
  })
  await expect(turned).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
  await expect.poll(() => world.broker.halves.map((half) => half.fate)).toEqual(['rolledBack'])
  expect(outbox.stats()).toMatchObject({ inDoubt: 0, rolledBack: 1, committed: 0 })
  await world.quiesce()
  expect([await world.orders(), world.delivered()]).toEqual([[], []])
  await database.end()
  await world.close()
})

test('S3: who joined and prepares reads the answer of Postgres; messages are over, COMMIT PREPARED delivers them', async () => {
  const world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
  const outbox = await world.outbox()
  const client = await world.pool.connect()
  await client.query('begin')
  await client.query("insert into orders values ('o-1')")
  const messages = outbox.join(client)
  messages.send({ topic: 'orders', body: 'o-1' })
  expect((await client.query("prepare transaction 'two'")).command).toBe('PREPARE')
  expect(() => messages.send({ topic: 'orders', body: 'late' })).toThrow(/ILLEGAL_OPERATION/)
  expect(await world.broker.checkBack()).toEqual(['unknown'])
  await client.query("commit prepared 'two'")
  expect(await world.broker.checkBack()).toEqual(['commit'])
  // The next transaction on the connection is another one.
  await client.query('begin')
  outbox.join(client).send({ topic: 'orders', body: 'o-2' })
  await client.query('commit')
  client.release()
  await world.quiesce()
  expect(world.delivered()).toEqual(['o-1', 'o-2'])
  await world.close()
})

const verdict = (state: Verdict['state'], nowMs: number): Resolver =>
  ({ check: async () => ({ state, nowMs }) }) as unknown as Resolver
const decided = (state: Verdict['state'], ageMs: number): Promise<'committed' | 'rolledBack' | undefined> =>
  selfCheck(verdict(state, 1_000_000 + ageMs), systemClock, 'key', 1_000_000, 10)

test('G5: a marker found absent 5 minutes after its insert may have been swept: in doubt, never rolled back', async () => {
  expect(await decided('R', 299_999)).toBe('rolledBack')
  expect(await decided('R', 300_000)).toBeUndefined()
  expect(await decided('R', 900_000)).toBeUndefined()
  expect(await decided('C', 900_000)).toBe('committed')
  expect(await decided('F', 900_000)).toBe('committed')
  expect(await decided('running', 0)).toBeUndefined()
})
