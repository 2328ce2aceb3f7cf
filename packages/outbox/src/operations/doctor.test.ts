import pg from 'pg'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { databaseWithTables, poolOf, prepareTables } from '../database/database-test-kit.ts'
import { firstIdAt } from '../database/transaction-id.ts'
import { migrateDatabase } from '../schema/migrate.ts'
import { migrations } from '../schema/migrations.ts'
import { Schema } from '../schema/schema.ts'
import { findPoolerFaults } from './doctor-server.ts'
import { diagnose } from './doctor.ts'
import type { DoctorOptions } from './doctor.ts'
import type { Finding } from './finding.ts'
import { readOutboxTables } from './status.ts'

// A server of its own: what is set here would disturb others, and its fsync is on as at users'.
let cluster: PostgresCluster
let server: pg.Pool
beforeAll(async () => {
  cluster = await PostgresCluster.start({ fsync: 'on' })
  await prepareTables(cluster.url('postgres'))
  server = poolOf(cluster.url('postgres'))
})
afterAll(async () => {
  await server.end()
  await cluster.stop()
})

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function database(): Promise<{ pool: pg.Pool; url: string }> {
  const made = await databaseWithTables()
  closers.push(made.close)
  return made
}

/** What it finds beyond the test server's own fsync=off. */
const checks = async (pool: pg.Pool, options?: DoctorOptions): Promise<string[]> =>
  (await diagnose(pool, options)).map(({ check }) => check).filter((check) => check !== 'fsync')

test('a server with sound settings and tables of today is well', async () => {
  expect(await diagnose(server)).toEqual([])
})

test.each([
  ['full_page_writes', 'off', 'fullPageWrites'],
  ['synchronous_commit', 'off', 'synchronousCommit'],
  ['synchronous_commit', 'local', 'synchronousCommit'],
  ['synchronous_standby_names', 'nobody', 'missingStandby'],
  ['autovacuum', 'off', 'autovacuum'],
  ['idle_in_transaction_session_timeout', '300ms', 'idleInTransaction'],
])('%s = %s is found', async (setting, value, check) => {
  // On the connection of the doctor: nobody has to wait for a reload.
  const found: Finding[] = []
  await server.query(`alter system set ${setting} = '${value}'`)
  await server.query('select pg_reload_conf()')
  await expect
    .poll(async () => (await server.query(`select current_setting($1) as now`, [setting])).rows[0].now)
    .toBe(value)
  closers.push(async () => {
    await server.query(`alter system reset ${setting}`)
    await server.query('select pg_reload_conf()')
    await expect.poll(() => diagnose(server)).toEqual([])
  })
  found.push(...(await diagnose(server)))
  expect(found.map((finding) => finding.check)).toEqual([check])
})

test('fsync = off is an error', async () => {
  const { pool } = await database()
  expect(await diagnose(pool)).toContainEqual(expect.objectContaining({ level: 'error', check: 'fsync' }))
})

test('an attached standby that nobody waits for is found', async () => {
  await server.query(`select pg_create_physical_replication_slot('standby')`)
  // A walsender is all that a standby is, seen from here.
  const standby = new pg.Client({ connectionString: `${cluster.url('postgres')}?replication=true` } as pg.ClientConfig)
  Object.assign((standby as unknown as { connectionParameters: object }).connectionParameters, { replication: 'true' })
  standby.on('error', () => {})
  await standby.connect()
  closers.push(
    () => server.query(`select pg_drop_replication_slot('standby')`),
    () => standby.end(),
  )
  standby.query('start_replication slot standby physical 0/1000000').catch(() => {})
  await expect.poll(async () => (await diagnose(server)).map(({ check }) => check)).toEqual(['asyncStandby'])
})

test('tables that are missing or old are found', async () => {
  const { pool } = await database()
  expect(await checks(pool, { schema: 'other' })).toEqual(['schema'])
  await pool.query('delete from tandem.migration where version > 1')
  expect(await checks(pool)).toEqual(['schema'])
})

test('a copy of the database and a promoted standby are found, until somebody adopts the cluster', async () => {
  const { pool } = await database()
  await pool.query(`update tandem.domain set system_identifier = system_identifier + 1, timeline = '00000009'`)
  expect(await checks(pool)).toEqual(['clone', 'promoted'])
  await migrateDatabase(pool, new Schema('tandem'), { adoptCluster: true })
  expect(await checks(pool)).toEqual([])
  await pool.query('update tandem.domain set system_identifier = null')
  expect(await checks(pool)).toEqual(['clusterUnknown'])
})

test('rights that are missing are found by name', async () => {
  const { pool, url } = await database()
  const role = `patient_${process.pid}`
  await pool.query(`create role ${role} login password 'patient'; grant usage on schema tandem to ${role};
    grant select, insert, update on all tables in schema tandem to ${role}`)
  const patient = poolOf(url.replace(/\/\/[^@]*@/, `//${role}:patient@`))
  closers.push(
    () => pool.query(`drop owned by ${role}; drop role ${role}`),
    () => patient.end(),
  )
  expect(await checks(patient)).toEqual(['rights', 'rightToTruncate', 'inboxOwner'])
  expect((await diagnose(patient)).find(({ check }) => check === 'rights')?.detail).toContain('DELETE on "tandem"."tx"')
  await pool.query(`grant delete, truncate on all tables in schema tandem to ${role}`)
  expect((await checks(patient)).filter((check) => check.startsWith('right'))).toEqual([])
})

test('old markers, waiting and dead messages, and who blocks are found and shown', async () => {
  const { pool } = await database()
  const old = firstIdAt(Date.now() - 3_600_000)
  await pool.query(`insert into tandem.tx (tx_id, at) values ('${old}', clock_timestamp() - interval '1 hour')`)
  await pool.query(`insert into tandem.outbox (tx_id, n, topic, body, group_key) values ('${old}', 0, 't', 'x', 'k')`)
  await pool.query(
    `insert into tandem.outbox_dead (id, tx_id, n, topic, body, attempts, reason) values (7, '${old}', 1, 't', 'x', 3, 'no')`,
  )
  const holder = await pool.connect()
  await holder.query(`begin isolation level repeatable read; select 1 from tandem.tx`)
  expect(await checks(pool, { blockerSeconds: 0 })).toEqual([
    'oldMarkers',
    'waitingMessages',
    'deadMessages',
    'blocker',
  ])
  expect(await checks(pool, { markerSeconds: 9_999, waitingSeconds: 9_999 })).toEqual(['deadMessages'])
  const status = await readOutboxTables(pool)
  expect(status).toMatchObject({
    version: migrations(new Schema('tandem')).length,
    markers: { committed: 1, forwarded: 0, tombstones: 0 },
    waiting: { rows: 1, keys: 1, leased: 0, attemptsMax: 0 },
    dead: 1,
    inbox: { partitions: 0, unrouted: 0 },
  })
  for (const seconds of [status.markers.oldestSeconds, status.waiting.oldestSeconds]) {
    expect(Math.abs((seconds ?? 0) - 3_600)).toBeLessThan(60)
  }
  await holder.query('rollback')
  holder.release()
})

test('a pooler gives itself away by a process id that is not the server’s', async () => {
  const client = await server.connect()
  expect(await findPoolerFaults(client)).toEqual([])
  const pooled = Object.assign(Object.create(client) as pg.PoolClient, {
    processID: 1,
    query: client.query.bind(client),
  })
  expect((await findPoolerFaults(pooled)).map(({ check }) => check)).toEqual(['pooler'])
  client.release()
})
