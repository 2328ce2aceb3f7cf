import { expect, test } from 'vitest'
import { Accounting } from './accounting.ts'
import { AtLeastOnce } from './at-least-once.ts'
import { CancelOrDeliver } from './cancel-or-deliver.ts'
import { DedupWindow } from './dedup-window.ts'
import { DelayNeverEarly } from './delay-never-early.ts'
import type { ChaosEvent, Rule } from './event.ts'
import { LeaseExclusive } from './lease-exclusive.ts'
import { NoReturn } from './no-return.ts'
import { Order } from './order.ts'
import { Redelivery } from './redelivery.ts'
import { RetrySchedule } from './retry-schedule.ts'

type Fields = Record<string, unknown>
/** When, ms; what; and the rest. */
type Line = readonly [number, string, Fields?]

const WALL = 1_700_000_000_000

function history(lines: readonly Line[]): ChaosEvent[] {
  return lines
    .map(([ms, event, fields = {}]) => ({ t: ms * 1e6, wall: WALL + ms, proc: 'p', event, ...fields }))
    .toSorted((a, b) => a.t - b.t) as unknown as ChaosEvent[]
}

function judged(rule: Rule, lines: readonly Line[]): string[] {
  for (const event of history(lines)) rule.take(event)
  return rule.violations().map(({ text }) => text)
}

const join = (mode: string, fields: Fields = {}): Line => [
  0,
  'join',
  { group: 'g', topic: 't', member: 'm', mode, attemptsMax: 3, invisibleMs: 1_000, ...fields },
]
const sent = (ms: number, id: string, fields: Fields = {}): Line[] => [
  [ms, 'send.start', { id, topic: 't', kind: 'plain', hash: id, ...fields }],
  [ms + 1, 'send.ok', { id, queueId: 0, offset: ms, duplicate: false, ...fields }],
]
/** A handler from `ms` on; ends as told after `tookMs`. */
const handled = (ms: number, id: string, fields: Fields = {}, end = 'done', tookMs = 5): Line[] => {
  const op = `${id}@${ms}`
  const begun = { op, id, hash: id, group: 'g', member: 'm', topic: 't', queueId: 0, offset: 0, attempt: 1 }
  return [
    [ms, 'recv', { ...begun, storedAt: WALL + ms, ...fields }],
    ...(end === '' ? [] : ([[ms + tookMs, end, { op, delayMs: 500, proc: fields['proc'] ?? 'p' }]] as Line[])),
  ]
}

test('a message is done when a handler of each group returned, when it is a dead letter, or when it was cancelled', () => {
  const other = join('clustering', { group: 'h' })
  const fine = [...handled(20, 'a'), ...handled(30, 'a', { group: 'h' })]
  expect(judged(new AtLeastOnce(), [join('clustering'), other, ...sent(1, 'a'), ...fine])).toEqual([])
  const begun = [...handled(20, 'a'), ...handled(30, 'a', { group: 'h' }, '')]
  expect(judged(new AtLeastOnce(), [join('clustering'), other, ...sent(1, 'a'), ...begun])).toEqual([
    'a was acknowledged, and h neither handled it to its end nor gave it up',
  ])
  const failed = [...handled(20, 'a'), ...handled(30, 'a', { group: 'h' }, 'nack')]
  expect(judged(new AtLeastOnce(), [join('clustering'), other, ...sent(1, 'a'), ...failed])).toHaveLength(1)
  const dead: Line = [99, 'stored', { id: 'a', deadFor: 'h' }]
  expect(judged(new AtLeastOnce(), [join('clustering'), other, ...sent(1, 'a'), ...failed, dead])).toEqual([])
  const elsewhere: Line = [99, 'stored', { id: 'a', deadFor: 'g' }]
  expect(judged(new AtLeastOnce(), [join('clustering'), other, ...sent(1, 'a'), ...failed, elsewhere])).toHaveLength(1)
})

