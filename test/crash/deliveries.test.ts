import { expect, test } from 'vitest'
import { SeededRandom } from '../kit/seeded-random.ts'
import { HistoryChecker } from './history-checker.ts'
import type { GroupPolicy, HistoryEvent } from './history.ts'

type Event = Record<string, unknown> & { event: string; t: number; id?: string }

const WINDOW_MS = 60_000
const RETRY_MS = 10_000
const policies: Record<string, GroupPolicy> = {
  billing: { mode: 'clustering', ordered: false, attemptsMax: 3, retryMs: [RETRY_MS] },
  books: { mode: 'clustering', ordered: true, attemptsMax: 3, retryMs: [RETRY_MS] },
  mail: { mode: 'lease', ordered: false, attemptsMax: 3, retryMs: [RETRY_MS] },
  archive: { mode: 'lease', ordered: true, attemptsMax: 3, retryMs: [RETRY_MS] },
}

/** Sixty messages of one queue, each finished, retried or given up by every group as agreed. */
function trueHistory(seed: number): Event[] {
  const random = new SeededRandom(seed)
  const events: Event[] = []
  let t = 1e9
  let op = 0
  const note = (event: string, more: object): void => void events.push({ event, t: (t += 50e6), ...more })
  for (const [group, policy] of Object.entries(policies)) note('join', { group, topic: 'orders', policy })
  for (let offset = 0; offset < 60; offset++) {
    const id = `m${offset}`
    const dedupKey = `d${offset % 10}`
    note('send.start', { id, topic: 'orders', kind: 'plain', hash: 'h', ...(offset >= 50 && { dedupKey }) })
    note('send.ok', { id, queueId: 0, offset })
    const fate = random.pick(['ok', 'ok', 'ok', 'again', 'dead'])
    for (const group of Object.keys(policies)) {
      const place = { id, group, topic: 'orders', queueId: 0, offset }
      note('recv', { ...place, hash: 'h' })
      for (let attempt = 1; attempt <= 3; attempt++) {
        const stored = attempt === 1 || policies[group]?.ordered ? 'orders' : `%RETRY%${group}`
        const key = `k${offset % 3}`
        op++
        note('handle.start', { ...place, op, stored, attempt, key, member: 'one', storedWall: offset * 100 })
        const isLast = fate === 'ok' || (fate === 'again' && attempt === 2)
        note('handle.end', { op, id, group, outcome: isLast ? 'ok' : 'retry' })
        if (isLast) break
        t += RETRY_MS * 1e6
        if (attempt === 3) note('dead', { group, id, reason: 'three failed' })
      }
    }
  }
  note('send.start', { id: 'late', topic: 'orders', kind: 'delayed', hash: 'h', delayMs: 5_000 })
  note('send.ok', { id: 'late', queueId: 0, offset: 0 })
  note('cancel.start', { id: 'late' })
  note('cancel.ok', { id: 'late', outcome: 'cancelled' })
  note('account', { what: 'pending timers', told: 0, due: 0 })
  return events
}

function rulesOf(events: readonly Event[]): string[] {
  const checker = new HistoryChecker({ dedupWindowMs: WINDOW_MS })
  for (const event of events) checker.take({ wall: 0, proc: 'p', ...event } as unknown as HistoryEvent)
  return [...new Set(checker.report().violations.map(({ rule }) => rule))].sort()
}

const pick = (events: Event[], random: SeededRandom, isIt: (event: Event) => boolean): Event =>
  random.pick(events.filter(isIt))
const endOf = (events: Event[], start: Event): Event =>
  events.find((event) => event.event === 'handle.end' && event['op'] === start['op']) as Event
const remove = (events: Event[], event: Event): void => void events.splice(events.indexOf(event), 1)
const finished = (events: Event[], group: string) => (event: Event) =>
  event.event === 'handle.start' && event['group'] === group && endOf(events, event)['outcome'] === 'ok'
/** Another delivery, `afterMs` after this one began. */
function again(events: Event[], start: Event, afterMs: number, more: object = {}): void {
  const t = start.t + afterMs * 1e6
  events.push({ ...start, ...more, op: 10_000, t })
  events.push({
    event: 'handle.end',
    op: 10_000,
    id: start.id as string,
    group: start['group'],
    outcome: 'ok',
    t: t + 1,
  })
}

