import { afterAll, expect, test } from 'vitest'
import { type Mutant, patchedFiles, removeMutants } from '../crash/lab/mutant.ts'
import { mutantProduct, mutants } from './mutants.ts'
import { Simulation } from './simulation.ts'

// `npm run simulate -- --mutant all` tries every one.
const wanted = process.env.SIMULATE_MUTANT
const SHORT = ['consumer acks before the handler ends', 'rebalance hands one key to two']
const chosen = mutants.filter(({ name }) =>
  wanted === undefined ? SHORT.includes(name) : wanted === 'all' || wanted === name,
)
const from = Number(process.env.SIMULATE_FROM ?? 1)
const SEEDS_MAX = wanted === undefined ? 10 : 300

const sound: Mutant = { name: 'none: as they are' }

afterAll(() => removeMutants([sound, ...mutants]))

test('each mutant still matches the programs it is made from, and the wanted one exists', () => {
  for (const mutant of mutants) {
    const patched = [...patchedFiles(mutant, 'broker'), ...patchedFiles(mutant, 'client')]
    expect(patched.length, mutant.name).toBeGreaterThan(0)
  }
  expect(chosen.length).toBeGreaterThan(0)
})

test('the programs the mutants are made from are not accused', { timeout: 600_000 }, async () => {
  const product = await mutantProduct(sound)
  for (let seed = from; seed < from + 2; seed++) {
    expect((await Simulation.run({ seed, minutes: 0.1, product })).wrong).toEqual([])
  }
})

test.each(chosen)('the simulator finds: $name', { timeout: 7_200_000 }, async (mutant) => {
  const product = await mutantProduct(mutant)
  for (let seed = from; seed < from + SEEDS_MAX; seed++) {
    const { wrong } = await Simulation.run({ seed, minutes: 0.1, product })
    if (wrong.length === 0) continue
    console.log(`${mutant.name}: found by seed ${seed} (${seed - from + 1} tried): ${wrong[0]?.text}`)
    return
  }
  expect.fail(`${mutant.name}: not found by ${SEEDS_MAX} seeds from ${from}`)
})
