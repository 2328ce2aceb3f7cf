// One business transaction with one message, and the message's consumer in the same process: ours and the job queues of
// Postgres. Each opens a system: `transaction(order)` runs one, `onOrder(order)` is told of each arrival.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { PushConsumer } from '../../../packages/client/dist/index.js'
import { jobQueues } from '../peers/sdk/install.mjs'
import { bare, startOutbox, work } from './transactions.mjs'
import { ignore, TOPIC } from './world.mjs'

const PADDING = 'x'.repeat(280)
const CONNECTIONS = 16

async function peer(name) {
  const resolve = createRequire(`${jobQueues()}/package.json`)
  return import(pathToFileURL(resolve.resolve(name)).href)
}

let group = 0

async function ours(world, onOrder) {
  const pool = world.pool(CONNECTIONS)
  const outbox = await startOutbox(world, pool)
  const consumer = new PushConsumer({ nameServers: world.address, group: `bench-${group++}` })
  consumer.subscribe(TOPIC, '*', async (message) => onOrder(JSON.parse(String(message.body)).order))
  await consumer.start()
  return {
    transaction: (order) =>
      outbox.transaction(async (client, messages) => {
        messages.send({ topic: TOPIC, body: { order, padding: PADDING } })
        await work(client)
      }),
    close: async () => {
      await consumer.close()
      await outbox.close()
      await pool.end()
    },
  }
}

const pgBoss = (isNotified) => async (world, onOrder) => {
  const { PgBoss } = await peer('pg-boss')
  const boss = new PgBoss({ connectionString: world.url, max: 10, schema: 'pgboss', useListenNotify: isNotified })
  boss.on('error', ignore)
  await boss.start()
  const queue = isNotified ? 'notified' : 'polled'
  await boss.createQueue(queue, { notify: isNotified })
  const options = { batchSize: 100, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }
  await boss.work(queue, options, async (jobs) => {
    for (const { data } of jobs) onOrder(data.order)
  })
  const pool = world.pool(CONNECTIONS)
  return {
    transaction: (order) =>
      bare(pool, (client) => {
        const db = { executeSql: (text, values) => client.query(text, values) }
        return boss.send(queue, { order, padding: PADDING }, { db })
      }),
    close: async () => {
      await boss.stop({ graceful: true, timeout: 5_000 })
      await pool.end()
    },
  }
}

const graphile = (localQueue) => async (world, onOrder) => {
  const { Logger, run } = await peer('graphile-worker')
  const runner = await run({
    preset: { worker: { connectionString: world.url, concurrentJobs: 10, ...(localQueue && { localQueue }) } },
    logger: new Logger(() => ignore),
    noHandleSignals: true,
    taskList: { order: async ({ order }) => onOrder(order) },
  })
  const pool = world.pool(CONNECTIONS)
  return {
    transaction: (order) =>
      bare(pool, (client) =>
        client.query(`select graphile_worker.add_job('order', $1::json)`, [
          JSON.stringify({ order, padding: PADDING }),
        ]),
      ),
    close: async () => {
      await runner.stop()
      await pool.end()
    },
  }
}

export const systems = {
  ours,
  'pg-boss (NOTIFY)': pgBoss(true),
  'pg-boss (poll)': pgBoss(false),
  'graphile-worker': graphile(undefined),
  'graphile-worker localQueue': graphile({ size: 500 }),
}

/** @returns why the job queues cannot be compared here, or undefined */
export async function missingPeers() {
  try {
    await peer('pg-boss')
    await peer('graphile-worker')
    return undefined
  } catch (error) {
    return `pg-boss and graphile-worker are not to be had: ${error.message.split('\n')[0]}`
  }
}
