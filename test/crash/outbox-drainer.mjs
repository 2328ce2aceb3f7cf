// A service that writes orders while its broker is away and then drains them. Usage: node outbox-drainer.mjs DATABASE_URL ADDRESS ROWS KEYS fill|help
// Prints "filled" when ROWS messages wait in the table (fill) or "ready" (help: it only helps to drain), and a line of memory
// every half second. Ends on SIGTERM.
import { Outbox } from '@tandemmq/outbox'
import pg from 'pg'

const MESSAGES_PER_TRANSACTION = 1_000
const [url, nameServers, rows, keys, role] = process.argv.slice(2)
const database = new pg.Pool({ connectionString: url, max: 4 })
database.on('error', () => {})
const logger = { debug() {}, info() {}, warn() {}, error: (text) => console.error(text) }
const outbox = new Outbox({ database, nameServers, group: 'orders', logger, halfTimeoutMs: 50 })
await outbox.start()

const next = new Map()
function messageOf(n) {
  // Every second message has a key; the n-th of its key says so.
  if (n % 2 === 1) return { topic: 'orders', body: `free ${n}` }
  const key = `k${(n / 2) % Number(keys)}`
  const place = next.get(key) ?? 0
  next.set(key, place + 1)
  return { topic: 'orders', body: `${key} ${place}`, orderBy: key }
}

if (role === 'fill') {
  for (let n = 0; n < Number(rows); n += MESSAGES_PER_TRANSACTION) {
    await outbox.transaction(async (trx, messages) => {
      await trx.query('insert into orders values ($1)', [n])
      for (let at = n; at < Math.min(n + MESSAGES_PER_TRANSACTION, Number(rows)); at++) messages.send(messageOf(at))
    })
  }
  console.log('filled')
} else {
  console.log('ready')
}

const timer = setInterval(() => {
  const { rss, heapUsed, external } = process.memoryUsage()
  console.log(`memory ${JSON.stringify({ rss, heapUsed, external, anomalies: outbox.stats().anomalies })}`)
}, 500)
process.once('SIGTERM', async () => {
  clearInterval(timer)
  await outbox.close()
  await database.end()
  process.exit(0)
})
