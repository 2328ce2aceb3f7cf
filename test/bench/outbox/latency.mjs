// What a message costs the caller of a transaction: p50 with it against p50 without it, blocks in turn on the same connections.
import { median, percentile, round, figure } from './numbers.mjs'
import { drivers, startOutbox } from './transactions.mjs'

async function block(count, workers, transaction) {
  const times = []
  const cpu = process.cpuUsage()
  let next = 0
  const lane = async () => {
    while (next++ < count) {
      const startedAt = performance.now()
      await transaction()
      times.push(performance.now() - startedAt)
    }
  }
  await Promise.all(Array.from({ length: workers }, lane))
  const { user, system } = process.cpuUsage(cpu)
  return { ms: percentile(times, 0.5), cpu: (user + system) / count }
}

/** Chunks on their way to Postgres and to the broker, for each transaction. */
async function requestsPer(far, count, transaction) {
  const before = await far.requests()
  await block(count, 1, transaction)
  const after = await far.requests()
  return after.map((number, n) => round((number - before[n]) / count))
}

async function compare(world, driver, { delayMs, workers, rounds, count, floor, name }) {
  const far = await world.far(delayMs)
  const { open, bare, half } = drivers[driver]
  // Loopback is measured without anything in between.
  const isFar = delayMs > 0
  const database = open(world, workers, isFar ? far.url : undefined)
  const counted = open(world, 1, far.url)
  try {
    const outbox = await startOutbox(world, database, isFar ? { far } : {})
    const ways = { bare: () => bare(database), half: () => half(outbox) }
    for (const way of Object.values(ways)) await block(count, workers, way)
    const ratios = []
    const found = { bare: [], half: [] }
    for (let turn = 0; turn < rounds; turn++) {
      const now = {}
      for (const way of turn % 2 === 0 ? ['bare', 'half'] : ['half', 'bare']) {
        now[way] = await block(count, workers, ways[way])
        found[way].push(now[way])
      }
      ratios.push(now.half.ms / now.bare.ms)
    }
    await outbox.close()
    const watched = await startOutbox(world, counted, { far })
    await half(watched)
    const [toPostgres, toBroker] = await requestsPer(far, Math.min(count, 100), () => half(watched))
    const { fallbacks } = outbox.stats()
    await watched.close()
    const of = (way, what, digits) => round(median(found[way].map((one) => one[what])), digits)
    return figure(`transaction p50 against bare, ${driver}, ${name}`, median(ratios), floor, 'at most', {
      ours: `${of('half', 'ms', 3)} ms`,
      other: `${of('bare', 'ms', 3)} ms`,
      notes: `${toPostgres} requests to Postgres, ${toBroker} to the broker each; CPU of this process ${of('half', 'cpu', 0)} against ${of('bare', 'cpu', 0)} us; ${fallbacks} forwarded`,
    })
  } finally {
    await Promise.all([world.using(database, () => {}), world.using(counted, () => {})])
    await far.close()
  }
}

export async function latency(world, { rounds, smoke }) {
  const figures = []
  for (const driver of Object.keys(drivers)) {
    const far = { delayMs: 1, workers: 4, rounds, count: smoke ? 20 : 600, floor: 1.15, name: '2.5 ms round trips' }
    const near = { delayMs: 0, workers: 1, rounds, count: smoke ? 20 : 1_000, floor: 2, name: 'loopback' }
    figures.push(await compare(world, driver, far), await compare(world, driver, near))
  }
  return figures
}
