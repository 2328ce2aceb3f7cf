import { expect, test } from 'vitest'
import { OrdersJudge } from './orders-judge.ts'

const orders = [
  { id: 'a', messages: 2 },
  { id: 'b', messages: 1 },
]

function verdictOf(received: readonly string[], told: Readonly<Record<string, string>> = {}) {
  const judge = new OrdersJudge()
  for (const id of received) judge.take({ event: 'recv', id })
  for (const [id, outcome] of Object.entries(told)) judge.take({ event: 'order', id, outcome })
  const { lost, ghosts, doubles, untrue } = judge.verdict(orders)
  return { lost, ghosts, doubles, untrue }
}

const clean = { lost: [], ghosts: [], doubles: [], untrue: [] }

test('what was committed and arrived once is no violation', () => {
  const told = { a: 'committed', b: 'inDoubt', c: 'rolledBack', d: 'inDoubt' }
  expect(verdictOf(['b#0', 'a#1', 'a#0'], told)).toEqual(clean)
})

test('each way to be wrong is told apart', () => {
  expect(verdictOf(['a#0', 'b#0'])).toEqual({ ...clean, lost: ['a#1'] })
  expect(verdictOf(['a#0', 'a#1', 'b#0', 'c#0'])).toEqual({ ...clean, ghosts: ['c#0'] })
  expect(verdictOf(['a#0', 'a#1', 'a#2', 'b#0'])).toEqual({ ...clean, ghosts: ['a#2'] })
  expect(verdictOf(['a#0', 'a#1', 'b#0', 'b#0'])).toEqual({ ...clean, doubles: ['b#0'] })
  const told = { a: 'rolledBack', c: 'committed' }
  expect(verdictOf(['a#0', 'a#1', 'b#0'], told)).toEqual({ ...clean, untrue: ['a rolledBack', 'c committed'] })
})
