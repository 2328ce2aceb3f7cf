import { expect, test } from 'vitest'
import { ReconsumeLater } from './outcome.ts'

test('a delay is whole milliseconds, never shorter than asked', () => {
  const delayOf = (delayMs: number): number => new ReconsumeLater({ delayMs }).delayMs
  expect(delayOf(1_000)).toBe(1_000)
  expect(delayOf(1_000 / 3)).toBe(334)
  expect(delayOf(0.2)).toBe(1)
  expect([delayOf(0), delayOf(-5), delayOf(Number.NaN)]).toEqual([0, 0, 0])
})
