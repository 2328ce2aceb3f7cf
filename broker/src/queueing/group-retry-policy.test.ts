import { expect, test } from 'vitest'
import { defaultGroupConfig, groupConfigOf } from './group-config.ts'
import { retryDelayMs, retryPolicyOf } from './group-retry-policy.ts'

const delays = (policy: unknown, count: number): (number | undefined)[] =>
  Array.from({ length: count }, (_, retries) => retryDelayMs(retryPolicyOf(policy), retries))

test('without a table of its own a group has the delay levels', () => {
  expect(delays(undefined, 1)).toEqual([undefined])
  expect(delays({ type: 'CUSTOMIZED', customizedRetryPolicy: null }, 1)).toEqual([undefined])
  expect(retryDelayMs(defaultGroupConfig('g').groupRetryPolicy, 3)).toBeUndefined()
})

test('a table is read from its third pause on, and its last one repeats', () => {
  const table = (next: number[]) => ({ type: 'CUSTOMIZED', customizedRetryPolicy: { next } })
  expect(delays(table([1, 2, 300, 400]), 4)).toEqual([300, 400, 400, 400])
  expect(delays(table([50]), 2)).toEqual([50, 50])
})

test('an exponential policy grows up to its longest pause', () => {
  const policy = { type: 'EXPONENTIAL', exponentialRetryPolicy: { initial: 100, max: 1_000, multiplier: 3 } }
  expect(delays(policy, 5)).toEqual([100, 300, 900, 1_000, 1_000])
  expect(delays({ type: 'EXPONENTIAL' }, 12).slice(0, 3)).toEqual([5_000, 10_000, 20_000])
  expect(retryDelayMs(retryPolicyOf({ type: 'EXPONENTIAL' }), 1_000)).toBe(7_200_000)
})

test.each([
  ['no type', { type: 'NEVER' }],
  ['a list', []],
  ['an empty table', { type: 'CUSTOMIZED', customizedRetryPolicy: { next: [] } }],
  ['a pause below 0', { type: 'CUSTOMIZED', customizedRetryPolicy: { next: [-1] } }],
  ['a pause above a day', { type: 'CUSTOMIZED', customizedRetryPolicy: { next: [86_400_001] } }],
  ['a pause that is a text', { type: 'CUSTOMIZED', customizedRetryPolicy: { next: ['1s'] } }],
  ['a policy that shrinks', { type: 'EXPONENTIAL', exponentialRetryPolicy: { multiplier: 0.5 } }],
  ['a maximum below the first pause', { type: 'EXPONENTIAL', exponentialRetryPolicy: { initial: 10, max: 9 } }],
])('%s is refused when the group is configured', (_, groupRetryPolicy) => {
  expect(() => groupConfigOf({ groupName: 'g', groupRetryPolicy })).toThrow(/FIELD_INVALID.*/)
})
