import { expect, test } from 'vitest'
import { killBroker } from './broker-kill.ts'

// `npm run crash:broker -- --kills 50 --seed 7` runs this at length.
const kills = Number(process.env['CRASH_KILLS'] ?? 5)
const seed = Number(process.env['CRASH_SEED'] ?? 1)

test(
  'F01: kill -9 of the broker under load loses, invents, moves and doubles no message',
  async () => {
    const { report, figures, witness } = await killBroker({ kills, seed })
    console.log(JSON.stringify(figures))
    expect(report.violations.slice(0, 10), witness.join('\n')).toEqual([])
    expect(report.acknowledged).toBeGreaterThan(kills * 20)
    expect(report.committed).toBeGreaterThan(kills)
    expect(report.faults).toBe(kills)
    // Members keep their queues while the broker is away, and nobody takes those of one that is still on its way back.
    const { received = 0, again = 0 } = report.groups['workers'] ?? {}
    expect(again).toBeLessThan(received / 10)
    expect(Object.keys(report.groups).sort()).toEqual(['audit', 'readers', 'workers'])
  },
  60_000 + kills * 10_000,
)