test('unknown sends and half messages that were not committed need not arrive; committed ones must', () => {
  const half = [...sent(1, 'h', { kind: 'half' })]
  const unknown: Line[] = [
    [1, 'send.start', { id: 'u', topic: 't', kind: 'plain', hash: 'u' }],
    [2, 'send.unknown', { id: 'u', code: 'REQUEST_TIMEOUT' }],
  ]
  expect(judged(new AtLeastOnce(), [join('clustering'), ...half, ...unknown])).toEqual([])
  const rolledBack: Line = [3, 'local.rollback', { id: 'h' }]
  expect(judged(new AtLeastOnce(), [join('clustering'), ...half, rolledBack])).toEqual([])
  const committed: Line = [3, 'local.commit', { id: 'h' }]
  expect(judged(new AtLeastOnce(), [join('clustering'), ...half, committed])).toHaveLength(1)
})

test.each([
  ['cancelled', 0],
  ['fired', 1],
])('a message that nobody got and that was told to be %s is missing %i times', (outcome, missing) => {
  const lines = [join('clustering'), ...sent(1, 'd', { kind: 'delayed' }), [5, 'cancel.start', { id: 'd' }] as Line]
  expect(judged(new AtLeastOnce(), [...lines, [6, 'cancel.ok', { id: 'd', outcome }]])).toHaveLength(missing)
})

test('each member of a broadcasting group must get everything, also over a new start of it', () => {
  const members = [join('broadcasting', { member: 'x' }), join('broadcasting', { member: 'y' })]
  const one = [...sent(1, 'a'), ...handled(20, 'a', { member: 'x' })]
  expect(judged(new AtLeastOnce(), [...members, ...one])[0]).toContain('g at y')
  expect(judged(new AtLeastOnce(), [...members, ...one, ...handled(40, 'a', { member: 'y' })])).toEqual([])
})

test('while a run is watched a refusal or a last attempt counts as the dead letter it leads to', () => {
  const watch = () => new AtLeastOnce({ expectsDeadLetters: true })
  const begin = [join('clustering'), ...sent(1, 'a')]
  expect(judged(watch(), [...begin, ...handled(20, 'a', {}, 'reject')])).toEqual([])
  expect(judged(watch(), [...begin, ...handled(20, 'a', { attempt: 3 }, '')])).toEqual([])
  expect(judged(watch(), [...begin, ...handled(20, 'a', { attempt: 2 }, 'nack')])).toHaveLength(1)
  expect(judged(new AtLeastOnce(), [...begin, ...handled(20, 'a', {}, 'reject')])).toHaveLength(1)
})

test('logs of one process may be read before those of another, and the end of a handler before its beginning', () => {
  const rule = new AtLeastOnce()
  for (const event of history([join('clustering'), ...sent(1, 'a'), ...handled(20, 'a')]).toReversed()) rule.take(event)
  expect(rule.missing()).toEqual([])
})

const inOrder = (mode: string, ...lines: Line[][]): Line[] => [
  join(mode),
  ...sent(1, 'a', { key: 'k', offset: 0 }),
  ...sent(3, 'b', { key: 'k', offset: 1 }),
  ...lines.flat(),
]

test('the next message of a key begins after the one ahead of it ended, in order groups only', () => {
  const fine = [handled(20, 'a', { offset: 0 }), handled(30, 'b', { offset: 1 })]
  expect(judged(new Order(), inOrder('ordered', ...fine))).toEqual([])
  const swapped = [handled(20, 'b', { offset: 1 }), handled(30, 'a', { offset: 0 })]
  expect(judged(new Order(), inOrder('ordered', ...swapped))[0]).toContain('b began before a')
  expect(judged(new Order(), inOrder('clustering', ...swapped))).toEqual([])
  const overlapping = [handled(20, 'a', { offset: 0 }, 'done', 50), handled(30, 'b', { offset: 1 })]
  expect(judged(new Order(), inOrder('lease-ordered', ...overlapping))[0]).toContain('had ended')
  const killed = [handled(20, 'a', { offset: 0 }, ''), handled(30, 'b', { offset: 1 }), handled(40, 'a', { offset: 0 })]
  expect(judged(new Order(), inOrder('ordered', ...killed))).toHaveLength(1)
})

