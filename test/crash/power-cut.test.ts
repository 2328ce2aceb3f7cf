import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { missingForPowerCuts } from './loop-disk.ts'
import { PowerCuts } from './power-cut.ts'

const cycles = Number(process.env.CRASH_CYCLES ?? 3)
const seed = Number(process.env.CRASH_SEED ?? 1)
const missing = missingForPowerCuts()
// Asked for by its own script a missing tool is an error; among all other tests it is a line.
const isSkipped = missing !== undefined && process.env.CRASH_STRICT === undefined
if (isSkipped) console.log(`no power cuts: ${missing}`)
const possible = test.skipIf(isSkipped)

async function cut(flush: 'sync' | 'async', cuts: number, preload?: string): Promise<PowerCuts> {
  if (missing !== undefined) throw new Error(missing)
  const run = new PowerCuts({ cycles: cuts, flush, seed, preload, log: (line) => console.log(line) })
  await run.run()
  console.log(JSON.stringify(run.summary))
  return run
}

possible(
  'F02: with sync flush a power cut takes no acknowledged message and moves none',
  { timeout: 3_600_000 },
  async () => {
    const { wrong, figures } = await cut('sync', cycles)
    expect(wrong.slice(0, 10)).toEqual([])
    expect(figures).toMatchObject({ cuts: cycles, lost: 0 })
    expect(figures.acknowledged).toBeGreaterThan(cycles * 20)
  },
)

possible(
  'F04: with async flush a power cut takes only the last 200 ms and one sync',
  { timeout: 3_600_000 },
  async () => {
    const cuts = Math.max(2, Math.round(cycles / 5))
    const { wrong, figures } = await cut('async', cuts)
    expect(wrong.slice(0, 10)).toEqual([])
    expect(figures.cuts).toBe(cuts)
    expect(figures.acknowledged).toBeGreaterThan(cuts * 20)
  },
)

possible(
  'F10: the same harness reports the losses of a broker whose syncs do nothing',
  { timeout: 60_000 },
  async () => {
    const { wrong } = await cut('sync', 2, fileURLToPath(new URL('lying-sync.mjs', import.meta.url)))
    expect(wrong.length).toBeGreaterThan(0)
  },
)
