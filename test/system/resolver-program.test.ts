import { Admin, PushConsumer, TransactionProducer } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'

const COMMITTED = '01990000-0000-7000-8000-000000000001'
const NEVER = '01990000-0000-7000-8000-000000000002'

test('with every producer of a database gone, tandem resolver settles what they left, and ends in order', async () => {
  using folder = temporaryDirectory('resolver')
  await using database = await startTestDatabase()
  const pool = new pg.Pool({ connectionString: database.url, max: 2 })
  // A connection that is still saying goodbye when the database is dropped.
  pool.on('error', () => {})
  const set = { transactionTimeoutMs: 900, transactionCheckIntervalMs: 400 }
  const broker = tandemUp({ dataDir: folder.path, port: await freePort(), set })
  const nameServers = await broker.ready()
  await new Outbox({ database: pool, nameServers, group: 'orders' }).migrate()
  const resolver = new ChildProgram({
    file: 'packages/cli/bin/tandem.js',
    args: ['resolver', '--database-url', database.url, '--name-server', nameServers, '--json', '--report', '0'],
    readyLine: /"ready":true/,
  })
  await resolver.ready()
  const admin = new Admin({ nameServers })
  const consumer = new PushConsumer({ nameServers, group: 'billing', startFrom: 'first' })
  try {
    await admin.start()
    await admin.createTopic('orders')
    const received: string[] = []
    consumer.subscribe('orders', '*', async ({ body }) => void received.push(body.toString()))
    await consumer.start()
    const { rows } = await pool.query('select domain_id from tandem.domain')
    await pool.query('insert into tandem.tx (tx_id) values ($1)', [COMMITTED])
    const dying = new TransactionProducer({ nameServers, group: 'orders', check: async () => 'unknown' })
    await dying.start()
    for (const id of [COMMITTED, NEVER]) {
      const properties = { TANDEM_DOMAIN: String(rows[0].domain_id) }
      await dying.prepare({ topic: 'orders', body: id, dedupKey: `${id}:0`, properties }, { transactionId: id })
    }
    await dying.close()
    await expect.poll(async () => (await admin.transactions()).length, { timeout: 30_000 }).toBe(0)
    await expect.poll(() => received, { timeout: 10_000 }).toEqual([COMMITTED])
    expect(await resolver.stop()).toBe('0')
    const last = JSON.parse(resolver.out.trim().split('\n').at(-1) ?? '') as unknown
    expect(last).toMatchObject({ healthy: true, answers: { commit: 1, rollback: 1 } })
  } finally {
    await consumer.close()
    await admin.close()
    await Promise.all([resolver, broker].map((program) => program.stop('SIGKILL')))
    await pool.end()
  }
})
