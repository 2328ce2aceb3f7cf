import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { SeededRandom } from '../kit/seeded-random.ts'
import { HistoryChecker, type HistoryReport } from './history-checker.ts'
import type { HistoryEvent } from './history.ts'

type Event = Record<string, unknown> & { event: string; t: number; id?: string }

/** A true history of 200 messages in three queues, read by two groups. */
function trueHistory(seed: number): Event[] {
  const random = new SeededRandom(seed)
  const events: Event[] = ['a', 'b'].map((group) => ({ event: 'join', t: 1, group, topic: 'orders' }))
  const ends = [0, 0, 0]
  let t = 1_000
  const at = (): number => (t += random.between(1, 50) * 1e6)
  for (let n = 0; n < 200; n++) {
    const [id, hash] = [`m${n}`, `h${n}`]
    const kind = random.pick(['plain', 'plain', 'plain', 'dedup', 'delayed', 'half'])
    const delayMs = kind === 'delayed' ? 30 : 0
    events.push({ event: 'send.start', t: at(), id, topic: 'orders', kind, hash, delayMs })
    const fate = random.next()
    if (fate < 0.05) {
      events.push({ event: 'send.fail', t: at(), id, code: 'NO_PERMISSION' })
      continue
    }
    const queueId = random.between(0, 2)
    const decision = kind === 'half' && random.next() < 0.5 ? 'rollback' : 'commit'
    const isStored = decision === 'commit' && (fate >= 0.15 || random.next() < 0.5)
    const offset = isStored ? (ends[queueId] = (ends[queueId] ?? 0) + 1) - 1 : 0
    const place = kind === 'delayed' || kind === 'half' ? { queueId: 0, offset: n } : { queueId, offset }
    if (fate < 0.15) events.push({ event: 'send.unknown', t: at(), id, code: 'REQUEST_TIMEOUT' })
    else events.push({ event: 'send.ok', t: at(), id, ...place })
    if (kind === 'half') events.push({ event: `local.${decision}`, t: at(), id })
    if (!isStored) continue
    t += delayMs * 1e6
    for (const group of ['a', 'b'])
      events.push({ event: 'recv', t: at(), id, hash, group, topic: 'orders', queueId, offset })
  }
  ends.forEach((maxOffset, queueId) =>
    events.push({ event: 'read.all', t: at(), group: 'a', topic: 'orders', queueId, minOffset: 0, maxOffset }),
  )
  return events
}

function reportOf(events: readonly Event[]): HistoryReport {
  const checker = new HistoryChecker()
  for (const event of events) checker.take({ wall: 0, proc: 'p', ...event } as unknown as HistoryEvent)
  return checker.report()
}

const rulesOf = (events: readonly Event[]): string[] => [
  ...new Set(reportOf(events).violations.map(({ rule }) => rule)),
]

