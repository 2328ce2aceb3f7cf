import { afterAll, expect, test } from 'vitest'
import { chaos } from './chaos/chaos.ts'
import { mutantEnv, mutants } from './chaos/mutants.ts'
import { patchedFiles, removeMutants } from './lab/mutant.ts'

// `npm run chaos -- --mutants` runs them.
const isFull = process.env['CRASH_MUTANTS'] === '1'
const seed = Number(process.env['CRASH_SEED'] ?? 1)
const SEEDS_MAX = 4
const FAULT_MS = 20_000
/** What a mutant lost never arrives. */
const DRAIN_MS_MAX = 40_000

afterAll(() => removeMutants(mutants))

test('each mutant still matches the programs it is made from, and names the rules it must break', () => {
  for (const mutant of mutants) {
    const patched = [...patchedFiles(mutant, 'broker'), ...patchedFiles(mutant, 'client')]
    expect(patched.length, mutant.name).toBeGreaterThan(0)
    expect(mutant.rules.length, mutant.name).toBeGreaterThan(0)
  }
})

test.runIf(isFull).each(mutants)('chaos finds: $name', { timeout: 1_200_000 }, async (mutant) => {
  const env = mutantEnv(mutant)
  const others = new Set<string>()
  for (let tried = 0; tried < SEEDS_MAX; tried++) {
    const { violations } = await chaos({ seed: seed + tried, faultMs: FAULT_MS, drainMsMax: DRAIN_MS_MAX, env })
    for (const { rule } of violations) others.add(rule)
    const found = violations.find(({ rule }) => mutant.rules.includes(rule))
    if (found === undefined) continue
    console.log(`${mutant.name}: found by seed ${seed + tried} (${tried + 1} tried), ${found.rule}: ${found.text}`)
    return
  }
  expect.fail(`${mutant.name}: not found by ${SEEDS_MAX} seeds from ${seed}; broken were ${[...others].join(', ')}`)
})
