// A consumer whose effect is a row of `effects`, without any constraint that would hide a second one.
// Usage: node inbox-consumer.mjs DATABASE_URL ADDRESS TOPIC...
import { PushConsumer } from '@tandemmq/client'
import { Inbox } from '@tandemmq/outbox'
import pg from 'pg'

const [connectionString, nameServers, ...topics] = process.argv.slice(2)
const database = new pg.Pool({ connectionString, max: 8, connectionTimeoutMillis: 2_000 })
database.on('error', () => {})
const inbox = new Inbox({ database, group: 'billing' })
const consumer = new PushConsumer({ nameServers, group: 'billing', startFrom: 'first', rebalanceIntervalMs: 1_000 })
const effect = async ({ body }, trx) => {
  const [key] = body.toString().split(' ')
  await trx.query('insert into effects (key) values ($1)', [key])
}
for (const topic of topics) consumer.subscribe(topic, '*', inbox.handler(effect))
await consumer.start()
console.log('ready')
process.once('SIGTERM', async () => {
  await consumer.close()
  process.exit(0)
})