/** Each makes a true history false in one place chosen by chance, and names the rules that must notice. */
const lies: Record<string, { rules: string[]; tell(events: Event[], random: SeededRandom): void }> = {
  'an acknowledged message one group never got': {
    rules: ['NoLoss'],
    tell(events, random) {
      const { id } = random.pick(acknowledged(events))
      events.splice(
        events.findIndex((event) => event.event === 'recv' && event.id === id && event['group'] === 'b'),
        1,
      )
    },
  },
  'an acknowledged message that is nowhere any more': {
    rules: ['NoLoss', 'OffsetsDense'],
    tell(events, random) {
      const { id } = random.pick(acknowledged(events))
      remove(events, (event) => event.event === 'recv' && event.id === id)
    },
  },
  'a message nobody sent': {
    rules: ['NoPhantom'],
    tell(events, random) {
      const { id } = random.pick(acknowledged(events))
      remove(events, (event) => event.event.startsWith('send.') && event.id === id)
    },
  },
  'a message that was refused': {
    rules: ['NoPhantom'],
    tell(events, random) {
      random.pick(acknowledged(events)).event = 'send.fail'
    },
  },
  'a body that is not what was sent': {
    rules: ['NoPhantom'],
    tell(events, random) {
      const { id } = random.pick(acknowledged(events))
      for (const event of events) if (event.event === 'recv' && event.id === id) event['hash'] = 'other'
    },
  },
  'a body that two readers see differently': {
    rules: ['Stable', 'NoPhantom'],
    tell(events, random) {
      const last = random.pick(events.filter((event) => event.event === 'recv' && event['group'] === 'b'))
      last['hash'] = 'other'
    },
  },
  'a message stored twice': {
    rules: ['DedupStored'],
    tell(events, random) {
      const first = random.pick(events.filter((event) => event.event === 'recv'))
      events.push({ ...first, queueId: 7, offset: 0 })
    },
  },
  'an offset given to another message after a crash': {
    rules: ['Stable', 'DedupStored'],
    tell(events, random) {
      const reads = events.filter((event) => event.event === 'recv' && event['group'] === 'b' && event['queueId'] === 1)
      const [one, other] = [random.pick(reads.slice(0, 5)), random.pick(reads.slice(5))]
      ;[one['offset'], other['offset']] = [other['offset'], one['offset']]
    },
  },
  'an acknowledgement that named another place': {
    rules: ['DedupStored'],
    tell(events, random) {
      random.pick(acknowledged(events, ['plain', 'dedup']))['queueId'] = 9
    },
  },
  'a hole in a queue': {
    rules: ['OffsetsDense'],
    tell(events) {
      const end = events.find((event) => event.event === 'read.all') as Event
      end['maxOffset'] = Number(end['maxOffset']) + 1
    },
  },
  'an order turned round': {
    rules: ['OffsetsOrdered'],
    tell(events) {
      const [first] = acknowledged(events, ['plain']) as [Event]
      const start = events.find((event) => event.event === 'send.start' && event.id === first.id) as Event
      const later = events.findLast((event) => event.event === 'send.ok' && event['queueId'] === first['queueId'])
      start.t = first.t = (later as Event).t + 1
      remove(events, (event) => event.event === 'read.all')
    },
  },
  'a message of a rolled-back transaction': {
    rules: ['TxnAtomic'],
    tell(events, random) {
      const commits = events.filter((event) => event.event === 'local.commit' && isReceived(events, event.id))
      random.pick(commits).event = 'local.rollback'
    },
  },
  'a message of a transaction nobody decided': {
    rules: ['TxnAtomic'],
    tell(events) {
      remove(events, (event) => event.event === 'local.commit')
    },
  },
  'a committed transaction whose message never came': {
    rules: ['NoLoss'],
    tell(events, random) {
      const ids = new Set(acknowledged(events, ['half']).map(({ id }) => id))
      const rolledBack = events.filter((event) => event.event === 'local.rollback' && sentOk(events, event.id))
      expect(ids.size).toBeGreaterThan(0)
      random.pick(rolledBack).event = 'local.commit'
    },
  },
  'a delayed message that came early': {
    rules: ['DelayNeverEarly'],
    tell(events, random) {
      const starts = events.filter((event) => event['kind'] === 'delayed' && isReceived(events, event.id))
      random.pick(starts).t += 1e9
    },
  },
}

const isReceived = (events: Event[], id: unknown): boolean =>
  events.some((event) => event.event === 'recv' && event.id === id)
const sentOk = (events: Event[], id: unknown): boolean =>
  events.some((event) => event.event === 'send.ok' && event.id === id)

/** Their send.ok events; only such messages as were received. */
function acknowledged(events: Event[], kinds: readonly string[] = ['plain', 'dedup', 'delayed']): Event[] {
  const of = new Map(events.filter(({ event }) => event === 'send.start').map((event) => [event.id, event['kind']]))
  return events.filter(
    (event) => event.event === 'send.ok' && kinds.includes(String(of.get(event.id))) && isReceived(events, event.id),
  )
}

function remove(events: Event[], isGone: (event: Event) => boolean): void {
  events.splice(0, events.length, ...events.filter((event) => !isGone(event)))
}

const seeds = Array.from({ length: 20 }, (_, n) => n + 1)

