import { expect, test } from 'vitest'
import type { ListenerOptions } from './listener-options.ts'
import { planConsumers } from './listener-plan.ts'
import type { PlannedListener } from './listener-plan.ts'

const listener = (name: string, options: Partial<ListenerOptions>): PlannedListener<null> => ({
  name,
  options: { topic: 'orders', group: 'billing', ...options },
  handler: null,
})

const plan = (...listeners: PlannedListener<null>[]) => planConsumers(listeners, {})

test('listeners of one group share one consumer, each other group has its own', () => {
  const plans = plan(listener('A', {}), listener('B', { topic: 'payments' }), listener('C', { group: 'stock' }))
  expect(plans.map(({ group, listeners }) => [group, listeners.map(({ name }) => name)])).toEqual([
    ['billing', ['A', 'B']],
    ['stock', ['C']],
  ])
})

test.each([
  ['the same tags', { tags: ['created'] }, { tags: ['created'] }],
  ['a shared tag', { tags: ['created', 'paid'] }, { tags: ['refunded', 'paid'] }],
  ['all and some tags', {}, { tags: ['paid'] }],
  ['a filter and tags', { sql: 'a = 1' }, { tags: ['paid'] }],
])('two listeners of one group on one topic fail the boot: %s', (_, a, b) => {
  expect(() => plan(listener('A.onMessage', a), listener('B.pay', b))).toThrow(
    expect.objectContaining({
      code: 'LISTENER_INVALID',
      message: expect.stringMatching(/A\.onMessage.*B\.pay.*billing/),
    }),
  )
})

test('listeners of one group may share a topic when each has tags of its own', () => {
  const [shared, ...others] = plan(listener('A', { tags: ['created'] }), listener('B', { tags: ['paid', 'refunded'] }))
  expect(others).toEqual([])
  expect(shared?.listeners.map(({ name }) => name)).toEqual(['A', 'B'])
})

test.each([
  ['ordered', { ordered: true }, { ordered: false }],
  ['mode', { mode: 'clustering' as const }, { mode: 'broadcasting' as const }],
  ['concurrencyMax', { concurrencyMax: 1 }, { concurrencyMax: 2 }],
  ['startFrom', { startFrom: new Date(1000) }, { startFrom: new Date(1001) }],
])('two listeners of one group must agree on %s', (field, a, b) => {
  const other = { topic: 'payments' }
  expect(() => plan(listener('A', a), listener('B', { ...b, ...other }))).toThrow(`not the same ${field}`)
  expect(() => plan(listener('A', a), listener('B', { ...a, ...other }))).not.toThrow()
  expect(() => plan(listener('A', a), listener('B', other))).not.toThrow()
})

test.each([
  ['no topic', { topic: '' }],
  ['no group', { group: '' }],
  ['both tags and sql', { tags: ['a'], sql: 'a = 1' }],
  ['an empty list of tags', { tags: [] }],
  ['batch.sizeMax', { batch: { sizeMax: 0 } }],
  ['batch.waitMs', { batch: { sizeMax: 1, waitMs: Number.NaN } }],
  ['both batch and ordered', { batch: { sizeMax: 2 }, ordered: true }],
  ['both batch and inbox', { batch: { sizeMax: 2 }, inbox: true }],
])('a listener with %s fails the boot', (words, options) => {
  expect(() => plan(listener('A', options))).toThrow(expect.objectContaining({ code: 'LISTENER_INVALID' }))
  expect(() => plan(listener('A', options))).toThrow(words)
})

test('listeners of a group gather batches of the same size or none of them does', () => {
  const batch = { sizeMax: 2 }
  const other = { topic: 'payments' }
  expect(() => plan(listener('A', { batch }), listener('B', other))).toThrow('not the same batch.sizeMax')
  expect(() => plan(listener('A', { batch }), listener('B', { ...other, batch }))).not.toThrow()
})

test('a listener setting wins over the default of the module, what nobody set stays away', () => {
  const [only] = planConsumers([listener('A', { concurrencyMax: 2 })], { concurrencyMax: 8, attemptsMax: 3 })
  expect(only?.settings).toEqual({ concurrencyMax: 2, attemptsMax: 3 })
})
