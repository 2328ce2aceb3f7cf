import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { Deadlines } from './deadlines.ts'

test('items are called at their time, not early, each once, moved ones at the new time and cancelled ones never', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const start = clock.monotonic()
  const called: [string, number][] = []
  const deadlines = new Deadlines<string>(clock, (item) => called.push([item, clock.monotonic() - start]))
  deadlines.add(start + 300, 'late')
  deadlines.add(start + 100, 'early')
  const cancelled = deadlines.add(start + 50, 'cancelled')
  const moved = deadlines.add(start + 150, 'moved')
  deadlines.cancel(cancelled)
  expect(deadlines.move(moved, start + 200)).toBeGreaterThan(0)
  expect(deadlines.move(moved, start + 400)).toBe(0)
  expect(deadlines.size).toBe(3)
  await clock.advance(1_000)
  expect(called.map(([item]) => item)).toEqual(['early', 'moved', 'late'])
  expect(called.map(([, at]) => at)).toEqual([100, 200, 300])
  expect(deadlines.size).toBe(0)
})

test('thousands that fall due at once are called in several turns, and closed ones not at all', async () => {
  const clock = new VirtualClock({ seed: 1 })
  let called = 0
  let turns = 0
  const deadlines = new Deadlines<number>(clock, () => {
    if (called++ % 256 === 0) turns++
  })
  const at = clock.monotonic() + 10
  for (let n = 0; n < 1000; n++) deadlines.add(at, n)
  await clock.advance(20)
  expect([called, turns]).toEqual([1000, 4])
  deadlines.add(clock.monotonic() + 10, 0)
  deadlines.close()
  await clock.advance(20)
  expect(called).toBe(1000)
})

test('what was cancelled long before its time does not pile up', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const called: number[] = []
  const deadlines = new Deadlines<number>(clock, (item) => called.push(item))
  let kept = deadlines.add(clock.monotonic() + 60_000, -1)
  for (let n = 0; n < 20_000; n++) {
    deadlines.cancel(deadlines.add(clock.monotonic() + 50_000, n))
    if (n % 100 === 0) kept = deadlines.move(kept, clock.monotonic() + 60_000 + n)
  }
  expect(deadlines.size).toBe(1)
  await clock.advance(90_000)
  expect(called).toEqual([-1])
})
