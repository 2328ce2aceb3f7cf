import { expect, test } from 'vitest'
import { dedupWindowViolations } from './dedup-window.ts'

test.each([
  [999, 1],
  [1_000, 0],
  [1_001, 0],
])('a second message of a key %i ms later breaks a window of 1,000 ms %i times', (later, times) => {
  const messages = [
    { key: 'a', storedAt: 5_000 + later },
    { key: 'b', storedAt: 5_001 },
    { key: 'a', storedAt: 5_000 },
  ]
  expect(dedupWindowViolations(messages, 1_000)).toHaveLength(times)
})

test('each one opens a window of its own, also one that came too early', () => {
  const messages = [0, 600, 1_200, 2_200].map((storedAt) => ({ key: 'a', storedAt }))
  expect(dedupWindowViolations(messages, 1_000)).toEqual([
    'a was stored again after 600 ms of 1000',
    'a was stored again after 600 ms of 1000',
  ])
})
