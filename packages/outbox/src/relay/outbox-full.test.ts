import { startTestDatabase } from '@tandemmq/testing/database'
import { expect, test } from 'vitest'
import { poolOf } from '../database/database-test-kit.ts'
import { FakeBroker } from '../fake-broker-test-kit.ts'
import { OutboxError } from '../outbox-error.ts'
import { Outbox } from '../outbox.ts'
import { RowCap } from './row-cap.ts'

test('with outboxRowsMax an outage fails transactions loudly, and they pass again after it', async () => {
  await using db = await startTestDatabase()
  const pool = poolOf(db.url)
  const broker = new FakeBroker()
  const outbox = new Outbox({
    ...{ database: pool, group: 'orders', producer: broker.sender() },
    ...{ relayIntervalMs: 20, outboxRowsMax: 5 },
  })
  await outbox.migrate()
  await outbox.start()
  await pool.query('create table orders (id int)')
  const place = (id: number) =>
    outbox.transaction(async (trx, messages) => {
      await trx.query('insert into orders values ($1)', [id])
      messages.send({ topic: 'orders', body: String(id) })
    })
  broker.away = true
  const outcomes: string[] = []
  for (let id = 0; id < 8; id++) {
    outcomes.push(
      await place(id).then(
        () => 'committed',
        (error: unknown) => (error as OutboxError).code,
      ),
    )
  }
  expect(outcomes).toEqual([...Array<string>(5).fill('committed'), ...Array<string>(3).fill('OUTBOX_FULL')])
  expect((await pool.query('select from orders')).rowCount).toBe(5)
  broker.away = false
  await expect.poll(() => broker.delivered.length, { timeout: 15_000 }).toBe(5)
  await expect.poll(() => outbox.stats().outboxRows, { timeout: 5_000 }).toBe(0)
  await place(9)
  await outbox.close()
  await pool.end()
})

test('the cap counts what was found and what was added since', () => {
  const cap = new RowCap(3)
  cap.add(2)
  expect(() => cap.add(2)).toThrow(/OUTBOX_FULL/)
  cap.counted(3)
  expect(() => cap.add(1)).toThrow(/3 messages wait/)
  cap.counted(0)
  cap.add(3)
})
