import pg from 'pg'
import { startTestDatabase } from '@tandemmq/testing/database'
import { afterEach, expect, test } from 'vitest'
import { FakeBroker } from '../fake-broker-test-kit.ts'
import { Outbox } from '../outbox.ts'
import { migrations } from './migrations.ts'
import { Schema } from './schema.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function empty() {
  const db = await startTestDatabase()
  closers.push(() => db.close())
  const outboxAt = (url: string, schema?: string) => {
    const pool = new pg.Pool({ connectionString: url })
    pool.on('error', () => {})
    closers.push(() => pool.end())
    const producer = new FakeBroker().sender()
    const outbox = new Outbox({
      database: pool,
      group: 'orders',
      producer,
      ...(schema === undefined ? {} : { schema }),
    })
    closers.push(() => outbox.close())
    return { outbox, pool }
  }
  return { url: db.url, outboxAt, ...outboxAt(db.url) }
}

test('eight processes that migrate at once make one schema, and again changes nothing', async () => {
  const { url, outboxAt, pool } = await empty()
  const all = Array.from({ length: 8 }, () => outboxAt(url).outbox)
  await Promise.all(all.map((outbox) => outbox.migrate()))
  const domain = (await pool.query('select domain_id from tandem.domain')).rows
  await all[0]?.migrate()
  expect((await pool.query('select domain_id from tandem.domain')).rows).toEqual(domain)
  expect((await pool.query('select version from tandem.migration')).rows).toEqual(
    migrations(new Schema('tandem')).map((_, n) => ({ version: n + 1 })),
  )
  await all[0]?.start()
})

test('start without the tables says SCHEMA_MISSING, without a database DATABASE_UNAVAILABLE', async () => {
  const { outbox, outboxAt } = await empty()
  await expect(outbox.start()).rejects.toMatchObject({ code: 'SCHEMA_MISSING' })
  const nowhere = outboxAt('postgres://postgres@127.0.0.1:1/none').outbox
  await expect(nowhere.start()).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
  await expect(nowhere.migrate()).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
  await outbox.migrate()
  await outbox.start()
})

test('two schemas of one database are two domains', async () => {
  const { url, outboxAt, outbox, pool } = await empty()
  await Promise.all([outbox.migrate(), outboxAt(url, 'other').outbox.migrate()])
  const { rows } = await pool.query('select domain_id from tandem.domain union select domain_id from other.domain')
  expect(rows).toHaveLength(2)
})

test('a role without DELETE is told so at start, by name; migrate passes where nothing is missing', async () => {
  const { url, outboxAt, outbox, pool } = await empty()
  await outbox.migrate()
  const role = `clerk_${process.pid}`
  await pool.query(`create role ${role} login password 'clerk'; grant usage on schema tandem to ${role};
    grant select, insert, update on all tables in schema tandem to ${role}`)
  const clerkUrl = url.replace(/\/\/[^@]*@/, `//${role}:clerk@`)
  const clerk = outboxAt(clerkUrl).outbox
  await clerk.migrate()
  await expect(clerk.start()).rejects.toMatchObject({
    code: 'NO_PERMISSION',
    message: expect.stringMatching(new RegExp(`role ${role} lacks .*DELETE on "tandem"."tx"`)),
  })
  await expect(outboxAt(clerkUrl, 'fresh').outbox.migrate()).rejects.toMatchObject({ code: 'NO_PERMISSION' })
  await pool.query(`grant delete on all tables in schema tandem to ${role}`)
  await clerk.start()
  await clerk.close()
  await pool.query(`drop owned by ${role}; drop role ${role}`)
})

test('a dump restored into another cluster is refused until somebody adopts it', async () => {
  const { outbox, pool } = await empty()
  await outbox.migrate()
  await pool.query('update tandem.domain set system_identifier = system_identifier + 1')
  await expect(outbox.start()).rejects.toMatchObject({ code: 'DOMAIN_MISMATCH' })
  await outbox.migrate({ adoptCluster: true })
  await outbox.start()
})

test('options nobody can mean are refused at once', () => {
  const producer = new FakeBroker().sender()
  const pool = new pg.Pool({})
  const bad = [
    { database: {} as pg.Pool, group: 'g', producer },
    { database: pool, group: 'g', producer, schema: 'a"b' },
    { database: pool, group: 'g' },
  ]
  for (const options of bad) expect(() => new Outbox(options)).toThrow(/OPTION_INVALID/)
})
