import type { HeaderView } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { PendingRequests } from './pending-requests.ts'
import { VirtualClock } from './virtual-clock.ts'

class Waiter {
  failure: string | undefined
  onReply(_header: HeaderView): void {}
  onFailure(error: { code: string }): void {
    this.failure = error.code
  }
}

function countingTimers(): { clock: VirtualClock; timers: () => number } {
  const clock = new VirtualClock()
  let count = 0
  const setTimer = clock.setTimer.bind(clock)
  clock.setTimer = (delayMs, callback) => {
    count++
    return setTimer(delayMs, callback)
  }
  return { clock, timers: () => count }
}

test('every answer finds the handler of its own number, also while the ring grows', () => {
  const pending = new PendingRequests(new VirtualClock())
  const waiters = Array.from({ length: 1_000 }, () => new Waiter())
  const opaques = waiters.map((waiter) => pending.add(waiter, 1_000))
  expect(new Set(opaques).size).toBe(1_000)
  for (let n = 999; n >= 0; n--) expect(pending.take(opaques[n] ?? 0)).toBe(waiters[n])
  expect(pending.count).toBe(0)
  expect(pending.take(opaques[0] ?? 0)).toBeUndefined()
})

test('a slow request keeps its slot while thousands of others pass', () => {
  const pending = new PendingRequests(new VirtualClock())
  const slow = new Waiter()
  const opaque = pending.add(slow, 60_000)
  for (let n = 0; n < 5_000; n++) {
    const other = new Waiter()
    const number = pending.add(other, 1_000)
    expect(number).not.toBe(opaque)
    expect(pending.take(number)).toBe(other)
  }
  expect(pending.take(opaque + 16)).toBeUndefined()
  expect(pending.take(opaque)).toBe(slow)
})

test('numbers wrap at the end of a signed 32-bit integer', () => {
  const pending = new PendingRequests(new VirtualClock(), 0x7fffffff)
  const waiters = [new Waiter(), new Waiter(), new Waiter()]
  const opaques = waiters.map((waiter) => pending.add(waiter, 1_000))
  expect(opaques).toEqual([0x7fffffff, -0x80000000, -0x7fffffff])
  expect(opaques.map((opaque) => pending.take(opaque))).toEqual(waiters)
})

test('each request fails at its own deadline, not before', async () => {
  const clock = new VirtualClock()
  const pending = new PendingRequests(clock)
  const [long, short, middle] = [new Waiter(), new Waiter(), new Waiter()]
  pending.add(long, 300)
  pending.add(short, 100)
  pending.add(middle, 200)
  await clock.advance(99)
  expect([short.failure, middle.failure, long.failure]).toEqual([undefined, undefined, undefined])
  await clock.advance(1)
  expect([short.failure, middle.failure, long.failure]).toEqual(['REQUEST_TIMEOUT', undefined, undefined])
  await clock.advance(100)
  expect([middle.failure, long.failure]).toEqual(['REQUEST_TIMEOUT', undefined])
  await clock.advance(100)
  expect(long.failure).toBe('REQUEST_TIMEOUT')
  expect(pending.count).toBe(0)
})

test('requests answered in time cost one timer in all, not one each', async () => {
  const { clock, timers } = countingTimers()
  const pending = new PendingRequests(clock)
  for (let n = 0; n < 1_000; n++) {
    pending.take(pending.add(new Waiter(), 3_000))
    if (n % 100 === 0) await clock.advance(10)
  }
  expect(timers()).toBe(1)
  await clock.advance(10_000)
  expect(timers()).toBe(1)
})

test('failing all tells each of them once and leaves no timer', async () => {
  const clock = new VirtualClock()
  const pending = new PendingRequests(clock)
  const waiters = [new Waiter(), new Waiter()]
  for (const waiter of waiters) pending.add(waiter, 100)
  pending.failAll(Object.assign(new Error('gone'), { code: 'CONNECTION_CLOSED' as const, retryable: true }))
  expect(waiters.map(({ failure }) => failure)).toEqual(['CONNECTION_CLOSED', 'CONNECTION_CLOSED'])
  await clock.advance(1_000)
  expect(waiters.map(({ failure }) => failure)).toEqual(['CONNECTION_CLOSED', 'CONNECTION_CLOSED'])
})

test('answers that lay unread while this process stood still are taken before their requests count as unanswered', async () => {
  const clock = new VirtualClock()
  const pending = new PendingRequests(clock)
  const [answered, silent] = [new Waiter(), new Waiter()]
  const opaque = pending.add(answered, 1_000)
  pending.add(silent, 1_000)
  const monotonic = clock.monotonic.bind(clock)
  // It stood still for 5 s: the timer comes that late, and in the same turn, behind it, what the sockets hold.
  clock.setTimer(999.5, () => (clock.monotonic = () => monotonic() + 5_000))
  clock.setTimer(1_000.5, () => expect(pending.take(opaque)).toBe(answered))
  await clock.advance(1_010)
  expect([answered.failure, silent.failure]).toEqual([undefined, 'REQUEST_TIMEOUT'])
})
