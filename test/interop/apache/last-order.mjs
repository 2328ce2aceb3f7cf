// One order with one message; TANDEM_FAILPOINT says where this process dies. Usage: node last-order.mjs JSON
import { Outbox } from '@tandemmq/outbox'
import pg from 'pg'

const { url, nameServers, group, topic } = JSON.parse(process.argv[2])
const pool = new pg.Pool({ connectionString: url })
pool.on('error', () => {})
const outbox = new Outbox({ database: pool, nameServers, group, halfTimeoutMs: 30_000 })
await outbox.start()
await outbox.transaction(async (trx, messages) => {
  await trx.query("insert into orders values ('last')")
  messages.send({ topic, body: 'last' })
})
