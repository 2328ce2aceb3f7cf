import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { OrderRules } from './order-model.ts'
import { exploreOrder, orderSteps } from './order-model.ts'

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const product: OrderRules = { queuesBehindRows: true, holdsBack: true, sendsOneByOne: true, isLate: true }
const kindsOf = (rules: Partial<OrderRules>): string[] =>
  exploreOrder({ ...product, ...rules }).violations.map(({ kind }) => kind)

test('two transactions of one ordering key arrive in the order of their commits, whichever way they take', () => {
  const found = exploreOrder(product)
  expect(found.violations.map(({ kind, trace }) => `${kind}: ${trace.join(' > ')}`)).toEqual([])
  expect(found.unused).toEqual(['half leaves before the lock is there'])
})

test.each(Object.keys(product))('without "%s" there is an interleaving that turns them round', (rule) => {
  expect(kindsOf({ [rule]: false })).toContain('order')
})

test('every step names a place that exists', () => {
  const missing = orderSteps.filter(
    ({ source: [file, text] }) => !readFileSync(`${root}${file}`, 'utf8').includes(text),
  )
  expect(missing.map(({ name, source }) => `${name}: ${source.join(' ')}`)).toEqual([])
})
