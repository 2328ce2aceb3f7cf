// The same business transaction four ways: pg and knex, bare and with a message through the outbox.
import { randomInt } from 'node:crypto'
import { Outbox } from '../../../packages/outbox/dist/index.js'
import { systemNetwork } from '../../../packages/remoting/dist/index.js'
import { ACCOUNTS, TOPIC } from './world.mjs'

const BODY = Buffer.alloc(300, 'x')
const account = () => randomInt(ACCOUNTS)

export async function work(client) {
  const id = account()
  await client.query('insert into orders (account, note) values ($1, $2)', [id, 'an order'])
  await client.query('update account set balance = balance - 1 where id = $1', [id])
}

export async function workWithKnex(trx) {
  const id = account()
  await trx('orders').insert({ account: id, note: 'an order' })
  await trx('account').where({ id }).decrement('balance', 1)
}

/** The transaction of an application without an outbox. */
export async function bare(pool, more) {
  const client = await pool.connect()
  let isBroken = true
  try {
    await client.query('begin')
    await work(client)
    await more?.(client)
    await client.query('commit')
    isBroken = false
  } finally {
    client.release(isBroken)
  }
}

const through = (network, port) => ({
  listen: (...args) => network.listen(...args),
  connect: (options) => network.connect({ ...options, port }),
})

/** @param far proxies in between, see World.far */
export async function startOutbox(world, database, { far, ...options } = {}) {
  const network = far === undefined ? systemNetwork : through(systemNetwork, far.port)
  const outbox = new Outbox({ database, nameServers: world.address, group: 'orders', network, ...options })
  await outbox.start()
  return outbox
}

/** One of `pg`, `knex`: how to open a database, and one transaction each way. */
export const drivers = {
  pg: {
    open: (world, workers, url) => world.pool(workers, url),
    bare: (pool) => bare(pool),
    half: (outbox, body = BODY) =>
      outbox.transaction(async (client, messages) => {
        messages.send({ topic: TOPIC, body })
        await work(client)
      }),
  },
  knex: {
    open: (world, workers, url) => world.knex(workers, url),
    bare: (knex) => knex.transaction(workWithKnex),
    half: (outbox, body = BODY) =>
      outbox.transaction(async (trx, messages) => {
        messages.send({ topic: TOPIC, body })
        await workWithKnex(trx)
      }),
  },
}
