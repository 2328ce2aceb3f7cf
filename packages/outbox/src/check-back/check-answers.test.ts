import { expect, test } from 'vitest'
import { CheckAnswers } from './check-answers.ts'
import type { MarkerState } from './resolver.ts'

function setUp(states: Record<string, MarkerState>, running: string[] = []) {
  const asked: string[] = []
  const resolver = {
    check: async (id: string) => {
      asked.push(id)
      return { state: states[id] ?? 'unavailable', nowMs: 0 } as const
    },
  }
  const answers = new CheckAnswers({ resolver, domainId: 'db1', isRunning: (id) => running.includes(id) })
  return { answers, asked }
}

test('many transactions are answered in their order; one of this process that still runs costs no statement', async () => {
  const states: Record<string, MarkerState> = {
    c: 'C',
    f: 'F',
    r: 'R',
    run: 'running',
    down: 'unavailable',
    no: 'notMine',
  }
  const { answers, asked } = setUp(states, ['own'])
  expect(await answers.check(['no', 'c', 'own', 'f', 'r', 'run', 'down'])).toEqual([
    'notMine',
    'commit',
    'unknown',
    'rollback',
    'rollback',
    'unknown',
    'unknown',
  ])
  expect(asked).toEqual(['no', 'c', 'f', 'r', 'run', 'down'])
  expect(answers.checks).toBe(7)
})

test('a message of another database is answered unknown without asking ours', async () => {
  const { answers, asked } = setUp({ key: 'C', other: 'notMine' })
  const message = (domain: string, key: string) => ({ properties: { TANDEM_DOMAIN: domain, DEDUP_KEY: `${key}:0` } })
  expect(await answers.checkMessage(message('db2', 'key'))).toBe('unknown')
  expect(asked).toEqual([])
  expect(await answers.checkMessage(message('db1', 'key'))).toBe('commit')
  expect(await answers.checkMessage(message('db1', 'other'))).toBe('unknown')
})
