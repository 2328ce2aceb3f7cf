// Postgres transactions with messages, on a broker that is not ours.
import { spawn } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
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
  return { outbox, place, knex, url: database.url }
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

  /**
   * A process dies between COMMIT and END, and nobody of its group is there until the broker has asked fifteen times: the message
   * does not come, the outbox says so, and the copy that the broker keeps is named.
   */
  async outboxGivenUp(world) {
    const anomalies = []
    const logger = { debug() {}, info() {}, warn() {}, error: (text) => anomalies.push(text) }
    const { outbox, knex, url } = await setUp(world, { markerAgeMs: 0, logger, drainTimeoutMs: 1_000 })
    await outbox.close()
    const { received } = await world.consumer({ group: `${world.group}-billing` })
    const settings = JSON.stringify({ url, nameServers: world.nameServers, group: world.group, topic: world.topic })
    const env = { ...process.env, TANDEM_FAILPOINT: 'P11:kill' }
    const child = spawn(process.execPath, [lastOrder, settings], { env, stdio: 'inherit' })
    const signal = await new Promise((resolve) => child.once('close', (_, name) => resolve(name)))
    expect(signal === 'SIGKILL', `killed after its COMMIT, not ${signal}`)
    const { rows } = await knex.raw("select t.tx_id from tandem.tx t, orders o where t.state = 'C' and o.id = 'last'")
    expect(rows.length === 1, 'one committed marker')
    const { properties } = await givenUp(world, rows[0].tx_id)
    expect(properties.REAL_TOPIC === world.topic, `of topic ${world.topic}, not ${properties.REAL_TOPIC}`)
    const heir = new Outbox({
      ...{ database: knex, nameServers: world.nameServers, group: world.group, logger, markerAgeMs: 0 },
    })
    await heir.start()
    world.closing(() => heir.close())
    await heir.sweep()
    await heir.sweep()
    expect(heir.stats().anomalies === 1, `one anomaly, not ${heir.stats().anomalies}: ${anomalies}`)
    expect(anomalies[0].includes(rows[0].tx_id), `names it: ${anomalies[0]}`)
    expect(received.length === 0, `nothing arrived, not ${received.length}`)
  },
}

const lastOrder = fileURLToPath(new URL('last-order.mjs', import.meta.url))

/** @returns the copy that the broker keeps of a half of this transaction, when it has asked often enough */
async function givenUp(world, transactionId) {
  const admin = await world.admin()
  let found
  await until(
    'the broker gives it up',
    async () => {
      const all = await admin.messages({ topic: 'TRANS_CHECK_MAX_TIME_TOPIC', limit: 10_000 }).catch(() => [])
      found = all.find(({ properties }) => properties.DEDUP_KEY === `${transactionId}:0`)
      return found !== undefined
    },
    120_000,
  )
  return found
}
