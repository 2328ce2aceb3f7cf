import { expect, test } from 'vitest'
import { HistoryChecker } from './history-checker.ts'
import type { GroupPolicy, HistoryEvent } from './history.ts'

type Event = Record<string, unknown> & { event: string; t: number }

const S = 1e9
const clustering: GroupPolicy = { mode: 'clustering', ordered: false, attemptsMax: 2, retryMs: [10_000] }

function rulesOf(events: readonly Event[], dedupWindowMs?: number): string[] {
  const checker = new HistoryChecker(dedupWindowMs === undefined ? {} : { dedupWindowMs })
  for (const event of events) checker.take({ wall: 0, proc: 'p', ...event } as unknown as HistoryEvent)
  return [...new Set(checker.report().violations.map(({ rule }) => rule))]
}

const join = (more: object = {}): Event => ({
  event: 'join',
  t: 0,
  group: 'g',
  topic: 'orders',
  policy: clustering,
  ...more,
})

function sent(id: string, t: number, more: object = {}, offset = 0, queueId = 0): Event[] {
  const start = { event: 'send.start', t, id, topic: 'orders', kind: 'plain', hash: 'h', ...more }
  return [start, { event: 'send.ok', t: t + 1e6, id, queueId, offset }]
}

let op = 0
/** A delivery that takes a millisecond. */
function handled(id: string, t: number, more: Record<string, unknown> = {}): Event[] {
  const { outcome = 'ok', lastsNs = 1e6, ...rest } = more
  op++
  const place = { id, group: 'g', topic: 'orders', stored: 'orders', queueId: 0, offset: 0 }
  const start = { event: 'handle.start', t, op, ...place, attempt: 1, member: 'm', storedWall: 0, ...rest }
  return [start, { event: 'handle.end', t: t + Number(lastsNs), op, id, group: 'g', outcome }]
}

test('a group gets what has one of its tags, all of it and nothing else', () => {
  const history = (tag: string, got: boolean): Event[] => [
    join({ tags: ['red', 'green'] }),
    ...sent('a', S, { tag }),
    ...(got ? handled('a', 2 * S) : []),
  ]
  expect(rulesOf(history('green', true))).toEqual([])
  expect(rulesOf(history('blue', false))).toEqual([])
  expect(rulesOf(history('green', false))).toEqual(['NoLoss'])
  expect(rulesOf(history('blue', true))).toEqual(['TagFilter'])
})

test('a reply is that to the request, and comes in calm times', () => {
  const asked: Event = { event: 'ask.start', t: S, id: 'q1', group: 'g' }
  expect(rulesOf([join(), asked, { event: 'ask.ok', t: 2 * S, id: 'q1', answers: 'q1' }])).toEqual([])
  expect(rulesOf([join(), asked, { event: 'ask.ok', t: 2 * S, id: 'q1', answers: 'q2' }])).toEqual(['Reply'])
  const failed: Event = { event: 'ask.fail', t: 4 * S, id: 'q1', code: 'REQUEST_TIMEOUT' }
  expect(rulesOf([join(), asked, failed])).toEqual(['Reply'])
  expect(rulesOf([join(), { event: 'fault', t: 3 * S, kind: 'cut' }, asked, failed])).toEqual([])
})

test('a message that was moved comes at its new time, and one that perhaps was at either', () => {
  const delayed = sent('d', S, { kind: 'delayed', delayMs: 10_000 })
  const asked: Event = { event: 'reschedule.start', t: 2 * S, id: 'd', delayMs: 30_000 }
  const answered = (outcome: string): Event => ({ event: 'reschedule.ok', t: 3 * S, id: 'd', outcome })
  expect(rulesOf([join(), ...delayed, asked, answered('rescheduled'), ...handled('d', 33 * S)])).toEqual([])
  expect(rulesOf([join(), ...delayed, asked, answered('rescheduled'), ...handled('d', 12 * S)])).toEqual([
    'DelayNeverEarly',
  ])
  expect(rulesOf([join(), ...delayed, asked, answered('fired'), ...handled('d', 12 * S)])).toEqual([])
  expect(rulesOf([join(), ...delayed, asked, ...handled('d', 12 * S)])).toEqual([])
  const sooner: Event = { ...asked, delayMs: 1_000 }
  expect(rulesOf([join(), ...delayed, sooner, ...handled('d', 4 * S)])).toEqual([])
  expect(rulesOf([join(), ...delayed, sooner, answered('fired'), ...handled('d', 4 * S)])).toEqual(['DelayNeverEarly'])
})

test("a delay is over when the broker's clock says so, and by no more than that clock gained", () => {
  const delayed = [join(), ...sent('d', S, { kind: 'delayed', delayMs: 20_000 })]
  const set = (offsetMs: number, t = 2 * S): Event => ({ event: 'clock', t, offsetMs })
  expect(rulesOf([...delayed, set(19_000), ...handled('d', 3 * S)])).toEqual([])
  expect(rulesOf([...delayed, set(10_000), ...handled('d', 3 * S)])).toEqual(['DelayNeverEarly'])
  expect(rulesOf([...delayed, set(-19_000), ...handled('d', 3 * S)])).toEqual(['DelayNeverEarly'])
  expect(rulesOf([set(-19_000, 0), ...delayed, set(0), ...handled('d', 3 * S)])).toEqual([])
})