const lies: Record<string, { rules: string[]; tell(events: Event[], random: SeededRandom): void }> = {
  'a delivery that never ended and never came again': {
    rules: ['AtLeastOnce'],
    tell(events, random) {
      const start = pick(events, random, (event) => finished(events, 'billing')(event) && event['attempt'] === 1)
      remove(events, endOf(events, start))
    },
  },
  'a message given up that is no dead letter': {
    rules: ['DeadLetter'],
    tell(events, random) {
      remove(
        events,
        pick(events, random, ({ event, group }) => event === 'dead' && group === 'mail'),
      )
    },
  },
  'a finished message that came again although nothing happened': {
    rules: ['NoResurrect'],
    tell(events, random) {
      again(events, pick(events, random, finished(events, 'mail')), 5_000)
    },
  },
  'two members with one message': {
    rules: ['LeaseExclusive'],
    tell(events, random) {
      again(events, pick(events, random, finished(events, 'mail')), 1, { member: 'two' })
    },
  },
  'a queue in order whose next message began too soon': {
    rules: ['QueueOrder'],
    tell(events) {
      const start = events.find(finished(events, 'books')) as Event
      const next = events.find(
        (event) =>
          event.event === 'handle.start' &&
          event['group'] === 'books' &&
          event['offset'] === Number(start['offset']) + 1,
      ) as Event
      endOf(events, start).t = next.t + 1
    },
  },
  'a key in order whose next message began too soon': {
    rules: ['Order'],
    tell(events) {
      const start = events.find(finished(events, 'archive')) as Event
      const next = events.find(
        (event) =>
          event.event === 'handle.start' &&
          event['group'] === 'archive' &&
          event['offset'] === Number(start['offset']) + 3,
      ) as Event
      endOf(events, start).t = next.t + 1
    },
  },
  'a retry before its time': {
    rules: ['RetrySchedule'],
    tell(events, random) {
      const start = pick(
        events,
        random,
        ({ event, group, attempt }) => event === 'handle.start' && group === 'billing' && attempt === 2,
      )
      start.t -= 1e9
    },
  },
  'two messages of one dedup key within its window': {
    rules: ['DedupWindow'],
    tell(events) {
      const sent = events.find((event) => event.event === 'send.start' && event.id === 'm51') as Event
      sent['dedupKey'] = 'd0'
    },
  },
  'a repeat of a message that is not there': {
    rules: ['NoLoss'],
    tell(events) {
      events.push({ event: 'send.start', t: 9e12, id: 'r', topic: 'orders', kind: 'plain', hash: 'h', dedupKey: 'd0' })
      events.push({ event: 'send.ok', t: 9e12, id: 'r', queueId: 0, offset: 7, duplicate: true })
    },
  },
  'a cancelled message that arrived': {
    rules: ['CancelXorDeliver'],
    tell(events) {
      const place = { id: 'late', group: 'other', topic: 'orders', queueId: 0, offset: 60 }
      events.push({ event: 'recv', t: 9e12, hash: 'h', ...place })
    },
  },
  'figures of the broker that are not those of the history': {
    rules: ['Accounting'],
    tell(events) {
      const account = events.find(({ event }) => event === 'account') as Event
      account['told'] = 1
    },
  },
}

const seeds = Array.from({ length: 10 }, (_, n) => n + 1)

test('a true history of deliveries has no violation', () => {
  for (const seed of seeds) expect(rulesOf(trueHistory(seed))).toEqual([])
})

test.each(Object.keys(lies))('the checker sees %s', (name) => {
  for (const seed of seeds) {
    const events = trueHistory(seed)
    lies[name]?.tell(events, new SeededRandom(seed))
    events.sort((a, b) => a.t - b.t)
    expect(rulesOf(events), `seed ${seed}`).toEqual(lies[name]?.rules)
  }
})

test('while faults are about, a message may come again or to two; an operator may make it so', () => {
  for (const disturbance of [
    { event: 'fault', kind: 'cut' },
    { event: 'rewind.ok', group: 'mail', topic: 'orders', to: 0 },
  ]) {
    const events = trueHistory(1)
    const start = events.find(finished(events, 'mail')) as Event
    again(events, start, 5_000)
    events.push({ ...disturbance, t: start.t + 1 })
    events.sort((a, b) => a.t - b.t)
    expect(rulesOf(events)).toEqual([])
  }
})

test('two members may have a message for a minute after its topic was made anew, not later, not of another topic, and no lease', () => {
  const told = (topic: string, agoMs: number, group = 'billing'): string[] => {
    const events = trueHistory(1)
    const start = events.findLast(finished(events, group)) as Event
    again(events, start, 1, { member: 'two' })
    const t = start.t - agoMs * 1e6
    // Nothing that was sent before the deletion is judged by it here.
    const kept = events.filter((event) => !['send.start', 'send.ok', 'recv'].includes(event.event))
    kept.push({ event: 'delete.start', topic, t }, { event: 'delete.ok', topic, t: t + 1 })
    kept.sort((a, b) => a.t - b.t)
    return rulesOf(kept).filter((rule) => rule === 'LeaseExclusive')
  }
  expect(told('orders', 50_000)).toEqual([])
  expect(told('orders', 61_000)).toEqual(['LeaseExclusive'])
  expect(told('orders', 50_000, 'mail')).toEqual(['LeaseExclusive'])
  expect(told('others', 50_000)).toEqual(['LeaseExclusive'])
})

test('what an operator passed over need not come', () => {
  const events = trueHistory(1)
  const start = events.find(finished(events, 'billing')) as Event
  const isOfGroup = (event: Event): boolean => event.id === start.id && event['group'] === 'billing'
  const rest = events.filter((event) => !isOfGroup(event))
  expect(rulesOf(rest)).toEqual(['NoLoss'])
  rest.push({ event: 'rewind.start', t: 9e12, group: 'billing', topic: 'orders', to: -1 })
  expect(rulesOf(rest)).toEqual([])
})

