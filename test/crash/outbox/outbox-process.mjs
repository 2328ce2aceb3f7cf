// A process with an outbox whose broker is its parent, over IPC: the parent survives what is done to this one.
// Usage: node outbox-process.mjs DATABASE_URL pg|knex|knex-nested|pg-join|knex-join PREFIX TRANSACTIONS
import { Outbox } from '@tandemmq/outbox'
import knexFactory from 'knex'
import pg from 'pg'

const [url, driver, prefix, transactions] = process.argv.slice(2)
const database = driver.startsWith('knex')
  ? knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 8 } })
  : new pg.Pool({ connectionString: url, max: 8 })
if (driver.startsWith('pg')) database.on('error', () => {})

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
  endMany: (ends) =>
    ask(
      'endMany',
      ends.map(({ half, decision }) => ({ half: half.opaque, decision })),
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
  ...JSON.parse(process.env.OUTBOX_OPTIONS ?? '{}'),
})
await outbox.start()

const insert = (trx, id, messages) =>
  driver.startsWith('knex')
    ? trx('orders').insert({ id, messages })
    : trx.query('insert into orders values ($1, $2)', [id, messages])
const idle = (trx) => (driver.startsWith('knex') ? trx.raw('select 1') : trx.query('select 1'))

async function work(trx, outgoing, id, messages) {
  await insert(trx, id, messages)
  for (let n = 0; n < messages; n++) outgoing.send({ topic: 'orders', body: `${id}#${n}` })
  await idle(trx)
  if (id.endsWith('7')) throw new Error('above credit')
}

/** A part that is undone, with its row and its message, and one that is kept: savepoints. */
async function nested(trx, outgoing, id, messages) {
  const undone = trx.transaction(async (inner) => {
    await insert(inner, `${id}-undone`, 1)
    outgoing.send({ topic: 'orders', body: `${id}-undone#0` })
    throw new Error('undone')
  })
  await undone.catch(() => {})
  await trx.transaction((inner) => work(inner, outgoing, id, messages))
}

/** As an application does it that has its own transactions: rolled back to a savepoint older than the join, joined again. */
async function joinOnPg(id, messages) {
  const client = await database.connect()
  const ignore = () => {}
  client.on('error', ignore)
  let broken = false
  try {
    await client.query('begin')
    await client.query('savepoint older')
    await insert(client, `${id}-undone`, 1)
    outbox.join(client).send({ topic: 'orders', body: `${id}-undone#0` })
    await idle(client)
    await client.query('rollback to savepoint older')
    await work(client, outbox.join(client), id, messages)
    await client.query('commit')
  } catch (error) {
    broken = await client.query('rollback').then(
      () => false,
      () => true,
    )
    throw error
  } finally {
    client.off('error', ignore)
    client.release(broken)
  }
}

async function joinOnKnex(id, messages) {
  const trx = await database.transaction()
  try {
    await nested(trx, outbox.join(trx), id, messages)
    await trx.commit()
  } catch (error) {
    if (!trx.isCompleted()) await trx.rollback().catch(() => {})
    throw error
  }
}

function place(id, messages) {
  if (driver === 'pg-join') return joinOnPg(id, messages)
  if (driver === 'knex-join') return joinOnKnex(id, messages)
  const inside = driver === 'knex-nested' ? nested : work
  return outbox.transaction((trx, outgoing) => inside(trx, outgoing, id, messages))
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
