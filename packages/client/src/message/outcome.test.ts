import { expect, test } from 'vitest'
import { ReconsumeLater, RejectMessage } from './outcome.ts'

test('a delay is whole milliseconds, never shorter than asked', () => {
  const delayOf = (delayMs: number): number => new ReconsumeLater({ delayMs }).delayMs
  expect(delayOf(1_000)).toBe(1_000)
  expect(delayOf(1_000 / 3)).toBe(334)
  expect(delayOf(0.2)).toBe(1)
  expect([delayOf(0), delayOf(-5), delayOf(Number.NaN)]).toEqual([0, 0, 0])
})

test('an outcome is known by what it says, a subclass by its class', () => {
  class Busy extends ReconsumeLater {}
  const foreign = Object.assign(new Error('elsewhere'), { [Symbol.for('tandemmq.outcome')]: 'rejectMessage' })
  expect([foreign instanceof RejectMessage, foreign instanceof ReconsumeLater]).toEqual([true, false])
  expect([new Busy({ delayMs: 1 }) instanceof ReconsumeLater, new Busy({ delayMs: 1 }) instanceof Busy]).toEqual([
    true,
    true,
  ])
  expect([new ReconsumeLater({ delayMs: 1 }) instanceof Busy, new Error('x') instanceof RejectMessage]).toEqual([
    false,
    false,
  ])
  expect([undefined, null, 'x'].some((value: unknown) => value instanceof ReconsumeLater)).toBe(false)
})
