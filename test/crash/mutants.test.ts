import { afterAll, expect, test } from 'vitest'
import { CrashLab, type Finding } from './lab/crash-lab.ts'
import { type Figures, writeFigures } from './lab/figures.ts'
import { type Mutant, mutantBroker, patchedFiles, removeMutants } from './lab/mutant.ts'
import { mutants } from './lab/mutants.ts'

// `npm run crash` tries them all.
const isFull = process.env.CRASH_FULL === '1'
const SHORT = [
  'fdatasync of the log is skipped',
  'a message is acknowledged before it is on the disk',
  'the end of a transaction is forgotten',
]
const chosen = isFull ? mutants : mutants.filter(({ name }) => SHORT.includes(name))
/** Points tried at once, and how often others are, until the mutant is caught. */
const EVERY = isFull ? 12 : 60
const ROUNDS = 6

const sound: Mutant = { name: 'none: the broker as it is' }
const lines: Figures[] = []
afterAll(() => {
  writeFigures('2-mutants', lines)
  removeMutants([sound, ...mutants])
})

async function hunt(mutant: Mutant): Promise<{ tried: number; findings: Finding[] }> {
  const startBroker = await mutantBroker(mutant)
  const lab = await CrashLab.open({ seed: 1, parts: 4, sends: 60, startBroker })
  let tried = 0
  let findings: Finding[] = []
  for (let round = 0; round < (mutant === sound ? 1 : ROUNDS) && findings.length === 0; round++) {
    const result = await lab.crash({ every: EVERY, from: (round * 5) % EVERY, variants: 1 })
    tried += result.points
    findings = result.findings
  }
  const [first] = findings
  const where = first === undefined ? '' : `, first after step ${first.step} (${first.keeps}): ${first.wrong[0]}`
  lines.push({ what: `mutant: ${mutant.name}`, tried, found: `caught at ${findings.length}${where}` })
  return { tried, findings }
}

test('each mutant still matches the program it is made from', () => {
  for (const mutant of mutants) expect(() => patchedFiles(mutant), mutant.name).not.toThrow()
  const stale: Mutant = { name: 'stale', patches: [{ file: 'index.js', from: 'no such text', to: '' }] }
  expect(() => patchedFiles(stale)).toThrow('0 places in broker/dist/index.js match')
})

test('the broker the mutants are made from is not caught', { timeout: 600_000 }, async () => {
  const { tried, findings } = await hunt(sound)
  expect(findings).toEqual([])
  expect(tried).toBeGreaterThan(40)
})

test.each(chosen)('the laboratory catches: $name', { timeout: 600_000 }, async (mutant) => {
  const { findings } = await hunt(mutant)
  expect(findings.length).toBeGreaterThan(0)
})
