import pg from 'pg'
import type { TestDatabase } from '@tandemmq/testing/database'
import { startTestDatabase } from '@tandemmq/testing/database'
import { afterEach, expect, test } from 'vitest'
import { ResolverService } from '../check-back/resolver-service.ts'
import { Resolver } from '../check-back/resolver.ts'
import { poolOf } from '../database/database-test-kit.ts'
import { newTransactionId } from '../database/transaction-id.ts'
import { FakeBroker } from '../fake-broker-test-kit.ts'
import { systemClock } from '../foundation.ts'
import { diagnose } from '../operations/doctor.ts'
import type { OutboxOptions } from '../outbox-options.ts'
import { prepare } from '../outbox-world-test-kit.ts'
import { Outbox } from '../outbox.ts'
import { silentLogger } from '../silent-logger.ts'
import { Schema } from './schema.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

function opened(url: string): pg.Pool {
  const pool = poolOf(url)
  closers.push(() => pool.end())
  return pool
}

function outboxOf(database: pg.Pool, broker: FakeBroker, options: Partial<OutboxOptions<pg.Pool>> = {}) {
  const outbox = new Outbox({ database, group: 'orders', producer: broker.sender(), relayIntervalMs: 20, ...options })
  closers.push(() => outbox.close())
  return outbox
}

async function original(): Promise<TestDatabase> {
  const db = await startTestDatabase({ prepare })
  closers.push(() => db.close())
  return db
}

/** CREATE DATABASE … TEMPLATE wants nobody to be connected to the original. */
async function copyOf(db: TestDatabase): Promise<pg.Pool> {
  const admin = new pg.Client({ connectionString: db.url.replace(db.name, 'postgres') })
  await admin.connect()
  const name = `${db.name}_copy`
  closers.push(async () => {
    await admin.query(`drop database ${name} with (force)`)
    await admin.end()
  })
  await admin.query(`create database ${name} template ${db.name}`)
  return opened(db.url.replace(db.name, name))
}

const one = async (pool: pg.Pool, sql: string): Promise<string> => String((await pool.query(sql)).rows[0]?.value)
const DOMAIN = 'select domain_id as value from tandem.domain'
const checks = async (pool: pg.Pool): Promise<string[]> =>
  (await diagnose(pool)).map(({ check }) => check).filter((check) => check !== 'fsync')

test('a copy of the database inside its cluster is refused, by outbox and resolver, and told both ways out', async () => {
  const db = await original()
  const copy = await copyOf(db)
  const broker = new FakeBroker()
  const refusal = {
    code: 'DOMAIN_MISMATCH',
    message: expect.stringMatching(/is a copy.*migrate\(\{ newDomain: true \}\).*--adopt-cluster/),
  }
  await expect(outboxOf(copy, broker).start()).rejects.toMatchObject(refusal)
  const service = new ResolverService({ database: copy, producer: broker.sender() })
  await expect(service.start()).rejects.toMatchObject(refusal)
  expect(await checks(copy)).toEqual(['clone'])
  const pool = opened(db.url)
  await outboxOf(pool, broker).start()
  expect(await checks(pool)).toEqual([])
  await outboxOf(copy, broker).migrate({ adoptCluster: true })
  expect(await one(copy, DOMAIN)).toBe(await one(pool, DOMAIN))
  await outboxOf(copy, broker).start()
})

test('with a domain of its own a copy starts, and sends nothing that waits in the original', async () => {
  const db = await original()
  const broker = new FakeBroker()
  const first = new pg.Pool({ connectionString: db.url, max: 4 })
  const outbox = new Outbox({ database: first, group: 'orders', producer: broker.sender() })
  await outbox.start()
  broker.away = true
  await outbox.transaction((_, messages) => messages.send({ topic: 'orders', body: 'o-1' }))
  await outbox.close()
  await first.end()
  const copy = await copyOf(db)
  const pool = opened(db.url)
  await outboxOf(copy, broker).migrate({ newDomain: true })
  expect(await one(copy, DOMAIN)).not.toBe(await one(pool, DOMAIN))
  broker.away = false
  await outboxOf(copy, broker).start()
  expect(await one(copy, 'select count(*) as value from tandem.outbox')).toBe('0')
  expect(await one(copy, 'select reason as value from tandem.outbox_dead')).toBe(
    `copied with domain ${await one(pool, DOMAIN)}, which sends it`,
  )
  expect(await checks(copy)).toEqual(['deadMessages'])
  expect(broker.delivered).toEqual([])
  await outboxOf(pool, broker).start()
  await expect.poll(() => broker.delivered.map(({ body }) => String(body))).toEqual(['o-1'])
})

test('asked about the original, a copy under a running process says that it is another database, and fences nothing', async () => {
  const db = await original()
  const copy = await copyOf(db)
  const resolverAt = (pool: pg.Pool, domainId: string): Resolver =>
    new Resolver({ pool, schema: new Schema('tandem'), domainId, clock: systemClock, logger: silentLogger })
  const domainId = await one(copy, DOMAIN)
  const id = newTransactionId(systemClock)
  expect((await resolverAt(copy, domainId).check(id)).state).toBe('notMine')
  expect(await one(copy, 'select count(*) as value from tandem.tx')).toBe('0')
  expect((await resolverAt(opened(db.url), domainId).check(id)).state).toBe('R')
})

test('a transaction of a copy cannot be joined to the outbox of the original', async () => {
  const db = await original()
  const copy = await copyOf(db)
  const broker = new FakeBroker()
  const outbox = outboxOf(opened(db.url), broker)
  await outbox.start()
  const client = await copy.connect()
  closers.push(async () => client.release())
  await client.query('begin')
  await client.query("insert into orders values ('o-1')")
  outbox.join(client).send({ topic: 'orders', body: 'o-1' })
  await expect(client.query('commit')).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  expect([broker.halves, (await copy.query('select from orders')).rowCount]).toEqual([[], 0])
})

test('after a promotion an outbox starts and says that there may be two of a kind', async () => {
  const pool = opened((await original()).url)
  await pool.query(`update tandem.domain set timeline = '00000009'`)
  const warnings: string[] = []
  const warn = (text: string): void => void warnings.push(text)
  const broker = new FakeBroker()
  await outboxOf(pool, broker, { logger: { ...silentLogger, warn } }).start()
  expect(warnings).toEqual([expect.stringMatching(/timeline \d{8} instead of 00000009: .*promoted/)])
  await outboxOf(pool, broker).migrate({ newDomain: true })
  expect(await checks(pool)).toEqual([])
})

test('a copy may have a domain of its own or the one of the original, not both', async () => {
  const pool = opened((await original()).url)
  const both = outboxOf(pool, new FakeBroker()).migrate({ adoptCluster: true, newDomain: true })
  await expect(both).rejects.toMatchObject({ code: 'OPTION_INVALID' })
})
