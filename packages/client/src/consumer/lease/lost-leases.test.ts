import { expect, test } from 'vitest'
import { LeaseLane } from './lease-lane.ts'
import { Lease } from './lease.ts'
import type { Receipt } from './receipt.ts'

const origin = { waitingForAck: 0, bytes: 0 }

function leaseOf(offset: number, popTime: number): Lease {
  const receipt = {
    startOffset: 0,
    popTime,
    invisibleMs: 1,
    reviveQueueId: 999,
    form: '0',
    brokerName: 'b',
    queueId: 0,
  }
  return new Lease(
    { priority: 0 } as unknown as Lease['message'],
    'orders',
    { ...receipt, offset } as Receipt,
    0,
    origin,
  )
}

test('in order, a lost message takes along what was leased with it, and not what came again since', () => {
  const dropped: Lease[] = []
  const lane = new LeaseLane(true, (lease) => void dropped.push(lease))
  const [first, second] = [leaseOf(0, 100), leaseOf(1, 100)]
  for (const lease of [first, second]) lane.add(lease)
  expect(lane.next()).toBe(first)
  lane.suspend(first)
  first.state = 'lost'
  const [again, secondAgain] = [leaseOf(0, 200), leaseOf(1, 200)]
  for (const lease of [again, secondAgain]) {
    lane.add(lease)
    // Whoever adds one asks for work; the lane waits for its pause to end.
    expect(lane.hasWork()).toBe(false)
  }
  expect(dropped).toEqual([first, second])
  lane.resume()
  expect(lane.next()).toBe(again)
  lane.ended()
  expect(lane.next()).toBe(secondAgain)
})

test('without order, a lost message goes alone', () => {
  const dropped: Lease[] = []
  const lane = new LeaseLane(false, (lease) => void dropped.push(lease))
  const [first, second] = [leaseOf(0, 100), leaseOf(1, 100)]
  for (const lease of [first, second]) lane.add(lease)
  first.state = 'lost'
  expect(lane.next()).toBe(second)
  expect(dropped).toEqual([first])
})
