import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = async (...args: string[]): Promise<unknown> => {
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 280_000 })
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

test('the heap is as large after 20,000 messages through a request-scoped listener as after 4,000', async () => {
  const args = ['--expose-gc', 'test/system/nest-memory.mjs', '--messages', '20000']
  const { heapMiB } = (await run(...args)) as { heapMiB: number[] }
  const [, early = 0] = heapMiB
  // 16,000 messages that left 1 KiB each would be 16 MiB.
  expect((heapMiB.at(-1) ?? Infinity) - early).toBeLessThan(4)
}, 300_000)