test('a true history has no violation, in whatever order the logs are read', () => {
  for (const seed of seeds) {
    const events = trueHistory(seed)
    expect(reportOf(events)).toMatchObject({ sent: 200, violations: [] })
    const received = events.filter((event) => event.event === 'recv')
    const others = events.filter((event) => event.event !== 'recv')
    expect(rulesOf([...received, ...others])).toEqual([])
    expect(rulesOf([...others, ...received])).toEqual([])
  }
})

test.each(Object.keys(lies))('the checker sees %s', (name) => {
  const lie = lies[name]
  for (const seed of seeds) {
    const events = trueHistory(seed)
    lie?.tell(events, new SeededRandom(seed))
    expect(rulesOf(events).sort(), `seed ${seed}`).toEqual(lie?.rules.toSorted())
  }
})

test('deliveries again are counted and no violation', () => {
  const events = trueHistory(3)
  const again = events.filter((event) => event.event === 'recv' && event['group'] === 'b').slice(0, 9)
  const report = reportOf([...events, ...again])
  expect([report.groups['b']?.again, report.violations]).toEqual([9, []])
})

test('only a send that was asked again may be at another place of a topic made anew', () => {
  const sent = { event: 'send.start', t: 1e9, id: 'm', topic: 'orders', kind: 'plain', hash: 'h' }
  const anew = [
    { event: 'delete.start', t: 6e9, topic: 'orders' },
    { event: 'delete.ok', t: 7e9, topic: 'orders' },
    { event: 'recv', t: 9e9, id: 'm', hash: 'h', group: 'a', topic: 'orders', queueId: 0, offset: 1 },
  ]
  const stored = (t: number) => ({ event: 'send.ok', t, id: 'm', queueId: 0, offset: 0 })
  expect(rulesOf([sent, stored(4.9e9), ...anew])).toEqual([])
  expect(rulesOf([sent, stored(1.9e9), ...anew]).toSorted()).toEqual(['DedupStored', 'Deleted'])
  const inPlace = anew.map((event) => (event.event === 'recv' ? { ...event, offset: 0 } : event))
  expect(rulesOf([sent, stored(4.9e9), ...inPlace])).toEqual(['Deleted'])
})

test('a message that was stored when its topic was deleted does not come back, one without an answer may', () => {
  const sent = { event: 'send.start', t: 1e9, id: 'm', topic: 'orders', kind: 'plain', hash: 'h' }
  const place = { queueId: 0, offset: 0 }
  const rest = [
    { event: 'delete.start', t: 3e9, topic: 'orders' },
    { event: 'delete.ok', t: 4e9, topic: 'orders' },
    { event: 'recv', t: 9e9, id: 'm', hash: 'h', group: 'a', topic: 'orders', ...place },
  ]
  expect(rulesOf([sent, { event: 'send.ok', t: 2e9, id: 'm', ...place }, ...rest])).toEqual(['Deleted'])
  expect(rulesOf([sent, { event: 'send.ok', t: 3.5e9, id: 'm', ...place }, ...rest])).toEqual([])
  expect(rulesOf([sent, { event: 'send.unknown', t: 5e9, id: 'm', code: 'CONNECTION_CLOSED' }, ...rest])).toEqual([])
})

test('checker and logs know nothing of the product', () => {
  for (const file of [
    'history-checker.ts',
    'history.ts',
    'group-progress.ts',
    'removals.ts',
    'settings-kept.ts',
    'deliveries.ts',
    'moves.ts',
    'queue-offsets.ts',
    'calm-times.ts',
    'cancellations.ts',
    'dedup-windows.ts',
    'extra-rules.ts',
    'operations.ts',
    'wall-jumps.ts',
    'due-times.ts',
    'redrives.ts',
    'tag-filters.ts',
    'questions.ts',
    'priorities.ts',
    'unheard.ts',
    '../kit/history-writer.mjs',
  ]) {
    const source = readFileSync(new URL(file, import.meta.url), 'utf8')
    for (const [, from] of source.matchAll(/from '([^']+)'/g)) expect(from).toMatch(/^node:|^\.\/[a-z-]+\.ts$/)
  }
})
