// The backlog of an outage: how fast the relay of one process drains it once the broker is back, against a relay that claims a
// hundred rows, sends each and deletes each by a statement of its own, ten at a time.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as elapse } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Producer } from '../../../packages/client/dist/index.js'
import { Outbox } from '../../../packages/outbox/dist/index.js'
import { figure, median } from './numbers.mjs'
import { stop, TOPIC } from './world.mjs'

const drainer = fileURLToPath(new URL('../../crash/outbox-drainer.mjs', import.meta.url))

const left = async (pool) => (await pool.query('select count(*)::int as n from tandem.outbox')).rows[0].n

async function until(done) {
  while (!(await done())) await elapse(20)
}

/** @returns rows a second */
async function relayed(world, { pool, url }, rows) {
  await stop(world.broker.child)
  const args = [drainer, url, world.address, String(rows), String(Math.ceil(rows / 500)), 'fill']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const out = createInterface({ input: child.stdout })
    for await (const line of out) if (line === 'filled') break
    if (child.exitCode !== null) throw new Error(`the service ended with ${child.exitCode}`)
    child.stdout.resume()
    await world.startBroker()
    await until(async () => (await left(pool)) < rows)
    // From here on, when the broker has been found again.
    const rest = await left(pool)
    const startedAt = performance.now()
    await until(async () => (await left(pool)) === 0)
    return rest / ((performance.now() - startedAt) / 1_000)
  } finally {
    await stop(child)
  }
}

async function oneByOne(world, pool, rows) {
  await pool.query(
    `insert into tandem.outbox (tx_id, n, topic, body)
     select gen_random_uuid(), 0, '${TOPIC}', convert_to('one ' || i, 'UTF8') from generate_series(1, $1) i`,
    [rows],
  )
  const producer = new Producer({ nameServers: world.address, group: 'one-by-one' })
  await producer.start()
  const startedAt = performance.now()
  for (;;) {
    const claimed = await pool.query(
      `update tandem.outbox o set lease_until = clock_timestamp() + interval '30 s' from (
         select id from tandem.outbox where lease_until is null or lease_until < clock_timestamp()
         order by id limit 100 for update skip locked) c where c.id = o.id returning o.id, o.body`,
    )
    if (claimed.rows.length === 0) break
    const waiting = [...claimed.rows]
    const lane = async () => {
      for (let row = waiting.pop(); row !== undefined; row = waiting.pop()) {
        await producer.send({ topic: TOPIC, body: row.body, dedupKey: `one ${row.id}` })
        await pool.query('delete from tandem.outbox where id = $1', [row.id])
      }
    }
    await Promise.all(Array.from({ length: 10 }, lane))
  }
  const seconds = (performance.now() - startedAt) / 1_000
  await producer.close()
  return rows / seconds
}

/** A database of its own: the service that drains has its own idea of an order. */
async function databaseOf(world) {
  await world.using(world.pool(1), (pool) => pool.query('create database drain'))
  const url = new URL(world.url)
  url.pathname = '/drain'
  const pool = world.pool(12, url.href)
  const outbox = new Outbox({ database: pool, nameServers: world.address, group: 'orders' })
  await outbox.migrate()
  await pool.query('create table orders (id int)')
  return { pool, url: url.href }
}

export async function drain(world, { rounds, smoke }) {
  const { pool, url } = await databaseOf(world)
  try {
    const found = []
    for (let turn = 0; turn < Math.min(rounds, 3); turn++) {
      const ours = await relayed(world, { pool, url }, smoke ? 2_000 : 100_000)
      const theirs = await oneByOne(world, pool, smoke ? 100 : 10_000)
      found.push({ ours, theirs, ratio: ours / theirs })
    }
    const of = (what) => median(found.map((one) => one[what]))
    return [
      figure('relay drain against one DELETE per message', of('ratio'), 10, 'at least', {
        ours: `${Math.round(of('ours'))}/s`,
        other: `${Math.round(of('theirs'))}/s`,
      }),
    ]
  } finally {
    await pool.end()
  }
}
