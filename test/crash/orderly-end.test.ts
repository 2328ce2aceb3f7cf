import { expect, test } from 'vitest'
import { SeededRandom } from '../kit/seeded-random.ts'
import { elapse } from '../kit/waiting.ts'
import { drain } from './chaos/chaos.ts'
import { ChaosWorld } from './chaos/chaos-world.ts'
import { judge } from './chaos/judge.ts'
import { mergedHistory } from './chaos/merged-history.ts'
import type { ChaosEvent } from './rules/event.ts'
import { NoReturn } from './rules/no-return.ts'

test('F25: SIGTERM under load ends consumers, producers and broker with 0, loses nothing, and nothing finished comes again', {
  timeout: 180_000,
}, async () => {
  const seed = Number(process.env['CRASH_SEED'] ?? 1)
  await using world = await ChaosWorld.start({ random: new SeededRandom(seed), producers: 2, consumers: 3 })
  const [first, second] = world.consumers
  const [producer] = world.producers
  if (first === undefined || second === undefined || producer === undefined) throw new Error('nobody to end')
  await elapse(2_500)
  for (const client of [first, second, producer, first]) {
    world.fault('terminate', client.proc)
    await world.restart(client, 'SIGTERM', 300)
    await elapse(600)
  }
  world.fault('terminate', 'broker')
  await world.restartBroker('SIGTERM')
  await elapse(600)
  await drain(world, 60_000)
  await world.finish()
  expect(world.misbehaved).toEqual([])
  const rule = new NoReturn()
  for (const { line } of mergedHistory(world.histories)) rule.take(JSON.parse(line) as ChaosEvent)
  expect(rule.violations().map(({ text }) => text)).toEqual([])
  expect(rule.figures()['finished before an orderly end']).toBeGreaterThan(50)
  const { violations, witness } = judge(world.histories)
  expect(
    violations.map(({ text }) => text),
    witness.join('\n'),
  ).toEqual([])
})
