import { expect, test } from 'vitest'
import {
  type Decision,
  endAction,
  endRules,
  type HalfEvent,
  type HalfState,
  nextState,
  transitions,
} from './half-rules.ts'

const states: HalfState[] = ['pending', 'committing', 'rollingBack', 'inDoubt', 'committed', 'rolledBack', 'absent']
const decisions: Decision[] = ['commit', 'rollback', 'unknown']
const events: HalfEvent[] = ['commit', 'rollback', 'stored', 'failed', 'refusedByLog']

test('every state has exactly one rule for every decision', () => {
  for (const state of states) {
    for (const decision of decisions) {
      const rules = endRules.filter(([ofState, ofDecision]) => ofState === state && ofDecision === decision)
      expect(rules, `${state} meets ${decision}`).toHaveLength(1)
      expect(endAction(state, decision)).toBe(rules[0]?.[2])
    }
  }
  expect(endRules).toHaveLength(states.length * decisions.length)
})

test('only an undecided half message can be settled, and only the opposite decision is refused', () => {
  for (const [state, decision, action] of endRules) {
    expect(action === 'settle').toBe(state === 'pending' && decision !== 'unknown')
    const opposite = decision === 'commit' ? ['rollingBack', 'rolledBack'] : ['committing', 'committed']
    expect(action === 'refuse').toBe(decision !== 'unknown' && opposite.includes(state))
  }
})

function reach(from: HalfState): Set<HalfState> {
  const seen = new Set<HalfState>([from])
  for (const state of seen) for (const [before, , after] of transitions) if (before === state) seen.add(after)
  return seen
}

test('no chain of events leads from one outcome to the other', () => {
  for (const end of ['committed', 'rolledBack', 'inDoubt', 'absent'] as const) expect([...reach(end)]).toEqual([end])
})

test('what is not in the table of transitions throws', () => {
  for (const state of states) {
    for (const event of events) {
      const rows = transitions.filter(([before, on]) => before === state && on === event)
      if (rows.length === 0) expect(() => nextState(state, event)).toThrow(state)
      else expect(nextState(state, event)).toBe(rows[0]?.[2])
    }
  }
})
