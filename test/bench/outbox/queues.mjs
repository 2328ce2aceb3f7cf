// Ours against the job queues: how many business transactions with a message 16 workers get done, and how long after its
// COMMIT a message is with its consumer at a fixed rate. A message that is there before the answer to COMMIT counts as 0 ms.
import { setTimeout as elapse } from 'node:timers/promises'
import { figure, median, percentile, round, skipped } from './numbers.mjs'
import { missingPeers, systems } from './systems.mjs'

const WORKERS = 16
const RATE = 1_000
const WARM_UP_SECONDS = 1
const DRAIN_MS = 30_000
/** Beyond so many at a time an open loop would only measure its own queue. */
const RUNNING_MAX = 2_000

/** @returns transactions committed, a second */
async function closedLoop(transaction, seconds) {
  const startedAt = performance.now()
  const endAt = startedAt + seconds * 1_000
  let committed = 0
  const lane = async () => {
    while (performance.now() < endAt) {
      await transaction()
      committed++
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, lane))
  return committed / ((performance.now() - startedAt) / 1_000)
}

/** @returns transactions started, a second */
async function openLoop(transaction, seconds) {
  const startedAt = performance.now()
  const running = new Set()
  let begun = 0
  let due = 0
  while (due < RATE * seconds) {
    await elapse(1)
    const now = Math.min(RATE * seconds, Math.floor((performance.now() - startedAt) * (RATE / 1_000)))
    for (; due < now; due++) {
      if (running.size >= RUNNING_MAX) continue
      begun++
      const one = transaction().finally(() => running.delete(one))
      running.add(one)
    }
  }
  const perSecond = begun / ((performance.now() - startedAt) / 1_000)
  await Promise.all(running)
  return perSecond
}

async function measure(world, name, loop, seconds) {
  const committedAt = []
  const consumedAt = []
  let orders = 0
  let consumed = 0
  const system = await systems[name](world, (order) => {
    // What an earlier round left behind has a number of its own.
    if (consumedAt[order] !== undefined || order >= orders) return
    consumedAt[order] = performance.now()
    consumed++
  })
  try {
    const transaction = async () => {
      const order = orders++
      await system.transaction(order)
      committedAt[order] = performance.now()
    }
    await closedLoop(transaction, Math.min(WARM_UP_SECONDS, seconds))
    const first = orders
    const perSecond = await loop(transaction, seconds)
    const backlog = orders - consumed
    const deadline = performance.now() + DRAIN_MS
    const missing = () => orders - consumed
    while (missing() > 0 && performance.now() < deadline) await elapse(5)
    if (missing() > 0) throw new Error(`${name}: ${missing()} of ${orders} messages did not arrive`)
    const latencies = []
    for (let order = first; order < orders; order++) {
      latencies.push(Math.max(0, consumedAt[order] - committedAt[order]))
    }
    return { perSecond, backlog, p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) }
  } finally {
    await system.close()
  }
}

async function rounds(world, names, loop, options) {
  const found = Object.fromEntries(names.map((name) => [name, []]))
  for (let turn = 0; turn < options.rounds; turn++) {
    for (const name of turn % 2 === 0 ? names : names.toReversed()) {
      found[name].push(await measure(world, name, loop, options.seconds))
    }
  }
  return found
}

const of = (list, what) => median(list.map((one) => one[what]))
const ratioOf = (found, name, what) => median(found.ours.map((one, n) => one[what] / found[name][n][what]))

const floors = { 'pg-boss (NOTIFY)': 5, 'pg-boss (poll)': 2, 'graphile-worker': 5, 'graphile-worker localQueue': 3 }

export async function queues(world, options) {
  const why = options.smoke ? 'the small run fetches nothing' : await missingPeers()
  const names = why === undefined ? Object.keys(systems) : ['ours']
  const closed = await rounds(world, names, closedLoop, options)
  const open = await rounds(world, names.slice(0, 2), openLoop, options)
  const figures = Object.entries(floors).map(([name, floor]) => {
    const title = `closed loop, ${WORKERS} workers, tx/s against ${name}`
    if (why !== undefined) return skipped(title, why)
    return figure(title, ratioOf(closed, name, 'perSecond'), floor, 'at least', {
      ours: `${Math.round(of(closed.ours, 'perSecond'))}/s`,
      other: `${Math.round(of(closed[name], 'perSecond'))}/s`,
      notes: `not consumed yet at the end: ours ${of(closed.ours, 'backlog')}, theirs ${of(closed[name], 'backlog')}`,
    })
  })
  const spelled = ({ p50, p99 }) => `${round(p50)} / ${round(p99)} ms`
  const medians = (list) => spelled({ p50: of(list, 'p50'), p99: of(list, 'p99') })
  const title = `commit to consumer p50 at ${RATE} tx/s against pg-boss (NOTIFY)`
  if (why !== undefined) return [...figures, { ...skipped(title, why), ours: medians(open.ours) }]
  const boss = open['pg-boss (NOTIFY)']
  figures.push(
    figure(title, ratioOf(open, 'pg-boss (NOTIFY)', 'p50'), 0.3, 'at most', {
      ours: medians(open.ours),
      other: medians(boss),
      notes: `p50 / p99; begun ${Math.round(of(open.ours, 'perSecond'))}/s and ${Math.round(of(boss, 'perSecond'))}/s`,
    }),
  )
  return figures
}
