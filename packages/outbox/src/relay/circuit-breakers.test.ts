import { expect, test } from 'vitest'
import type { Clock } from '../foundation.ts'
import { CircuitBreakers } from './circuit-breakers.ts'

const away = { code: 'CONNECT_FAILED', retryable: true }
const refused = { code: 'MESSAGE_ILLEGAL', retryable: false }
const routes: Record<string, readonly string[]> = { a1: ['a'], a2: ['a'], b1: ['b'], both: ['b', 'a'] }

function made(brokersOf = (topic: string): readonly string[] => routes[topic] ?? []) {
  let now = 0
  const clock = { monotonic: () => now } as unknown as Clock
  const breakers = new CircuitBreakers({ clock, brokersOf })
  const fail = (topic: string, times: number, error: unknown = away): void => {
    for (let n = 0; n < times; n++) breakers.report(topic, error)
  }
  return { breakers, fail, pass: (ms: number) => void (now += ms) }
}

test('a broker that is away closes the way to its topics, and to no others', () => {
  const { breakers, fail } = made()
  fail('a1', 2)
  expect([breakers.allows('a1'), breakers.isOpen]).toEqual([true, false])
  fail('a2', 1)
  expect(['a1', 'a2', 'b1', 'both', 'unheard-of'].map((topic) => breakers.allows(topic))).toEqual([
    false,
    false,
    true,
    true,
    true,
  ])
  expect([breakers.isOpen, breakers.open]).toEqual([true, ['a']])
  expect(breakers.openTopics().map(({ topics }) => topics)).toEqual([['a1', 'a2']])
})

test('each has a probe of its own, and its success closes that one alone', () => {
  const { breakers, fail, pass } = made()
  fail('a1', 3)
  fail('b1', 3)
  expect([breakers.allows('a1'), breakers.allows('b1')]).toEqual([false, false])
  pass(1_000)
  expect([breakers.allows('a1'), breakers.allows('a2'), breakers.allows('b1'), breakers.allows('b1')]).toEqual([
    true,
    false,
    true,
    false,
  ])
  breakers.succeeded('a2')
  fail('b1', 1)
  expect([breakers.allows('a1'), breakers.allows('a2'), breakers.open]).toEqual([true, true, ['b']])
  // Its second time is twice as long.
  pass(1_000)
  expect(breakers.allows('b1')).toBe(false)
  pass(1_000)
  expect(breakers.allows('b1')).toBe(true)
})

test('a refusal says that the broker is there', () => {
  const { breakers, fail } = made()
  fail('a1', 2)
  fail('a1', 1, refused)
  fail('a1', 2)
  expect(breakers.isOpen).toBe(false)
})

test('what nobody has a route for is known by its topic; a route that moves takes the topic along', () => {
  let brokers: readonly string[] = []
  const { breakers, fail } = made(() => brokers)
  fail('orders', 3, { code: 'ROUTE_NOT_FOUND', retryable: true })
  expect(breakers.open).toEqual(['topic orders'])
  brokers = ['a']
  expect(breakers.allows('orders')).toBe(true)
  fail('orders', 3)
  expect(breakers.open).toEqual(['a'])
  brokers = ['b']
  breakers.succeeded('orders')
  expect([breakers.open, breakers.isOpen]).toEqual([[], false])
})

test('who holds messages back names their topic, so that the relay passes by them', () => {
  const { breakers, fail } = made()
  expect(breakers.holds('a2')).toBe(false)
  fail('a1', 3)
  expect([breakers.holds('a2'), breakers.holds('b1')]).toEqual([true, false])
  expect(breakers.openTopics().flatMap(({ topics }) => topics)).toEqual(['a1', 'a2'])
})

test('however many brokers and topics are away, what is remembered of them is bounded', () => {
  const many = Array.from({ length: 3_000 }, (_, n) => `t${n}`)
  const apart = made()
  for (const topic of many) apart.fail(topic, 3)
  expect(apart.breakers.open).toHaveLength(1_000)
  expect(apart.breakers.allows('t2999')).toBe(false)
  expect(apart.breakers.allows('t0')).toBe(true)
  const together = made(() => ['a'])
  for (const topic of many) together.fail(topic, 1)
  expect(together.breakers.openTopics().map(({ topics }) => topics.length)).toEqual([1_000])
})
