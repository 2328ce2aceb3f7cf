// The service under test: writes orders to Postgres and announces them through a real broker. Every odd order is above
// credit and rolls back. TANDEM_FAILPOINT ends it at a named point of the protocol.
// Usage: node orders-process.mjs DESIGN DATABASE_URL ADDRESS HISTORY_DIR NAME ORDERS
// DESIGN outbox-pg, outbox-knex; half-first: the negative control, the usual listener of RocketMQ's handbook.
// ORDERS 0: places none, answers check-backs, relays and sweeps until SIGTERM, then prints what it counted.
import { Outbox } from '@tandemmq/outbox'
import knexFactory from 'knex'
import pg from 'pg'
import { HistoryWriter } from '../../kit/history-writer.mjs'
import { HalfFirst } from './half-first.mjs'

const [design, url, nameServers, directory, name, count] = process.argv.slice(2)
const history = new HistoryWriter(directory, name)
const isKnex = design === 'outbox-knex'
const database = isKnex
  ? knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 8 } })
  : new pg.Pool({ connectionString: url, max: 8 })
if (!isKnex) database.on('error', () => {})

const shared = { database, nameServers, group: 'orders' }
const outbox =
  design === 'half-first'
    ? new HalfFirst(shared)
    : new Outbox({
        ...shared,
        halfTimeoutMs: 2_000,
        relayIntervalMs: 50,
        // Only whoever answers for the dead may sweep at once: nobody else is alive then.
        ...(count === '0' ? { markerAgeMs: 0, sweepIntervalMs: 20 } : {}),
      })

async function place(id, messages) {
  await outbox.transaction(async (trx, outgoing) => {
    if (isKnex) await trx('orders').insert({ id, messages })
    else await trx.query('insert into orders values ($1, $2)', [id, messages])
    for (let n = 0; n < messages; n++) outgoing.send({ topic: 'orders', keys: [id], body: `${id}#${n}\n` })
    if (isKnex) await trx.raw('select 1')
    else await trx.query('select 1')
    if (Number(id.split('-').at(-1)) % 2 === 1) throw new Error('above credit')
  })
}

/** Lane 0 places the good orders, lane 1 the others, so that both kinds are under way at any moment. */
async function lane(first) {
  for (let n = first; n < Number(count); n += 2) {
    const id = `${name}-${n}`
    const outcome = await place(id, 1 + (n % 3)).then(
      () => 'committed',
      (error) => (error.code === 'TRANSACTION_IN_DOUBT' ? 'inDoubt' : 'rolledBack'),
    )
    history.write('order', { id, outcome })
  }
}

const stopped = new Promise((resolve) => process.once('SIGTERM', resolve))
await outbox.start()
console.log('ready')
if (count === '0') await stopped
else await Promise.all([lane(0), lane(1)])
await outbox.close()
console.log(`stats ${JSON.stringify(outbox.stats())}`)
process.exit(0)
