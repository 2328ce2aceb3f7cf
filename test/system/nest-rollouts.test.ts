import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { mutantEnv } from '../crash/chaos/mutants.ts'
import { type Mutant, removeMutants } from '../crash/lab/mutant.ts'
import { mutants as ofDelivery } from '../simulate/mutants.ts'

const mutants: Mutant[] = [
  ...ofDelivery.filter(({ name }) => name === 'consumer acks before the handler ends'),
  {
    name: 'a consumer that closes commits nothing',
    patches: [
      {
        of: 'client',
        file: 'consumer/queue/queue-consumption.js',
        from: 'await this.#queues.giveBackAll()',
        to: 'await Promise.resolve()',
      },
    ],
  },
]
afterAll(() => removeMutants(mutants))

const run = (...args: string[]): Promise<unknown> => runAs({}, ...args)

async function runAs(env: Record<string, string>, ...args: string[]): Promise<unknown> {
  const options = { timeout: 280_000, env: { ...process.env, ...env } }
  const { stdout } = await promisify(execFile)(process.execPath, args, options)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

interface Rollouts {
  sent: number
  groups: Record<string, { lost: number; again: number; longestWayMs: number }>
}

test('Nest services rolled out under load lose nothing and handle nothing again that was finished', async () => {
  const report = (await run('test/system/rollouts.mjs', '--rollouts', '3', '--perSecond', '100')) as Rollouts
  expect(report.sent).toBeGreaterThan(150)
  expect(Object.keys(report.groups)).toEqual(['billing', 'ledger', 'stock'])
  for (const group of Object.values(report.groups)) expect(group).toMatchObject({ lost: 0, again: 0 })
  // A message leased to a process that had gone would wait for 60 s.
  expect(report.groups['stock']?.longestWayMs).toBeLessThan(30_000)
}, 300_000)

// Work that takes longer than a process takes to end: what is lost is what ran.
const LONG_WORK = ['--perSecond', '20', '--workMs', '600']

test.each([
  ['lost', 'consumer acks before the handler ends', LONG_WORK],
  ['again', 'a consumer that closes commits nothing', ['--perSecond', '100']],
] as const)(
  'the rollouts count what is %s of a broken client: %s',
  async (figure, broken, load) => {
    const mutant = mutants.find(({ name }) => name === broken)
    const env = mutant === undefined ? {} : mutantEnv(mutant)
    const args = ['test/system/rollouts.mjs', '--rollouts', '2', '--settleMs', '5000', ...load]
    const { groups } = (await runAs(env, ...args)) as Rollouts
    expect(Object.values(groups).reduce((sum, group) => sum + group[figure], 0)).toBeGreaterThan(0)
  },
  300_000,
)

test('the heap is as large after 20,000 messages through a request-scoped listener as after 4,000', async () => {
  const args = ['--expose-gc', 'test/system/nest-memory.mjs', '--messages', '20000']
  const { heapMiB } = (await run(...args)) as { heapMiB: number[] }
  const [, early = 0] = heapMiB
  // 16,000 messages that left 1 KiB each would be 16 MiB.
  expect((heapMiB.at(-1) ?? Infinity) - early).toBeLessThan(4)
}, 300_000)
