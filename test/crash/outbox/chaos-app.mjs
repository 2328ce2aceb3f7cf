// An orders service under load: transactions of every kind, as many at once as it has workers, until SIGUSR2; then it goes on
// answering check-backs, relaying and sweeping until SIGTERM. What each caller was told goes to NAME.told, what must never
// happen to NAME.anomalies. Usage: node chaos-app.mjs JSON, see `launch` in chaos-world.ts.
import { appendFileSync, openSync, writeSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { systemNetwork } from '@tandemmq/remoting'
import { Outbox } from '@tandemmq/outbox'
import knexFactory from 'knex'
import pg from 'pg'
import { controlOf } from './controls.mjs'
import { Gate } from './gate.mjs'
import { OrderMaker } from './order-maker.mjs'

const settings = JSON.parse(process.argv[2])
const { name, url, broker, via, design, group, driver, workers, directory, firstId, seed, orders = Infinity } = settings

const addressOf = (text) => ({ host: text.slice(0, text.lastIndexOf(':')), port: Number(text.split(':').at(-1)) })
const [direct, proxied] = [addressOf(broker), addressOf(via)]
/** The broker tells its own address; whoever dials it gets the proxy. */
const network = {
  listen: (where, onSocket) => systemNetwork.listen(where, onSocket),
  connect: (where) => systemNetwork.connect(where.port === direct.port ? { ...where, ...proxied } : where),
}

const connections = workers + 4
const database =
  driver === 'knex'
    ? knexFactory({
        client: 'pg',
        connection: { connectionString: url, connectionTimeoutMillis: 2_000 },
        pool: { min: 0, max: connections, acquireTimeoutMillis: 5_000 },
      })
    : new pg.Pool({ connectionString: url, max: connections, connectionTimeoutMillis: 2_000 })
if (driver === 'pg') database.on('error', () => {})

const ignore = () => {}
const report = (text) => appendFileSync(`${directory}/${name}.anomalies`, `${Date.now()} ${text}\n`)
const shared = {
  database,
  network,
  nameServers: broker,
  group,
  logger: { debug: ignore, info: ignore, warn: ignore, error: report },
}
const outbox =
  controlOf(design, shared) ??
  new Outbox({ ...shared, halfTimeoutMs: 500, selfCheckTimeoutMs: 10_000, relayIntervalMs: 200, ...settings.outbox })

const told = openSync(`${directory}/${name}.told`, 'a')
let lines = ''
setInterval(() => {
  if (lines !== '') writeSync(told, lines)
  lines = ''
}, 50).unref()

const over = new AbortController()
let next = firstId
const gate = new Gate(workers, (state) => console.log(state))
process.on('SIGUSR1', () => gate.advance())
const maker = new OrderMaker({ isKnex: driver === 'knex', seed, gate, ...settings.mix })

async function work() {
  while (!over.signal.aborted && next < firstId + orders) {
    await gate.before()
    const id = next++
    const { mode, run } = maker.make(id)
    try {
      await outbox.transaction(run, { mode })
      lines += `${id} c\n`
    } catch (error) {
      lines += `${id} ${error.code === 'TRANSACTION_IN_DOUBT' ? 'd' : 'r'}\n`
      // The database is away: asking as fast as possible would only heat the machine.
      if (error.code === 'DATABASE_UNAVAILABLE') await pause(50)
    }
  }
}

process.once('SIGUSR2', () => over.abort())
const stopped = new Promise((resolve) => process.once('SIGTERM', resolve))
for (;;) {
  try {
    await outbox.start()
    break
  } catch (error) {
    // Postgres or the way to it is away just now.
    if (error.code !== 'DATABASE_UNAVAILABLE') throw error
    await pause(100)
  }
}
console.log('ready')
await Promise.all(Array.from({ length: workers }, work))
if (lines !== '') writeSync(told, lines)
lines = ''
console.log('done')
await stopped
await outbox.close()
console.log(`stats ${JSON.stringify(outbox.stats())}`)
process.exit(0)
