// A process with an outbox whose broker is its parent, over IPC: the parent survives what is done to this one.
// Usage: node outbox-process.mjs DATABASE_URL pg|knex PREFIX TRANSACTIONS
import { Outbox } from '@tandemmq/outbox'
import knexFactory from 'knex'
import pg from 'pg'

const [url, driver, prefix, transactions] = process.argv.slice(2)
const database =
  driver === 'knex'
    ? knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 8 } })
    : new pg.Pool({ connectionString: url, max: 8 })
if (driver === 'pg') database.on('error', () => {})

const waiting = new Map()
let last = 0
process.on('message', ({ id, value, error }) => {
  const { resolve, reject } = waiting.get(id)
  waiting.delete(id)
  if (error === undefined) resolve(value)
  else reject(Object.assign(new Error(error.message), error))
})
process.on('disconnect', () => process.exit(3))

function ask(call, ...args) {
  return new Promise((resolve, reject) => {
    const id = ++last
    waiting.set(id, { resolve, reject })
    process.send({ id, call, args })
  })
}

const wire = (message) => ({ ...message, body: Buffer.from(message.body).toString() })
const producer = {
  start: async () => {},
  close: async () => {},
  prepare: async (message, options) => ({ opaque: await ask('prepare', wire(message), options) }),
  endMany: (halves, decision) =>
    ask(
      'endMany',
      halves.map((half) => half.opaque),
      decision,
    ),
  pendingOf: (ids) => ask('pendingOf', ids),
  send: (message) => ask('send', wire(message)),
}

const outbox = new Outbox({
  database,
  group: 'orders',
  producer,
  halfTimeoutMs: 1_000,
  idleInTransactionTimeoutMs: 400,
  selfCheckTimeoutMs: 10_000,
  relayIntervalMs: 50,
})
await outbox.start()

async function place(id, messages) {
  await outbox.transaction(async (trx, outgoing) => {
    if (driver === 'knex') await trx('orders').insert({ id, messages })
    else await trx.query('insert into orders values ($1, $2)', [id, messages])
    for (let n = 0; n < messages; n++) outgoing.send({ topic: 'orders', body: `${id}#${n}` })
    if (driver === 'knex') await trx.raw('select 1')
    else await trx.query('select 1')
    if (id.endsWith('7')) throw new Error('above credit')
  })
}

async function worker(from) {
  for (let n = from; n < Number(transactions); n += 3) {
    const id = `${prefix}-${n}`
    const outcome = await place(id, 1 + (n % 3)).then(
      () => 'committed',
      (error) => error.code ?? 'rolledBack',
    )
    process.send({ id: 0, call: 'report', args: [id, outcome] })
  }
}

await Promise.all([0, 1, 2].map(worker))
await outbox.close()
process.exit(0)
