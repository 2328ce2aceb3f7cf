import { startTestDatabase } from '@tandemmq/testing/database'
import type { TestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { called } from './call-test-kit.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await startTestDatabase()
  pool = new pg.Pool({ connectionString: database.url, max: 2 })
  pool.on('error', () => {}) // A connection may still say goodbye when the database is dropped.
  await tandem('outbox', 'migrate')
})

afterAll(async () => {
  await pool.end()
  await database.close()
})

const tandem = (...argv: string[]) => called(...argv, '--database-url', database.url)

const bury = (id: number): Promise<unknown> =>
  pool.query(
    `insert into tandem.outbox_dead (id, tx_id, n, topic, group_key, body, attempts, reason, history)
     values ($1, gen_random_uuid(), 0, 'orders', 'k', 'xyz', 20, 'not now', '{first,second}')`,
    [id],
  )

test('dead messages are listed with what the broker said, and requeued one by one or all', async () => {
  expect((await tandem('outbox', 'dead', 'list')).out).toBe('no dead messages')
  for (const id of [7, 8, 9]) await bury(id)
  expect((await tandem('outbox', 'dead', 'list')).out).toMatch(/^ID +KEY .*\n7 .*:0 +orders +k +3 +20 .*not now/)
  const [row] = JSON.parse((await tandem('outbox', 'dead', 'list', '--after', '7', '--limit', '1', '--json')).out)
  expect(row).toMatchObject({ id: '8', groupKey: 'k', history: ['first', 'second'] })
  expect(await tandem('outbox', 'dead', 'requeue')).toMatchObject({ code: 2 })
  expect(await tandem('outbox', 'dead', 'requeue', 'x')).toMatchObject({ code: 2 })
  expect((await tandem('outbox', 'dead', 'requeue', '8')).out).toBe('1 message waits in the outbox again')
  expect(JSON.parse((await tandem('outbox', 'dead', 'requeue', '--all', '--json')).out)).toEqual({ requeued: 2 })
  const { rows } = await pool.query('select id::int, attempts, history[3] as last from tandem.outbox order by id')
  expect(rows.map(({ id, attempts }) => [id, attempts])).toEqual([7, 8, 9].map((id) => [id, 0]))
  expect(rows[0].last).toMatch(/^20.*Z requeued$/)
  await pool.query('delete from tandem.outbox')
})

test('the doctor prints what it found, fails on an error, and gives programs names of checks', async () => {
  const { code, out, err } = await tandem('outbox', 'doctor')
  expect([code, err]).toEqual([1, expect.stringContaining('[OUTBOX_AILING] the doctor found 1 error')])
  expect(out).toMatch(/^LEVEL +CHECK +DETAIL\nerror +fsync +fsync is off/)
  await pool.query(`update tandem.domain set timeline = '000000FF'`)
  const findings = JSON.parse((await tandem('outbox', 'doctor', '--json')).out) as { level: string; check: string }[]
  expect(findings.map(({ level, check }) => [level, check])).toEqual([
    ['error', 'fsync'],
    ['warning', 'promoted'],
  ])
  expect(await tandem('outbox', 'doctor', '--schema', 'a;b')).toMatchObject({ code: 2 })
})

test('the doctor names a copy and the command that gives it a domain of its own', async () => {
  const domain = async (): Promise<string> =>
    String((await pool.query('select domain_id as value from tandem.domain')).rows[0].value)
  const before = await domain()
  await pool.query('update tandem.domain set database_oid = 1')
  expect((await tandem('outbox', 'doctor')).out).toMatch(/error +clone .*tandem outbox migrate --new-domain/)
  expect(await tandem('outbox', 'migrate', '--adopt-cluster', '--new-domain')).not.toMatchObject({ code: 0 })
  expect(await domain()).toBe(before)
  expect(await tandem('outbox', 'migrate', '--new-domain')).toMatchObject({ code: 0 })
  expect(await domain()).not.toBe(before)
  expect((await tandem('outbox', 'doctor')).out).not.toContain('clone')
})

test('status names nobody whose transaction is young', async () => {
  const holder = await pool.connect()
  await holder.query('begin isolation level repeatable read; select 1 from tandem.tx')
  const { code, out } = await tandem('outbox', 'status')
  expect([code, out]).toEqual([0, expect.stringContaining('inbox')])
  const status = JSON.parse((await tandem('outbox', 'status', '--json')).out) as { blockers: unknown[] }
  expect(status.blockers).toEqual([])
  await holder.query('rollback')
  holder.release()
})
