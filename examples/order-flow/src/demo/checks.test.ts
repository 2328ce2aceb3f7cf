import { expect, test } from 'vitest'
import { checkArrivals, differences, isRight, showChecks } from './checks.ts'

const line = (expected: string[], found: string[]) => ({ what: 'shipped', expected, found })

test('a line is right only when every id is there once and nothing else is', () => {
  expect(isRight(line(['a', 'b'], ['b', 'a']))).toBe(true)
  expect(isRight(line([], []))).toBe(true)
  expect(isRight(line(['a', 'b'], ['a']))).toBe(false)
  expect(isRight(line(['a'], ['a', 'b']))).toBe(false)
  expect(isRight(line(['a'], ['a', 'a']))).toBe(false)
})

test('a lost and a foreign order do not make up for one another, a duplicate not for a loss', () => {
  expect(differences(line(['a', 'b', 'c'], ['a', 'a', 'x']))).toEqual({
    lost: ['b', 'c'],
    foreign: ['x'],
    twice: ['a'],
  })
})

test('the table marks what is wrong and names the orders below', () => {
  const lines = showChecks([line(['O-1'], ['O-1']), line(['O-1'], ['O-2', 'O-2'])])
  expect(lines[1]).toMatch(/1 +1 +0 +0 +0 +ok$/)
  expect(lines[2]).toMatch(/1 +2 +1 +1 +1 +WRONG$/)
  expect(lines.slice(3)).toEqual(['shipped: lost: O-1', 'shipped: foreign: O-2', 'shipped: twice: O-2'])
})

test('an order that cannot be shipped is expected in billing and not in stock', () => {
  const arrived = { shipped: ['a', 'x'], billed: ['a', 'p', 'x'] }
  expect(checkArrivals('cut off', ['a', 'p'], ['a', 'x'], arrived).map(isRight)).toEqual([true, true])
  const swapped = { shipped: ['a', 'p'], billed: ['a'] }
  expect(checkArrivals('cut off', ['a', 'p'], ['a', 'x'], swapped).map(isRight)).toEqual([false, false])
})
