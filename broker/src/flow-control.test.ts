import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { DrainRate } from './flow-control.ts'

test('the pause is the time the waiting bytes need at the pace of those before, within its bounds', async () => {
  const clock = new VirtualClock({ seed: 1 })
  let drained = 0
  const rate = new DrainRate(clock, () => drained)
  expect(rate.retryAfterMs(1_000_000)).toBe(100)
  await clock.advance(200)
  drained = 2_000_000
  // 10,000 bytes per ms.
  expect(rate.retryAfterMs(1_500_000)).toBe(150)
  expect(rate.retryAfterMs(1)).toBe(10)
  expect(rate.retryAfterMs(1e9)).toBe(1_000)
  await clock.advance(50)
  expect(rate.retryAfterMs(1_500_000)).toBe(150)
  await clock.advance(150)
  expect(rate.retryAfterMs(1_500_000)).toBe(1_000)
  drained += 2_000
  await clock.advance(200)
  expect(rate.retryAfterMs(5_000)).toBe(500)
})
