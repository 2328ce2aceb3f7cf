// kill -9 of a service in the middle of its transactions: how long until its last half is committed or rolled back, with another
// process of the same database there to answer.
import { spawn } from 'node:child_process'
import { setTimeout as elapse } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Admin } from '../../../packages/client/dist/index.js'
import { figure, percentile, round } from './numbers.mjs'
import { startOutbox } from './transactions.mjs'
import { stop } from './world.mjs'

const doomed = fileURLToPath(new URL('doomed.mjs', import.meta.url))
export const IMMUNITY_MS = 1_000

async function resolved(world, admin) {
  const child = spawn(process.execPath, [doomed, world.url, world.address], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    for await (const text of child.stdout) if (String(text).includes('busy')) break
    await elapse(Math.random() * 50)
    await stop(child, 'SIGKILL')
    const killedAt = performance.now()
    const left = (await admin.transactions(1_000)).length
    while ((await admin.transactions(1)).length > 0) await elapse(5)
    return { ms: performance.now() - killedAt, left }
  } finally {
    await stop(child, 'SIGKILL')
  }
}

/** @param world whose broker asks about halves older than IMMUNITY_MS */
export async function kill(world, { smoke }) {
  const pool = world.pool(4)
  const outbox = await startOutbox(world, pool)
  const admin = new Admin({ nameServers: world.address })
  await admin.start()
  try {
    const found = []
    const kills = smoke ? 1 : 100
    for (let n = 0; n < kills; n++) found.push(await resolved(world, admin))
    const times = found.map(({ ms }) => ms)
    const halves = found.reduce((sum, { left }) => sum + left, 0)
    return [
      figure('kill -9 to resolution p99, ms', percentile(times, 0.99), IMMUNITY_MS + 1_500, 'at most', {
        ours: `p50 ${round(percentile(times, 0.5), 0)} ms`,
        notes: `${kills} kills, ${halves} undecided halves, immunity ${IMMUNITY_MS} ms`,
      }),
    ]
  } finally {
    await admin.close()
    await outbox.close()
    await pool.end()
  }
}
