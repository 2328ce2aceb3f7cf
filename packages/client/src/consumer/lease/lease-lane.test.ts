import { expect, test } from 'vitest'
import { LeaseLane } from './lease-lane.ts'
import type { Lease } from './lease.ts'

const leaseOf = (name: string, priority: number): Lease =>
  ({ message: { priority, text: () => name }, state: 'held' }) as unknown as Lease

function laneOf(isOrdered: boolean, ...leases: [string, number][]): LeaseLane {
  const lane = new LeaseLane(isOrdered, () => {})
  for (const [name, priority] of leases) lane.add(leaseOf(name, priority))
  return lane
}

function take(lane: LeaseLane, count: number): string[] {
  return Array.from({ length: count }, () => lane.next()?.message.text() ?? '')
}

test('what waits here is handled by priority, each in the order it came', () => {
  const lane = laneOf(false, ['low0', 0], ['high0', 2], ['low1', 0], ['middle0', 1], ['high1', 2])
  expect(take(lane, 5)).toEqual(['high0', 'high1', 'middle0', 'low0', 'low1'])
  expect(lane.next()).toBeUndefined()
})

test('one turn in eight belongs to the first of the lowest, however many urgent ones come', () => {
  const lane = laneOf(false, ['low0', 0], ['low1', 0])
  const seen: string[] = []
  for (let n = 0; n < 16; n++) {
    lane.add(leaseOf(`high${2 * n}`, 5))
    lane.add(leaseOf(`high${2 * n + 1}`, 5))
    seen.push(...take(lane, 1))
  }
  expect(seen.filter((name) => name.startsWith('low'))).toEqual(['low0', 'low1'])
  expect(seen.indexOf('low0')).toBe(7)
})

test('in order, priority counts for nothing', () => {
  const lane = laneOf(true, ['low0', 0], ['high0', 2])
  expect(take(lane, 1)).toEqual(['low0'])
})