const WALL_MS = 1_000

/** One message of `mail`, handed out when a move to `to` ended, and never finished: its lease was gone. */
function handedOutIn(move: { to: number; storedWall: number; begunAfterMs: number }): Event[] {
  const { to, storedWall, begunAfterMs } = move
  const place = { id: 'm', group: 'mail', topic: 'orders', queueId: 0, offset: 0 }
  const begin = 2e9 + begunAfterMs * 1e6
  return [
    { event: 'join', t: 0, group: 'mail', topic: 'orders', policy: policies['mail'] },
    { event: 'send.start', t: 1e9, id: 'm', topic: 'orders', kind: 'plain', hash: 'h' },
    { event: 'send.ok', t: 1.1e9, id: 'm', queueId: 0, offset: 0 },
    { event: 'rewind.start', t: 1.5e9, wall: WALL_MS - 500, group: 'mail', topic: 'orders', to },
    { event: 'rewind.ok', t: 2e9, wall: WALL_MS, group: 'mail', topic: 'orders', to },
    { event: 'recv', t: begin, hash: 'h', ...place },
    { event: 'handle.start', t: begin, ...place, op: 1, stored: 'orders', attempt: 1, member: 'one', storedWall },
    { event: 'handle.end', t: begin + 1, op: 1, id: 'm', group: 'mail', outcome: 'retry' },
  ]
}

test('what was on its way when the group was moved past it need not be finished, all else must', () => {
  const [before, after] = [WALL_MS - 1, WALL_MS + 1]
  expect(rulesOf(handedOutIn({ to: -1, storedWall: before, begunAfterMs: 140 }))).toEqual([])
  expect(rulesOf(handedOutIn({ to: -1, storedWall: after, begunAfterMs: 140 }))).toEqual(['AtLeastOnce'])
  expect(rulesOf(handedOutIn({ to: -1, storedWall: before, begunAfterMs: 31_000 }))).toEqual(['AtLeastOnce'])
  expect(rulesOf(handedOutIn({ to: 500, storedWall: 499, begunAfterMs: 140 }))).toEqual([])
  expect(rulesOf(handedOutIn({ to: 500, storedWall: 500, begunAfterMs: 140 }))).toEqual(['AtLeastOnce'])
  expect(rulesOf(handedOutIn({ to: 500, storedWall: 500, begunAfterMs: -10 }))).toEqual(['AtLeastOnce'])
  expect(rulesOf(handedOutIn({ to: 0, storedWall: before, begunAfterMs: 140 }))).toEqual(['AtLeastOnce'])
})

/** `mail` is moved back while a retry of a message waits: the message begins anew, and the retry comes all the same. */
function twoLives(deliveries: readonly [t: number, attempt: number, outcome: string, forMs?: number][]): Event[] {
  const place = { id: 'm', group: 'mail', topic: 'orders', queueId: 0, offset: 0 }
  const events: Event[] = [
    { event: 'join', t: 0, group: 'mail', topic: 'orders', policy: policies['mail'] },
    { event: 'send.start', t: 1e9, id: 'm', topic: 'orders', kind: 'plain', hash: 'h' },
    { event: 'send.ok', t: 1.1e9, id: 'm', queueId: 0, offset: 0 },
    { event: 'recv', t: 2e9, hash: 'h', ...place },
    { event: 'rewind.start', t: 20e9, group: 'mail', topic: 'orders', to: 0 },
    { event: 'rewind.ok', t: 21e9, group: 'mail', topic: 'orders', to: 0 },
  ]
  for (const [op, [s, attempt, outcome, forMs = 1]] of deliveries.entries()) {
    const stored = attempt === 1 ? 'orders' : '%RETRY%mail'
    const t = s * 1e9
    events.push({ event: 'handle.start', t, ...place, op, stored, attempt, member: 'one', storedWall: 0 })
    events.push({ event: 'handle.end', t: t + forMs * 1e6, op, id: 'm', group: 'mail', outcome })
  }
  return events.toSorted((a, b) => a.t - b.t)
}

test('a message a group was moved back to has two lives, and no third', () => {
  const first = [2, 1, 'retry'] as const
  const anew = [22, 1, 'retry'] as const
  const ends: [number, number, string][] = [
    [60, 2, 'ok'],
    [66, 2, 'ok'],
  ]
  expect(rulesOf(twoLives([[...first], [...anew], ...ends]))).toEqual([])
  expect(rulesOf(twoLives([[...first], [...anew], [60, 2, 'ok', 8_000], [66, 2, 'ok']]))).toEqual([])
  expect(rulesOf(twoLives([[...first], [...anew], ...ends, [70, 2, 'ok']]))).toEqual(['NoResurrect'])
  const third = twoLives([[...first], [...anew], [60, 2, 'ok'], [66, 2, 'ok', 8_000], [70, 2, 'ok']])
  expect(rulesOf(third)).toEqual(['LeaseExclusive'])
  expect(rulesOf(twoLives([[...first], ...ends]))).toEqual(['NoResurrect'])
})
