import { expect, test } from 'vitest'
import { FakeBroker } from '../fake-broker-test-kit.ts'
import { systemClock } from '../foundation.ts'
import { silentLogger } from '../silent-logger.ts'
import type { Decision, EndOutcome, Half, HalfEnd } from './half-sender.ts'
import { Settler } from './settler.ts'

const right: Record<Decision, EndOutcome> = { commit: 'committed', rollback: 'rolledBack' }
const half = (opaque: string): Half => ({ opaque })

function settler(answer: (end: HalfEnd) => EndOutcome = ({ decision }) => right[decision]) {
  const calls: string[][] = []
  const anomalies: string[] = []
  const endMany = async (ends: readonly HalfEnd[]): Promise<EndOutcome[]> => {
    calls.push(ends.map((end) => `${end.decision} ${String(end.half.opaque)}`))
    return ends.map(answer)
  }
  const sender = { ...new FakeBroker().sender(), endMany }
  const onAnomaly = (text: string): void => void anomalies.push(text)
  const settled: string[] = []
  const made = new Settler({ sender, clock: systemClock, logger: silentLogger, onAnomaly })
  const add = (id: string, decision: Decision, ...halves: string[]): void =>
    made.add(id, halves.map(half), decision, () => void settled.push(id))
  return { made, calls, anomalies, settled, add }
}

test('commits and rollbacks decided in one turn are one request, each with its own outcome', async () => {
  const { made, calls, anomalies, settled, add } = settler()
  add('t1', 'commit', 'a', 'b')
  add('t2', 'rollback', 'c')
  add('t3', 'commit', 'd')
  await made.close()
  expect(calls).toEqual([['commit a', 'commit b', 'rollback c', 'commit d']])
  expect([settled, anomalies, made.pending]).toEqual([['t1', 't2', 't3'], [], 0])
})

test('a transaction whose broker has not answered is ended again, alone; a wrong outcome is reported for its own', async () => {
  let isFirst = true
  const { made, calls, anomalies, settled, add } = settler(({ half: { opaque }, decision }) => {
    if (opaque === 'lost') return 'unknown'
    return opaque === 'away' && isFirst ? 'pending' : right[decision]
  })
  add('t1', 'commit', 'a')
  add('t2', 'rollback', 'away')
  add('t3', 'commit', 'lost')
  add('t4', 'rollback', 'lost')
  await expect.poll(() => calls.length).toBe(1)
  isFirst = false
  await expect.poll(() => made.pending).toBe(0)
  expect(calls.slice(1)).toEqual([['rollback away']])
  expect([settled, anomalies]).toEqual([['t1', 't4', 't2'], ['END(commit) of t3 was answered unknown']])
  await made.close()
})
