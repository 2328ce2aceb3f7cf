import { checkBacks } from './check-backs.mjs'
import { drain } from './drain.mjs'
import { IMMUNITY_MS, kill } from './kill.mjs'
import { latency } from './latency.mjs'
import { queues } from './queues.mjs'
import { wal } from './wal.mjs'
import { World } from './world.mjs'

const parts = { latency, queues, wal, drain, 'check-backs': checkBacks, kill }
export const names = Object.keys(parts)

/** Kills are waited for; elsewhere nobody should be asked about a transaction that is merely slow. */
const settingsOf = (name) => (name === 'kill' ? { transactionTimeoutMs: IMMUNITY_MS } : {})

/** @param some names of parts, which share a world @returns figures */
export async function figuresOf(some, options) {
  const world = await World.start(options, settingsOf(some.at(-1)))
  try {
    const figures = []
    for (const name of some) figures.push(...(await parts[name](world, options)))
    return figures
  } finally {
    await world.stop()
  }
}
