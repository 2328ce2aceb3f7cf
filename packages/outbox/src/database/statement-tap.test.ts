import pg from 'pg'
import { startTestDatabase } from '@tandemmq/testing/database'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Driver, drivers, prepare, World } from '../outbox-world-test-kit.ts'

let world: World
beforeEach(async () => {
  world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
})
afterEach(() => world.close())

/** As pg-cursor and pg-query-stream hand their queries in: no text that the outbox would read. */
function pass(trx: unknown, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const { Query } = pg as unknown as {
      Query: new (text: string, values: undefined, done: (error: Error | null) => void) => pg.Submittable
    }
    ;(trx as pg.PoolClient).query(new Query(text, undefined, (error) => (error === null ? resolve() : reject(error))))
  })
}

test('a ROLLBACK that slips past the outbox, with another BEGIN behind it, delivers nothing', async () => {
  const outbox = await world.outbox()
  const transaction = outbox.transaction(async (trx, messages) => {
    await world.driver.insert(trx, 'o-1')
    messages.send({ topic: 'orders', body: 'o-1' })
    await pass(trx, 'rollback; begin')
  })
  await expect(transaction).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
  expect(outbox.stats().inDoubt).toBe(1)
  await world.quiesce()
  expect([await world.orders(), world.delivered()]).toEqual([[], []])
})

test('nobody waits for a COMMIT that slips past the outbox: its message arrives all the same', async () => {
  const outbox = await world.outbox()
  let passing: Promise<void> | undefined
  await outbox.transaction(async (trx, messages) => {
    await world.driver.insert(trx, 'o-1')
    messages.send({ topic: 'orders', body: 'o-1' })
    passing = pass(trx, 'commit; begin')
  })
  await passing
  expect(outbox.stats().inDoubt).toBe(1)
  await world.quiesce()
  expect([await world.orders(), world.delivered()]).toEqual([['o-1'], ['o-1']])
})

test('ROLLBACK TO is no end of the transaction', async () => {
  const outbox = await world.outbox()
  await outbox.transaction(async (trx, messages) => {
    await world.driver.insert(trx, 'o-1')
    await world.driver.query(trx, 'savepoint a')
    await world.driver.fail(trx).catch(() => {})
    await world.driver.query(trx, 'rollback to a')
    messages.send({ topic: 'orders', body: 'o-1' })
  })
  expect(outbox.stats()).toMatchObject({ inDoubt: 0, committed: 1 })
  await world.quiesce()
  expect([await world.orders(), world.delivered()]).toEqual([['o-1'], ['o-1']])
})