test('repeats of what has ended may come at any time, and a failure does not end a message before its last attempt', () => {
  const repeated = [
    handled(20, 'a', { offset: 0 }),
    handled(30, 'b', { offset: 1 }),
    handled(40, 'a', { offset: 0 }),
    handled(50, 'b', { offset: 1 }),
  ]
  expect(judged(new Order(), inOrder('ordered', ...repeated))).toEqual([])
  const failed = [handled(20, 'a', { offset: 0 }, 'nack'), handled(30, 'b', { offset: 1 })]
  expect(judged(new Order(), inOrder('ordered', ...failed))).toHaveLength(1)
  const spent = [handled(20, 'a', { offset: 0, attempt: 3 }, 'nack'), handled(30, 'b', { offset: 1 })]
  expect(judged(new Order(), inOrder('ordered', ...spent))).toEqual([])
})

const over: Line = [9_000, 'request.fail', { id: 'q' }]
const exclusive = (lines: Line[]): string[] =>
  judged(new LeaseExclusive({ graceMs: 100 }), [join('lease'), ...lines, over])
const long = (proc: string, ms: number, id = 'a'): Line[] => handled(ms, id, { proc }, 'done', 500)

test('two holders of one message are told, unless one of them hears of it within the grace', () => {
  expect(exclusive([...long('x', 20), ...long('y', 60)])).toEqual([
    'y got a while x had a in hand, and both kept it (g a)',
  ])
  expect(exclusive([...handled(20, 'a', { proc: 'x' }, ''), ...handled(60, 'a', { proc: 'y' }, '')])).toHaveLength(1)
  expect(exclusive([...handled(20, 'a', { proc: 'x' }, 'lost', 90), ...long('y', 60)])).toEqual([])
  expect(exclusive([...long('x', 20), ...handled(60, 'a', { proc: 'y' }, 'lost', 90)])).toEqual([])
  expect(exclusive([...long('x', 20), ...long('y', 60, 'b')])).toEqual([])
})

test.each(['kill', 'stop'])('a holder whose process met a %s holds nothing any more', (kind) => {
  const fault: Line = [50, 'fault', { kind, target: 'x' }]
  expect(exclusive([...long('x', 20), fault, ...long('y', 60)])).toEqual([])
  expect(exclusive([...long('x', 20), [50, 'fault', { kind, target: 'z' }], ...long('y', 60)])).toHaveLength(1)
})

test('a handler that began on a lease that had run out holds nothing', () => {
  const late = handled(20, 'a', { proc: 'x', popTime: WALL - 1_500 }, 'done', 5_000)
  expect(exclusive([...late, ...long('y', 60)])).toEqual([])
})

test('two messages of one key in two hands break the exclusion of a group that keeps order', () => {
  const keyed = [...sent(1, 'a', { key: 'k' }), ...sent(3, 'b', { key: 'k' }), ...sent(5, 'c', { key: 'l' }), over]
  const rule = () => new LeaseExclusive({ graceMs: 100 })
  expect(judged(rule(), [join('ordered'), ...keyed, ...long('x', 20), ...long('y', 60, 'b')])).toHaveLength(1)
  expect(judged(rule(), [join('ordered'), ...keyed, ...long('x', 20), ...long('y', 60, 'c')])).toEqual([])
})

test('a delayed message handled or stored before its time is early, by either clock', () => {
  const start = sent(10, 'd', { kind: 'delayed', delayMs: 100 })
  expect(judged(new DelayNeverEarly(), [...start, ...handled(110, 'd')])).toEqual([])
  expect(judged(new DelayNeverEarly(), [...start, ...handled(90, 'd')])).toContain('d was handled 20.0 ms early')
  const dated = sent(10, 'd', { kind: 'delayed', deliverAt: WALL + 200 })
  expect(judged(new DelayNeverEarly(), [...dated, ...handled(201, 'd')])).toEqual([])
  expect(judged(new DelayNeverEarly(), [...dated, ...handled(150, 'd')])).toContain('d was handled 50.0 ms early')
  const jumped = handled(150, 'd', { wall: WALL + 60 })
  expect(judged(new DelayNeverEarly(), [...start, ...jumped])[0]).toContain('by the clock on the wall')
})

test('what was cancelled must not be handled', () => {
  const cancelled: Line = [20, 'cancel.ok', { id: 'd', outcome: 'cancelled' }]
  expect(judged(new CancelOrDeliver(), [cancelled])).toEqual([])
  expect(judged(new CancelOrDeliver(), [cancelled, ...handled(10, 'd')])).toEqual(['d was cancelled, and handled'])
  const fired: Line = [20, 'cancel.ok', { id: 'd', outcome: 'fired' }]
  expect(judged(new CancelOrDeliver(), [fired, ...handled(10, 'd')])).toEqual([])
})