test('a retry counts by the steady clock, but over a restart by the one on the wall', () => {
  const retried = [...handled('a', 2 * S, { outcome: 'retry' })]
  const early = handled('a', 3 * S, { stored: '%RETRY%g', attempt: 2 })
  const set: Event = { event: 'clock', t: 2.2 * S, offsetMs: 3_600_000 }
  expect(rulesOf([join(), ...sent('a', S), ...retried, set, ...early])).toEqual(['RetrySchedule'])
  expect(rulesOf([join(), ...sent('a', S), ...retried, set, { event: 'restart', t: 2.5 * S }, ...early])).toEqual([])
})

test('a jump past the dedup window excuses a message that was stored again, a small one does not', () => {
  const twice = (offsetMs: number): Event[] => [
    { event: 'send.start', t: S, id: 'a', topic: 'orders', kind: 'plain', hash: 'h' },
    { event: 'clock', t: 2 * S, offsetMs },
    { event: 'send.ok', t: 3 * S, id: 'a', queueId: 0, offset: 1 },
    { event: 'recv', t: 4 * S, id: 'a', hash: 'h', group: 'r', topic: 'orders', queueId: 0, offset: 0 },
  ]
  expect(rulesOf(twice(60_000), 20_000)).toEqual([])
  expect(rulesOf(twice(5_000), 20_000)).toEqual(['DedupStored'])
})

test('a dead letter that was sent back is finished once more, and comes by one copy', () => {
  const dead: Event[] = [
    join(),
    ...sent('a', S),
    ...handled('a', 2 * S, { outcome: 'reject' }),
    { event: 'dead', t: 3 * S, group: 'g', id: 'a', reason: 'nobody wants it', offset: 0 },
    { event: 'redrive.start', t: 4 * S, group: 'g', id: 'a', dead: 0 },
  ]
  const told: Event = { event: 'redrive.ok', t: 5 * S, group: 'g', id: 'a', dead: 0 }
  const back = { stored: '%RETRY%g', redriven: 0 }
  expect(rulesOf(dead)).toEqual([])
  expect(rulesOf([...dead, told])).toEqual(['Redriven'])
  expect(rulesOf([...dead, told, ...handled('a', 6 * S, { ...back, outcome: 'retry' })])).toEqual(['Redriven'])
  expect(rulesOf([...dead, told, ...handled('a', 6 * S, back)])).toEqual([])
  const again = handled('a', 200 * S, { ...back, offset: 1 })
  expect(rulesOf([...dead, told, ...handled('a', 6 * S, back), ...again])).toContain('RedrivenOnce')
})

test('a dead letter was begun by somebody, unless faults were about', () => {
  const dead: Event = { event: 'dead', t: 99 * S, group: 'g', id: 'a', reason: 'three began', offset: 0 }
  expect(rulesOf([join(), ...sent('a', S), dead])).toEqual(['Unheard'])
  expect(rulesOf([join(), ...sent('a', S), { event: 'fault', t: 9 * S, kind: 'cut' }, dead])).toEqual([])
  expect(rulesOf([join(), ...sent('a', S), ...handled('a', 2 * S, { outcome: 'reject' }), dead])).toEqual([])
})

test('a priority is its queue, and what is higher goes first', () => {
  expect(rulesOf([join(), ...sent('a', S, { priority: 2 }, 0, 1), ...handled('a', 2 * S)])).toEqual(['Priority'])
  const burst = (highFirst: boolean): Event[] => {
    const events: Event[] = [join()]
    for (let n = 0; n < 60; n++) {
      const priority = n % 2
      events.push(...sent(`m${n}`, 30 * S, { priority }, n >> 1, priority))
      const turn = (priority === 1) === highFirst ? n >> 1 : 30 + (n >> 1)
      events.push(...handled(`m${n}`, 33 * S + turn * 1e8, { queueId: priority, offset: n >> 1 }))
    }
    return events
  }
  expect(rulesOf(burst(true))).toEqual([])
  expect(rulesOf(burst(false))).toEqual(['Priority'])
})

test('in order, what takes no time ends before the next begins in the same instant', () => {
  const policy = { ...clustering, ordered: true }
  const moved = (t: number, to: number): Event[] =>
    ['rewind.start', 'rewind.ok'].map((event) => ({ event, t, wall: 1, group: 'g', topic: 'orders', to }))
  const second = handled('b', 2 * S, { offset: 1 })
  const both = [...handled('a', 150 * S, { lastsNs: 0 }), ...handled('b', 150 * S, { offset: 1 })]
  const history = [join({ policy }), ...sent('a', S), ...sent('b', 1.1 * S, {}, 1)]
  expect(rulesOf([...history, ...moved(1.5 * S, -1), ...second, ...moved(3 * S, 0), ...both])).toEqual([])
})
