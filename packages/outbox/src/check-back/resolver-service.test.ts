import type pg from 'pg'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import { afterEach, expect, test } from 'vitest'
import { databaseWithTables, poolOf, prepareTables, untilCommitsWait } from '../database/database-test-kit.ts'
import { newTransactionId } from '../database/transaction-id.ts'
import { FakeBroker } from '../fake-broker-test-kit.ts'
import { systemClock } from '../foundation.ts'
import type { DomainAnswer, HalfSender } from '../settlement/half-sender.ts'
import { ResolverService } from './resolver-service.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

const newId = (): string => newTransactionId(systemClock)

async function database(): Promise<pg.Pool> {
  const { pool, close } = await databaseWithTables()
  closers.push(close)
  return pool
}

type Ask = (...ids: string[]) => Promise<readonly DomainAnswer[]>

/** A resolver of the domain, and how a broker asks it. */
async function start(pool: pg.Pool, deadlineMs?: number): Promise<{ service: ResolverService; ask: Ask }> {
  const asked: Ask[] = []
  const producer: HalfSender = {
    ...new FakeBroker().sender(),
    start: async (_check, domain) => void asked.push(async (...ids) => (await domain?.check(ids)) ?? []),
  }
  const service = new ResolverService({ database: pool, producer, ...(deadlineMs === undefined ? {} : { deadlineMs }) })
  await service.start()
  closers.push(() => service.close())
  return { service, ask: asked[0] as Ask }
}

const marker = (id: string): string => `insert into tandem.tx (tx_id) values ('${id}')`

test('one question about many: committed, rolled back, forwarded and still running', async () => {
  const pool = await database()
  const { service, ask } = await start(pool)
  const [committed, forwarded, absent, running] = [newId(), newId(), newId(), newId()]
  await pool.query(`${marker(committed)}; insert into tandem.tx (tx_id, state) values ('${forwarded}', 'F')`)
  const owner = await pool.connect()
  await owner.query(`begin; ${marker(running)}`)
  expect(await ask(committed, forwarded, absent, running)).toEqual(['commit', 'rollback', 'rollback', 'unknown'])
  await owner.query('commit')
  owner.release()
  expect(await ask(running)).toEqual(['commit'])
  expect(service.stats()).toMatchObject({ answers: { commit: 2, rollback: 2, unknown: 1, notMine: 0 }, healthy: true })
})

test('a resolver that dies between its upsert and its commit has answered nothing: the owner still decides', async () => {
  const pool = await database()
  const { ask } = await start(pool)
  const id = newId()
  const dying = await pool.connect()
  dying.on('error', () => {})
  await dying.query(`begin; insert into tandem.tx (tx_id, state) values ('${id}', 'R')`)
  expect(await ask(id)).toEqual(['unknown'])
  const { rows } = await dying.query('select pg_backend_pid() as pid')
  await pool.query('select pg_terminate_backend($1)', [rows[0].pid])
  dying.release(true)
  await expect
    .poll(() =>
      pool.query(marker(id)).then(
        () => 'inserted',
        () => 'locked',
      ),
    )
    .toBe('inserted')
  expect(await ask(id)).toEqual(['commit'])
})

test('two resolvers asked at once about one key give one answer', async () => {
  const pool = await database()
  const [first, second] = [await start(pool), await start(pool)]
  for (let n = 0; n < 20; n++) {
    const id = newId()
    if (n % 2 === 0) await pool.query(marker(id))
    const decided = n % 2 === 0 ? 'commit' : 'rollback'
    const answers = (await Promise.all([first.ask(id), second.ask(id)])).flat()
    for (const answer of answers) expect(['unknown', decided]).toContain(answer)
    expect(await first.ask(id)).toEqual([decided])
    expect(await second.ask(id)).toEqual([decided])
  }
})

test('a resolver of another database says not mine and leaves no tombstone', async () => {
  const [mine, other] = [await database(), await database()]
  await other.query('update tandem.domain set domain_id = gen_random_uuid()')
  const { ask } = await start(other)
  await other.query('update tandem.domain set domain_id = gen_random_uuid()')
  const id = newId()
  await mine.query(marker(id))
  expect(await ask(id)).toEqual(['notMine'])
  expect((await other.query('select from tandem.tx')).rowCount).toBe(0)
})

test('a clone of a dump in another cluster is refused at start', async () => {
  const pool = await database()
  await pool.query('update tandem.domain set system_identifier = system_identifier + 1')
  await expect(start(pool)).rejects.toMatchObject({ code: 'DOMAIN_MISMATCH' })
})

test('with the synchronous standby missing every answer is unknown in time, and one backend hangs at most', async () => {
  const cluster = await PostgresCluster.start()
  closers.push(() => cluster.stop())
  await prepareTables(cluster.url('postgres'))
  const pool = poolOf(cluster.url('postgres'))
  closers.push(() => pool.end())
  const { service, ask } = await start(pool, 300)
  await pool.query(`alter system set synchronous_standby_names = 'nobody'`)
  await pool.query('select pg_reload_conf()')
  await untilCommitsWait(cluster.url('postgres'))
  const ids = [newId(), newId(), newId(), newId()]
  expect((await Promise.all([ask(...ids.slice(0, 2)), ask(ids[2] ?? '')])).flat()).toEqual(Array(3).fill('unknown'))
  for (let n = 0; n < 3; n++) expect(await ask(ids[3] ?? '')).toEqual(['unknown'])
  const waiting = await pool.query(`select from pg_stat_activity where wait_event = 'SyncRep'`)
  expect(waiting.rowCount).toBeLessThanOrEqual(1)
  expect(service.stats().healthy).toBe(false)
  await pool.query('alter system reset synchronous_standby_names')
  await pool.query('select pg_reload_conf()')
  await expect.poll(() => ask(ids[0] ?? ''), { timeout: 15_000 }).toEqual(['rollback'])
  expect(service.stats().healthy).toBe(true)
})