test('one message of a dedup key is stored within the window, and all senders are told where', () => {
  const key = { dedupKey: 'pay' }
  const stored = (ms: number, offset: number, fields: Fields = {}): Line => [
    ms,
    'stored',
    { id: 'a', topic: 't', queueId: 0, offset, storedAt: WALL + ms, ...key, ...fields },
  ]
  const twice = [...sent(1, 'a', { ...key, offset: 7 }), ...sent(9, 'a', { ...key, offset: 7, duplicate: true })]
  const rule = () => new DedupWindow(1_000)
  expect(judged(rule(), [...twice, stored(2, 7)])).toEqual([])
  expect(judged(rule(), [...twice, stored(2, 7), stored(10, 8)])[0]).toContain('8 ms later')
  expect(judged(rule(), [...twice, stored(2, 7), stored(1_100, 8)])).toEqual([])
  expect(judged(rule(), [...twice, stored(2, 7), stored(10, 8, { dedupKey: 'other' })])).toEqual([])
  const elsewhere = [...sent(1, 'a', { ...key, offset: 7 }), ...sent(9, 'a', { ...key, offset: 3 })]
  expect(judged(rule(), [...elsewhere, stored(2, 7)])[0]).toContain('where it is not')
})

const retried = (againAt: number, fields: Fields = {}, ...more: Line[]): string[] =>
  judged(new RetrySchedule(), [
    join('clustering'),
    ...handled(100, 'f', {}, 'nack'),
    ...handled(againAt, 'f', { attempt: 2, ...fields }),
    ...more,
  ])

test('a failed message comes again after the pause that was asked for: not earlier, not much later', () => {
  expect(retried(605)).toEqual([])
  expect(retried(500)[0]).toContain('after 395 ms, asked for were 500 ms')
  expect(retried(2_600)).toEqual([])
  expect(retried(4_000)[0]).toContain('nothing was broken')
  const slowSend: Line[] = [
    [1, 'send.start', { id: 's', topic: 't', kind: 'plain', hash: 's' }],
    [200, 'send.ok', { id: 's', queueId: 0, offset: 0, duplicate: false }],
  ]
  expect(retried(4_000, {}, ...slowSend)).toEqual([])
})

test('a fault excuses lateness, while it lasts and in its aftermath, and never an early attempt of a queue group', () => {
  const fault = (ms: number): Line => [ms, 'fault', { kind: 'kill', target: 'broker' }]
  const end = (ms: number): Line => [ms, 'fault.end', { kind: 'kill', target: 'broker' }]
  expect(retried(9_000, {}, fault(50), end(300))).toEqual([])
  expect(retried(9_000, {}, [4_000, 'stall', { ms: 900 }])).toEqual([])
  expect(retried(4_000, {}, [30_000, 'stall', { ms: 900 }])).toHaveLength(1)
  expect(retried(14_000, {}, fault(14_500), end(15_000))).toHaveLength(1)
  expect(retried(500, {}, fault(50))).toHaveLength(1)
  const lease = [join('lease'), ...handled(100, 'f', {}, 'nack'), ...handled(300, 'f', { attempt: 2 })]
  expect(judged(new RetrySchedule(), lease)).toHaveLength(1)
  expect(judged(new RetrySchedule(), [...lease, fault(200)])).toEqual([])
})

