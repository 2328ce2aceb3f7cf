// Postgres transactions with messages, on a broker that is not ours.
import { setTimeout as pause } from 'node:timers/promises'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing'
import knexFactory from 'knex'
import { until } from '../servers/process.mjs'
import { ARRIVE_MS, expect } from './world.mjs'

async function setUp(world, options = {}) {
  const database = await startTestDatabase()
  world.closing(() => database.close())
  const knex = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 8 } })
  world.closing(() => knex.destroy())
  await knex.raw('create table orders (id text primary key)')
  const outbox = new Outbox({ database: knex, nameServers: world.nameServers, group: world.group, ...options })
  await outbox.migrate()
  await outbox.start()
  world.closing(() => outbox.close())
  const place = (id, and = async () => {}) =>
    outbox.transaction(async (trx, messages) => {
      await trx('orders').insert({ id })
      messages.send({ topic: world.topic, keys: [id], body: id })
      await and(trx)
    })
  return { outbox, place, knex }
}

export const outboxes = {
  async outbox(world) {
    const { place } = await setUp(world)
    const { received } = await world.consumer({ group: `${world.group}-billing` })
    await place('o-1')
    await place('o-2')
    const rejected = await place('o-3', async () => {
      throw new Error('no stock')
    }).then(
      () => false,
      () => true,
    )
    expect(rejected, 'a rejected transaction')
    await world.arrived(received, ['o-1', 'o-2'])
    // A half message that nobody ended would be asked about by now.
    await pause(6_000)
    await world.arrived(received, ['o-1', 'o-2'])
  },

  /** The broker asks fifteen times, gives the half message up, and the transaction commits after that. */
  async outboxCheckLimit(world) {
    const { place, outbox } = await setUp(world)
    const { received } = await world.consumer({ group: `${world.group}-billing` })
    await place('quick')
    await place('slow', async (trx) => void (await trx.raw('select pg_sleep(42)')))
    await until('both messages', () => new Set(received.map((message) => message.text())).size === 2, 120_000)
    await until(
      'nothing is left behind',
      () => outbox.stats().pendingHalves === 0 && outbox.stats().outboxRows === 0,
      ARRIVE_MS,
    )
  },
}
