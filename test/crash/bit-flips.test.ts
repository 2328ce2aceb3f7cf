import { startBroker } from '@tandemmq/broker'
import { afterAll, expect, test } from 'vitest'
import { FlipLab, type FlipResult, KINDS } from './lab/bit-flips.ts'
import { type Figures, writeFigures } from './lab/figures.ts'
import { mutantBroker, patchedFiles, removeMutants } from './lab/mutant.ts'
import { flipMutants } from './lab/mutants.ts'

// `npm run crash` flips a thousand, and tries every mutant.
const isFull = process.env.CRASH_FULL === '1'
const flips = Number(process.env.CRASH_FLIPS ?? 100)
const seed = Number(process.env.CRASH_SEED ?? 1)
const FLIPS_MUTANT = isFull ? 60 : 100
const OUTCOMES = ['refused', 'told', 'made anew', 'no matter'] as const

const lines: Figures[] = []
afterAll(() => {
  writeFigures('3-bit-flips', lines)
  removeMutants(flipMutants)
})

const countWrong = (results: readonly FlipResult[]): number => results.filter(({ wrong }) => wrong.length > 0).length

function figuresOf(results: readonly FlipResult[]): Figures[] {
  return KINDS.map((kind) => {
    const ofKind = results.filter(({ flip }) => flip.kind === kind)
    const counts = OUTCOMES.map((outcome) => `${ofKind.filter((one) => one.outcome === outcome).length} ${outcome}`)
    const told = counts.filter((text) => !text.startsWith('0 '))
    return {
      what: `flipped bits: ${kind}`,
      tried: ofKind.length,
      found: [`${countWrong(ofKind)} wrong`, ...told].join(', '),
    }
  })
}

test(
  'F15 F16 F17: a flipped bit in any file is detected or makes no difference, and is never served',
  async () => {
    const lab = await FlipLab.open({ seed, parts: 4, sends: 60, startBroker })
    const results: FlipResult[] = []
    for (const flip of lab.flips(flips, seed)) results.push(await lab.flip(flip))
    lines.push(...figuresOf(results))
    expect(results.filter(({ wrong }) => wrong.length > 0).slice(0, 5)).toEqual([])
    expect(results.length).toBeGreaterThanOrEqual(flips)
    // Else the flips met nothing that matters.
    for (const outcome of OUTCOMES) expect(results.map((one) => one.outcome)).toContain(outcome)
  },
  60_000 + flips * 2_000,
)

test('each mutant still matches the program it is made from', () => {
  for (const mutant of flipMutants) expect(() => patchedFiles(mutant), mutant.name).not.toThrow()
})

test.each(isFull ? flipMutants : flipMutants.slice(0, 1))(
  'the flips catch: $name',
  { timeout: 600_000 },
  async (mutant) => {
    const lab = await FlipLab.open({ seed: 1, parts: 4, sends: 60, startBroker: await mutantBroker(mutant) })
    const results: FlipResult[] = []
    for (const flip of lab.flips(FLIPS_MUTANT, 1, mutant.kind)) {
      results.push(await lab.flip(flip))
      if (!isFull && countWrong(results) > 0) break
    }
    const first = results.find(({ wrong }) => wrong.length > 0)
    const where = first === undefined ? '' : `, first in ${first.flip.path}: ${first.wrong[0]}`
    const found = `caught at ${countWrong(results)}${where}`
    lines.push({ what: `mutant: ${mutant.name}`, tried: results.length, found })
    expect(countWrong(results)).toBeGreaterThan(0)
  },
)
