import { expect, test } from 'vitest'
import { parseOptions } from './options.ts'

test('without a terminal the output is plain, with one only when asked', () => {
  expect(parseOptions([], false).plain).toBe(true)
  expect(parseOptions([], true).plain).toBe(false)
  expect(parseOptions(['--plain'], true).plain).toBe(true)
})

test.each([
  ['--orders', '39'],
  ['--orders', 'many'],
  ['--rate', '0'],
  ['--rate', '1.5'],
  ['--rate', '201'],
  ['--fast'],
])('%s %s is refused', (...args) => {
  expect(() => parseOptions(args, false)).toThrow(args[0])
})
