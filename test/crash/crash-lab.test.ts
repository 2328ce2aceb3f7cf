import { expect, test } from 'vitest'
import { startBroker } from '@tandemmq/broker'
import { CrashLab } from './lab/crash-lab.ts'
import { type Figures, writeFigures } from './lab/figures.ts'

// `npm run crash` tries every point of the history, in every way un-synced writes may survive.
const isFull = process.env.CRASH_FULL === '1'
const seed = Number(process.env.CRASH_SEED ?? 1)
const POINTS_SHORT = 200

test(
  'F05 F06 F07: wherever the power goes, the broker that starts again lost, invented, moved and repeated nothing',
  async () => {
    const lab = await CrashLab.open({ seed, parts: 4, sends: 60, startBroker })
    // Else the points say less than they seem to.
    const census = lab.history.disk.census()
    for (const [what, count] of Object.entries(census)) expect(count, what).toBeGreaterThan(1)
    expect(lab.points.length).toBeGreaterThan(2_000)
    const every = isFull ? 1 : lab.points.length / POINTS_SHORT
    const result = await lab.crash({ every, variants: isFull ? 4 : 1, log: isFull ? console.log : undefined })
    const { points, recoveries, interrupted, again, promises, findings } = result
    const [first] = findings
    const wrong = `${findings.length} wrong${first === undefined ? '' : `, first after step ${first.step}: ${first.wrong[0]}`}`
    const lines: Figures[] = [
      { what: `power cuts: points of the history (seed ${seed})`, tried: points, found: wrong },
      { what: '  recoveries', tried: recoveries, found: `${promises} acknowledged messages checked` },
      { what: '  with a second cut in the recovery', tried: interrupted, found: '' },
      { what: '  with a second cut after it', tried: again, found: '' },
    ]
    writeFigures('1-points', lines)
    expect(findings.slice(0, 5)).toEqual([])
    expect(points).toBeGreaterThanOrEqual(isFull ? 2_000 : POINTS_SHORT)
    expect(Math.min(interrupted, again)).toBeGreaterThan(recoveries / 20)
  },
  isFull ? 3_600_000 : 120_000,
)