test('attempts stop at the limit, and a dead letter has a reason in the history', () => {
  expect(retried(605, { attempt: 4 })).toEqual(['f was delivered to g as attempt 4 of at most 3'])
  const leased = (...before: Line[]): string[] =>
    judged(new RetrySchedule(), [join('lease'), ...before, ...handled(90_000, 'f', { attempt: 4 })])
  expect(leased(...handled(1, 'f', {}, 'nack'))).toEqual(['f was delivered to g as attempt 4 of at most 3'])
  expect(leased()).toEqual([])
  expect(leased([1, 'fault', { kind: 'kill', target: 'broker' }], ...handled(2, 'f', {}, 'nack'))).toEqual([])
  expect(leased(...handled(95_000, 'f', { attempt: 5 }))).toHaveLength(1)
  const dead: Line = [999, 'stored', { id: 'f', deadFor: 'g' }]
  const rule = () => new RetrySchedule()
  expect(judged(rule(), [join('clustering'), ...handled(1, 'f', {}, 'nack'), dead])[0]).toContain('neither refused')
  expect(judged(rule(), [join('clustering'), ...handled(1, 'f', {}, 'reject'), dead])).toEqual([])
  expect(judged(rule(), [join('clustering'), ...handled(1, 'f', { attempt: 3 }, 'nack'), dead])).toEqual([])
})

test('phantoms, changed bodies, uncommitted halves, refused messages and replies to others are told', () => {
  const told = (...lines: Line[]): string[] => judged(new Accounting(), [join('clustering'), ...lines])
  expect(told(...sent(1, 'a'), ...handled(10, 'a'))).toEqual([])
  expect(told(...handled(10, 'a'))).toEqual(['a arrived, and nobody sent it'])
  expect(told(...sent(1, 'a'), ...handled(10, 'a', { hash: 'other' }))).toEqual(['a arrived with another body'])
  const half = [...sent(1, 'h', { kind: 'half' }), ...handled(10, 'h')]
  expect(told(...half)).toEqual(['h arrived, and its transaction was not committed'])
  // The line of the local decision may be written by whoever is asked about it later.
  expect(told(...half, [20, 'local.commit', { id: 'h' }])).toEqual([])
  const refused: Line[] = [
    [1, 'send.start', { id: 'r', hash: 'r', kind: 'plain', topic: 't' }],
    [2, 'send.fail', { id: 'r', code: 'MESSAGE_ILLEGAL' }],
  ]
  expect(told(...refused)).toEqual([])
  expect(told(...refused, ...handled(10, 'r'))).toEqual(['r was refused for good, and arrived'])
  expect(told([5, 'request.ok', { id: 'q1', answers: 'q1' }])).toEqual([])
  expect(told([5, 'request.ok', { id: 'q1', answers: 'q2' }])[0]).toContain('reply to q2')
})

test('the table counts what was sent, stored, delivered and delivered again', () => {
  const rule = new Accounting()
  const twice = [...handled(10, 'a'), ...handled(20, 'a'), ...handled(30, 'a', { attempt: 2 })]
  judged(rule, [join('clustering'), ...sent(1, 'a'), ...twice, [99, 'stored', { id: 'a', hash: 'a', topic: 't' }]])
  expect(rule.figures()).toMatchObject({
    sent: 1,
    ok: 1,
    unknown: 0,
    stored: 1,
    delivered: 3,
    duplicates: 1,
    phantom: 0,
  })
})

test('the delay of a redelivery counts from the kill of the process that had the message', () => {
  const rule = new Redelivery()
  const held = [...handled(10, 'a', { proc: 'x' }, ''), ...handled(12, 'b', { proc: 'x' })]
  const kill: Line = [20, 'fault', { kind: 'kill', target: 'x' }]
  judged(rule, [...held, kill, ...handled(320, 'a', { proc: 'y' }), ...handled(900, 'b', { proc: 'y' })])
  expect(rule.figures()).toMatchObject({ 'redelivered after a kill': 1, 'redelivery delay p99 ms': 300 })
})

test('what ended before its process was told to end must not begin again elsewhere; what a kill cut off may', () => {
  const told = (kind: string, ...lines: Line[][]): string[] =>
    judged(new NoReturn(), [join('clustering'), [100, 'fault', { kind, target: 'x' }], ...lines.flat()])
  const before = handled(10, 'a', { proc: 'x' })
  const again = handled(300, 'a', { proc: 'y' })
  expect(told('terminate', before, again)[0]).toContain('a began again in g, though x had')
  expect(told('kill', before, again)).toEqual([])
  expect(told('terminate', handled(98, 'a', { proc: 'x' }), again)).toHaveLength(1)
  expect(told('terminate', handled(10, 'a', { proc: 'x' }, 'nack'), again)).toEqual([])
  expect(told('terminate', handled(10, 'a', { proc: 'z' }), again)).toEqual([])
})
