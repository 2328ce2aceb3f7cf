import { afterAll, beforeAll, expect, test } from 'vitest'
import { forbidRealWorld } from '../kit/forbid-real-world.ts'
import { type Outcome, SimulatedCompany } from '../kit/simulated-company.ts'

const SEEDS = [1, 2, 3]
let guard: ReturnType<typeof forbidRealWorld>
const outcomes = new Map<number, Outcome>()

beforeAll(async () => {
  guard = forbidRealWorld()
  try {
    for (const seed of SEEDS) outcomes.set(seed, await SimulatedCompany.run(seed))
  } finally {
    expect(guard.uses).toEqual([])
  }
})

afterAll(() => guard.restore())

const of = (seed: number): Outcome => outcomes.get(seed) as Outcome

test('real timers, clocks, chance, sockets and files throw while the company runs', () => {
  expect(() => setTimeout(() => {}, 0)).toThrow('the real setTimeout was used')
  expect(() => Date.now()).toThrow('the real Date.now was used')
  expect(() => Math.random()).toThrow('the real Math.random was used')
})

test('one seed, one history: every event at the same virtual time, every byte of the disk the same', async () => {
  const again = await SimulatedCompany.run(1)
  expect(again.history).toEqual(of(1).history)
  expect(again.logDigest).toBe(of(1).logDigest)
})

test('another seed is another history', () => {
  expect(new Set(SEEDS.map((seed) => of(seed).logDigest)).size).toBe(SEEDS.length)
  expect(of(1).history).not.toEqual(of(2).history)
})

test('the histories hold what they are meant to: faults, a power cut, retries, check-backs, delays', () => {
  const faults = new Set(SEEDS.flatMap((seed) => of(seed).faults))
  expect([...faults].toSorted()).toEqual([
    'cut',
    'delay',
    'halfOpen',
    'power',
    'refuse',
    'reset',
    'toClient',
    'toServer',
  ])
  for (const seed of SEEDS) {
    const { checks, dueAt, deadLetters, history } = of(seed)
    expect(checks).toBeGreaterThan(0)
    expect(dueAt.size).toBeGreaterThan(5)
    expect(deadLetters.size).toBeGreaterThan(5)
    expect(history.length).toBeGreaterThan(300)
  }
})

test.each(SEEDS)('seed %i: every acknowledged message was handled, whatever failed', (seed) => {
  const { acknowledged, handled } = of(seed)
  expect(acknowledged.length).toBeGreaterThan(40)
  expect(acknowledged.filter((body) => !handled.has(body))).toEqual([])
})

test.each(SEEDS)('seed %i: committed transactions arrive, rolled back ones never do', (seed) => {
  const { decisions, handled } = of(seed)
  const keys = (decision: string): string[] =>
    [...decisions].filter(([, made]) => made === decision).map(([key]) => key)
  expect(keys('commit').length).toBeGreaterThan(3)
  expect(keys('commit').filter((key) => !handled.has(key))).toEqual([])
  expect(keys('rollback').filter((key) => handled.has(key))).toEqual([])
})

test.each(SEEDS)('seed %i: no delayed message is early', (seed) => {
  const { dueAt, handled } = of(seed)
  const early = [...dueAt].filter(([body, at]) => handled.get(body)?.some((one) => one.at < at))
  expect(early).toEqual([])
})

test.each(SEEDS)(
  'seed %i: what keeps failing is tried after 10 s and 30 s, then a dead letter with its reason',
  (seed) => {
    const { acknowledged, deadLetters, handled } = of(seed)
    for (const body of acknowledged.filter((one) => one.startsWith('poison'))) {
      expect(deadLetters.get(body)).toBe(`cannot eat ${body}`)
      const firstOf = (attempt: number): number =>
        handled.get(body)?.find((one) => one.attempt === attempt)?.at ?? Number.NaN
      expect(firstOf(2) - firstOf(1)).toBeGreaterThanOrEqual(10_000)
      expect(firstOf(3) - firstOf(2)).toBeGreaterThanOrEqual(30_000)
      expect(handled.get(body)?.every((one) => one.attempt <= 3)).toBe(true)
    }
  },
)
