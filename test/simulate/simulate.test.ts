import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { forbidRealWorld } from '../kit/forbid-real-world.ts'
import { soundProduct } from './product.ts'
import { Simulation, type SimulationResult } from './simulation.ts'
import { witness } from './witness.ts'

// `npm run simulate` tries many more, for longer.
const isLong = process.env.SIMULATE_LONG === '1'
const from = Number(process.env.SIMULATE_FROM ?? 1)
const seeds = Number(process.env.SIMULATE_SEEDS ?? 20)
// Of several processes each takes the seeds of its own.
const step = Number(process.env.SIMULATE_STEP ?? 1)
const minutes = Number(process.env.SIMULATE_MINUTES ?? 1)
const tracePath = process.env.SIMULATE_TRACE
const historyPath = process.env.SIMULATE_HISTORY
const SHOWN_MAX = 5

/** What a reader of a failure needs: the seed, what is wrong, and ten events around each. */
function explain({ seed, wrong, events }: SimulationResult): string {
  const shown = wrong.slice(0, SHOWN_MAX).flatMap(({ text, ids }) => [text, ...witness(events, ids)])
  return [`seed ${seed}, ${wrong.length} wrong`, ...shown].join('\n  ')
}

test(`${seeds} seeds from ${from}, ${minutes} virtual minutes at least: no violation`, {
  timeout: 7 * 86_400_000,
}, async () => {
  const startedAt = Date.now()
  const failures: string[] = []
  const sum = { minutes: 0, sent: 0, faults: 0, events: 0 }
  for (let n = 0; n < seeds; n++) {
    const seed = from + n * step
    const trace: string[] | undefined = tracePath === undefined ? undefined : []
    const result = await Simulation.run({ seed, minutes, product: soundProduct, trace })
    if (trace !== undefined) writeFileSync(tracePath as string, trace.join('\n'))
    if (historyPath !== undefined)
      writeFileSync(historyPath, result.events.map((one) => JSON.stringify(one)).join('\n'))
    sum.minutes += result.virtualMs / 60_000
    sum.sent += result.report.sent
    sum.faults += result.faults
    sum.events += result.events.length
    if (result.wrong.length > 0) {
      failures.push(explain(result))
      if (isLong) console.log(failures.at(-1))
    }
    if (isLong && (n + 1) % 25 === 0) console.log(`${n + 1} seeds, ${failures.length} failed`)
  }
  const realHours = (Date.now() - startedAt) / 3_600_000
  const rate = (sum.minutes / 60 / realHours).toFixed(0)
  console.log(
    `${seeds} seeds from ${from}: ${(sum.minutes / 60).toFixed(1)} virtual hours (${rate} per hour), ${sum.sent} messages, ` +
      `${sum.faults} faults, ${sum.events} events, ${failures.length} failed`,
  )
  expect(failures).toEqual([])
})

test.skipIf(isLong)(
  'one seed, one history: every event and every byte of the disk the same',
  {
    timeout: 600_000,
  },
  async () => {
    const guard = forbidRealWorld()
    try {
      const runs = []
      for (const seed of [3, 3, 4]) runs.push(await Simulation.run({ seed, minutes: 0.1, product: soundProduct }))
      const [first, again, other] = runs as [SimulationResult, SimulationResult, SimulationResult]
      expect(again.events).toEqual(first.events)
      expect(again.digest).toBe(first.digest)
      expect(other.digest).not.toBe(first.digest)
      expect(guard.uses).toEqual([])
    } finally {
      guard.restore()
    }
  },
)
