import { SysFlag, SystemTopic } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { DelayService } from '../delay/index.ts'
import { chance, message, ScriptLog, testClock } from '../log-test-kit.ts'
import { sourceMark } from '../settles.ts'
import { type Decision, type HalfMessage, type Outcome, TransactionService } from './index.ts'

interface Answer {
  outcome: Outcome
  conflict: boolean
}

function setUp(options: { timeoutMs?: number; checkIntervalMs?: number; log?: ScriptLog; online?: boolean } = {}) {
  const clock = options.log?.clock ?? testClock()
  const log = options.log ?? new ScriptLog(clock)
  const asks: { at: number; half: HalfMessage }[] = []
  const world = { online: options.online ?? true }
  const service = new TransactionService({
    clock,
    log,
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.checkIntervalMs === undefined ? {} : { checkIntervalMs: options.checkIntervalMs }),
    ask(half) {
      if (world.online) asks.push({ at: clock.monotonic(), half })
      return world.online
    },
  })
  log.replayInto(service)
  service.start()
  const half = (id: string, properties: Record<string, string> = {}, topic = 'orders', queueId = 2) => {
    const own = { TAGS: 'created', UNIQ_KEY: id, TRAN_MSG: 'true', PGROUP: 'shop', ...properties }
    const { fields, scan } = message(topic, id, own, queueId)
    service.appendHalf(fields, scan, 'shop', 7)
    return { physicalOffset: fields.physicalOffset, queueOffset: fields.queueOffset }
  }
  const end = (at: { physicalOffset: number; queueOffset: number }, decision: Decision, group = 'shop'): Answer[] => {
    const answers: Answer[] = []
    service.end({ group, ...at, decision, fromCheck: false }, (outcome, conflict) =>
      answers.push({ outcome, conflict }),
    )
    if (log.flushSoon) log.flush()
    return answers
  }
  return { clock, log, asks, world, service, half, end }
}

test('a half message is in no queue a consumer reads until it is committed, then in the real one, with TRAN_MSG as its consumers expect it', () => {
  const { log, half, end } = setUp()
  const at = half('m1', { KEYS: 'o-1', region: 'eu', CHECK_IMMUNITY_TIME_IN_SECONDS: '5' })
  expect(log.delivered()).toEqual([])
  const [stored] = log.messages(SystemTopic.HALF)
  expect(stored?.properties).toMatchObject({ REAL_TOPIC: 'orders', REAL_QID: '2', PGROUP: 'shop' })
  end(at, 'commit')
  const [committed] = log.messages('orders')
  expect(committed?.body.toString()).toBe('m1')
  expect(committed?.queueId).toBe(2)
  expect(committed?.sysFlag).toBe(SysFlag.TRANSACTION_COMMIT)
  expect(Number(committed?.preparedTransactionOffset)).toBe(sourceMark(at.physicalOffset))
  expect({ ...committed?.properties }).toEqual({
    TAGS: 'created',
    UNIQ_KEY: 'm1',
    TRAN_MSG: 'true',
    PGROUP: 'shop',
    KEYS: 'o-1',
    region: 'eu',
    CHECK_IMMUNITY_TIME_IN_SECONDS: '5',
  })
  expect(committed?.bornHost).toBe('127.0.0.1:9876')
})

test('a producer cannot smuggle in another destination', () => {
  const { log, half, end } = setUp()
  end(half('m1', { REAL_TOPIC: 'salaries', REAL_QID: '9' }), 'commit')
  expect(log.messages('salaries')).toEqual([])
  expect(log.messages('orders')).toHaveLength(1)
})

test('END is answered only when the settling record is stored', () => {
  const { log, half, end } = setUp()
  const committed = end(half('m1'), 'commit')
  const rolledBack = end(half('m2'), 'rollback')
  log.flush(1)
  expect([committed, rolledBack]).toEqual([[], []])
  log.flush()
  expect(committed).toEqual([{ outcome: 'committed', conflict: false }])
  expect(rolledBack).toEqual([{ outcome: 'rolledBack', conflict: false }])
})

test.each([
  ['commit', 'rollback', 'committed'],
  ['rollback', 'commit', 'rolledBack'],
] as const)('after a %s a %s is refused and counted, in flight and later', (first, opposite, outcome) => {
  const { log, half, end, service } = setUp()
  const at = half('m1')
  const won = end(at, first)
  const early = end(at, opposite)
  expect(early).toEqual([])
  log.flush()
  const late = end(at, opposite)
  expect(won).toEqual([{ outcome, conflict: false }])
  expect(early).toEqual([{ outcome, conflict: true }])
  expect(late).toEqual([{ outcome, conflict: true }])
  expect(log.delivered()).toHaveLength(first === 'commit' ? 1 : 0)
  expect(service.stats()).toMatchObject({ conflicts: 2, commitsAfterRollback: first === 'commit' ? 0 : 2 })
})

test('END repeated while the first is in flight joins it: one copy, two answers, none before it is stored', () => {
  const { log, half, end } = setUp()
  const at = half('m1')
  const answers = [end(at, 'commit'), end(at, 'commit'), end(at, 'unknown')]
  expect(answers).toEqual([[], [], []])
  log.flush()
  expect(answers.map(([answer]) => answer?.outcome)).toEqual(['committed', 'committed', 'committed'])
  expect(end(at, 'commit')).toEqual([{ outcome: 'committed', conflict: false }])
  expect(log.delivered()).toEqual(['m1'])
})

test('END by another group, with mixed offsets or for nothing at all is harmless and counted', () => {
  const { log, half, end, service } = setUp()
  const one = half('m1')
  const two = half('m2')
  const foreign = [
    end(one, 'commit', 'thieves'),
    end({ ...one, queueOffset: two.queueOffset }, 'commit'),
    end({ physicalOffset: 999_999, queueOffset: 0 }, 'commit'),
  ]
  expect(foreign.flat()).toEqual(Array.from({ length: 3 }, () => ({ outcome: 'unknown', conflict: false })))
  expect(service.stats()).toMatchObject({ foreignEnds: 2, unknownEnds: 1, pending: 2 })
  end(one, 'rollback')
  log.flush()
  expect(end(one, 'commit', 'thieves')).toEqual([{ outcome: 'unknown', conflict: false }])
  expect(end({ ...one, queueOffset: 77 }, 'rollback')).toEqual([{ outcome: 'unknown', conflict: false }])
  expect(service.stats()).toMatchObject({ foreignEnds: 4, conflicts: 0 })
  expect(log.delivered()).toEqual([])
})

test('an undecided END changes nothing', () => {
  const { log, half, end, service } = setUp()
  const at = half('m1')
  expect(end(at, 'unknown')).toEqual([{ outcome: 'pending', conflict: false }])
  expect(service.stats().pending).toBe(1)
  expect(log.entries).toHaveLength(1)
})

test('a decision the log refuses was never taken', () => {
  const { log, half, end, service } = setUp()
  const at = half('m1')
  log.refuse = new Error('no room')
  expect(() => end(at, 'commit')).toThrow('no room')
  log.refuse = undefined
  end(at, 'rollback')
  log.flush()
  expect(log.delivered()).toEqual([])
  expect(service.stats()).toMatchObject({ rolledBack: 1, conflicts: 0, pending: 0 })
})

test('when the disk breaks under the settling record nobody hears an outcome and nothing is decided again', async () => {
  const { log, half, end, service, clock, asks } = setUp()
  const at = half('m1')
  const first = end(at, 'commit')
  const joined = end(at, 'commit')
  log.breakDisk()
  log.refuse = undefined
  expect([...first, ...joined].map(({ outcome }) => outcome)).toEqual(['pending', 'pending'])
  expect(end(at, 'rollback')).toEqual([{ outcome: 'pending', conflict: false }])
  await clock.advance(3_600_000)
  expect(asks).toEqual([])
  expect(log.entries).toHaveLength(2)
  expect(service.stats().pending).toBe(1)
})

test('check-backs begin at the timeout and back off 1, 2, 5, 10, 30, 30 s, for ever', async () => {
  const { half, asks, clock, service } = setUp()
  half('m1')
  await clock.advance(5_999)
  expect(asks).toEqual([])
  await clock.advance(150_000)
  expect(asks.map(({ at }) => at)).toEqual([6_000, 7_000, 9_000, 14_000, 24_000, 54_000, 84_000, 114_000, 144_000])
  expect(asks.at(-1)?.half).toMatchObject({ asked: 9, attempts: 0, group: 'shop', connectionId: 7, topic: 'orders' })
  await clock.advance(30 * 86_400_000)
  expect(service.stats()).toMatchObject({ pending: 1 })
  expect(service.stats().oldestPendingMs).toBeGreaterThan(30 * 86_400_000)
  expect(asks.length).toBeGreaterThan(86_000)
})

test('CHECK_IMMUNITY_TIME_IN_SECONDS sets the age of the first check-back, a small interval caps the pauses', async () => {
  const { half, asks, clock } = setUp({ timeoutMs: 100, checkIntervalMs: 1_500 })
  half('late', { CHECK_IMMUNITY_TIME_IN_SECONDS: '60' })
  half('early')
  await clock.advance(4_000)
  expect(asks.map(({ at }) => at)).toEqual([100, 1_100, 2_600])
  await clock.advance(56_000)
  expect(asks.filter(({ half: { firstCheckMs } }) => firstCheckMs === 60_000).map(({ at }) => at)).toEqual([60_000])
})

test('age counts from the store time by the broker, across a restart', async () => {
  const { half, log, clock } = setUp()
  half('m1')
  await clock.advance(4_000)
  const after = setUp({ log: log.prefix(1) })
  await clock.advance(1_999)
  expect(after.asks).toEqual([])
  await clock.advance(1)
  expect(after.asks).toHaveLength(1)
  expect(after.asks[0]?.half.connectionId).toBe(-1)
})

test('a settled half message is not asked about', async () => {
  const { half, end, log, asks, clock } = setUp()
  const ends = [half('m1'), half('m2'), half('m3', { CHECK_IMMUNITY_TIME_IN_SECONDS: '1' })]
  await clock.advance(6_500)
  asks.length = 0
  for (const at of ends) end(at, 'rollback')
  await clock.advance(60_000)
  expect(asks).toEqual([])
  log.flush()
  await clock.advance(60_000)
  expect(asks).toEqual([])
})

test('asks that reach no live producer do not count, and a producer coming online is asked at once', async () => {
  const { half, asks, clock, service, world } = setUp({ online: false })
  const at = half('m1', { TANDEM_DOMAIN: 'db1' })
  await clock.advance(70_000)
  expect(service.list()[0]).toMatchObject({ asked: 0, attempts: 0, domain: 'db1' })
  expect(service.stats().checksUnanswerable).toBeGreaterThan(3)
  expect(service.stats().checksSent).toBe(0)
  world.online = true
  service.producerOnline({ group: 'others' })
  service.producerOnline({ domain: 'db2' })
  await clock.settle()
  expect(asks).toEqual([])
  service.producerOnline({ domain: 'db1' })
  await clock.settle()
  expect(asks).toHaveLength(1)
  expect(service.list()[0]).toMatchObject({ asked: 1, attempts: 0 })
  service.end({ group: 'shop', ...at, decision: 'unknown', fromCheck: true }, () => {})
  expect(service.list()[0]).toMatchObject({ asked: 1, attempts: 1 })
  expect(service.stats()).toMatchObject({ checksSent: 1, checksAnswered: 1, pending: 1 })
})

test('thousands of check-backs due at once are spread over time', async () => {
  const { half, asks, clock } = setUp()
  for (let n = 0; n < 1_000; n++) half(`m${n}`)
  await clock.advance(6_000)
  expect(asks).toHaveLength(100)
  await clock.advance(90)
  expect(asks).toHaveLength(1_000)
})

test('pendingOf tells which transactions still have an unsettled half, by transaction id or else by unique key', () => {
  const { half, end, log, service } = setUp()
  const first = half('m1', { __transactionId__: 'tx-1' })
  const second = half('m2', { __transactionId__: 'tx-1' })
  half('m3')
  const ids = ['tx-1', 'm1', 'm3', 'nothing']
  expect(service.pendingOf(ids)).toEqual(['tx-1', 'm3'])
  end(first, 'commit')
  end(second, 'commit')
  expect(service.pendingOf(ids)).toEqual(['tx-1', 'm3'])
  log.flush()
  expect(service.pendingOf(ids)).toEqual(['m3'])
})

test('an operator sees open transactions and settles one by hand', async () => {
  const { half, log, service, clock } = setUp()
  const at = half('m1', { KEYS: 'o-1', __transactionId__: 'tx-1' })
  await clock.advance(1_000)
  expect(service.list()).toEqual([
    {
      ...at,
      group: 'shop',
      topic: 'orders',
      queueId: 2,
      transactionId: 'tx-1',
      messageId: 'm1',
      keys: 'o-1',
      storedAt: 1_700_000_000_000,
      ageMs: 1_000,
      asked: 0,
      attempts: 0,
      nextCheckInMs: 5_000,
      state: 'pending',
      holdsBack: 0,
    },
  ])
  const resolved = service.resolve(at.physicalOffset, 'commit')
  log.flush()
  expect(await resolved).toBe('committed')
  expect(await service.resolve(at.physicalOffset, 'rollback')).toBe('committed')
  expect(await service.resolve(12_345, 'rollback')).toBe('unknown')
  expect(service.list()).toEqual([])
})

test('retention may not pass the oldest unsettled half message', () => {
  const { half, end, log, service } = setUp()
  expect(service.earliestPinned()).toBe(Number.POSITIVE_INFINITY)
  const first = half('m1')
  const second = half('m2')
  expect(service.earliestPinned()).toBe(first.physicalOffset)
  end(first, 'commit')
  expect(service.earliestPinned()).toBe(first.physicalOffset)
  log.flush()
  expect(service.earliestPinned()).toBe(second.physicalOffset)
})

test('outcomes are forgotten when the window is full, the message stays delivered once', () => {
  const clock = testClock()
  const log = new ScriptLog(clock)
  const service = new TransactionService({ clock, log, ask: () => false, outcomesMax: 100 })
  const at = Array.from({ length: 101 }, (_, n) => {
    const { fields, scan } = message('orders', `m${n}`, { PGROUP: 'shop', UNIQ_KEY: `m${n}` })
    service.appendHalf(fields, scan, 'shop', 1)
    return { physicalOffset: fields.physicalOffset, queueOffset: fields.queueOffset }
  })
  const outcomes: Outcome[] = []
  const commit = (half: { physicalOffset: number; queueOffset: number } | undefined) => {
    if (half === undefined) return
    const request = { group: 'shop', decision: 'commit' as const, fromCheck: false, ...half }
    service.end(request, (outcome) => outcomes.push(outcome))
    log.flush()
  }
  at.forEach(commit)
  outcomes.length = 0
  commit(at[0])
  commit(at[1])
  expect(outcomes).toEqual(['unknown', 'committed'])
  expect(log.delivered()).toHaveLength(101)
})

test('the group in PGROUP is the owner, and a message without one gets the group of the send', () => {
  const { log, end, service } = setUp()
  const { fields, scan } = message('orders', 'm1', { UNIQ_KEY: 'm1' })
  service.appendHalf(fields, scan, 'senders', 1)
  const [stored] = log.messages(SystemTopic.HALF)
  expect(stored?.properties['PGROUP']).toBe('senders')
  const after = setUp({ log: log.prefix(1) })
  expect(after.service.list()[0]?.group).toBe('senders')
  end({ physicalOffset: fields.physicalOffset, queueOffset: fields.queueOffset }, 'commit', 'senders')
  expect(log.delivered()).toEqual(['m1'])
})

test('properties that leave no room for the destination are refused before anything is stored', () => {
  const { log, service } = setUp()
  const { fields, scan } = message('orders', 'm1', { PGROUP: 'shop', fill: 'x'.repeat(32_740) })
  expect(() => service.appendHalf(fields, scan, 'shop', 1)).toThrow('MESSAGE_ILLEGAL')
  expect(log.entries).toEqual([])
})

test('a commit of a delayed message parks it, and its half is settled all the same', async () => {
  const clock = testClock()
  const log = new ScriptLog(clock)
  log.flushSoon = true
  const delay = new DelayService({ clock, log })
  log.delay = delay
  delay.start()
  const { half, end, service } = setUp({ log })
  end(half('m1', { TIMER_DELAY_MS: '500' }), 'commit')
  expect(log.delivered()).toEqual([])
  expect(service.stats()).toMatchObject({ committed: 1, pending: 0 })
  const after = setUp({ log: log.prefix(2) })
  expect(after.service.stats().pending).toBe(0)
  await clock.advance(500)
  expect(log.delivered()).toEqual(['m1'])
})

test('after a crash at any record each half is pending or settled as the log says, and ends as one delivery or none', () => {
  const { log, half, end, clock } = setUp()
  const delay = new DelayService({ clock, log })
  log.delay = delay
  const script: { id: string; decision: Decision; half: number; settled: number }[] = []
  const decisions: Decision[] = ['commit', 'rollback', 'unknown', 'commit', 'rollback', 'commit']
  const at = decisions.map((decision, n) => {
    const place = half(`m${n}`, n === 5 ? { DELAY: '1' } : {})
    script.push({ id: `m${n}`, decision, half: log.entries.length, settled: Number.POSITIVE_INFINITY })
    return place
  })
  for (const n of [4, 0, 5, 1, 3]) {
    end(at[n] as (typeof at)[0], decisions[n] as Decision)
    ;(script[n] as (typeof script)[0]).settled = log.entries.length
  }
  for (let left = 0; left <= log.entries.length; left++) {
    const after = setUp({ log: log.prefix(left) })
    const delayAfter = new DelayService({ clock, log: after.log })
    after.log.delay = delayAfter
    after.log.replayInto(delayAfter)
    after.log.flushSoon = true
    script.forEach(({ id, decision, half: halfAt, settled }, n) => {
      const place = at[n] as (typeof at)[0]
      const isPending = after.service.list().some(({ messageId }) => messageId === id)
      expect(isPending, `${id} after ${left} records`).toBe(left >= halfAt && left < settled)
      if (left < halfAt) return expect(after.end(place, 'commit')[0]?.outcome).toBe('unknown')
      if (left < settled) {
        // The opposite of what was on its way when the broker died: whoever comes first now wins.
        const first = n % 2 === 0 ? 'rollback' : 'commit'
        const outcome = first === 'commit' ? 'committed' : 'rolledBack'
        expect(after.end(place, first)).toEqual([{ outcome, conflict: false }])
        expect(after.end(place, decision)[0]?.outcome).toBe(outcome)
        return
      }
      const outcome = decision === 'commit' ? 'committed' : 'rolledBack'
      const opposite = decision === 'commit' ? 'rollback' : 'commit'
      expect(after.end(place, opposite)).toEqual([{ outcome, conflict: true }])
      expect(after.end(place, decision)).toEqual([{ outcome, conflict: false }])
    })
    const copies = [...after.log.delivered(), ...after.log.messages(SystemTopic.SCHEDULE).map(({ body }) => `${body}`)]
    expect(new Set(copies).size).toBe(copies.length)
  }
})

test('no interleaving of ENDs, flushes, restarts and refusals delivers twice or changes an answered outcome', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const pick = chance(seed)
    let world = setUp()
    const ids: string[] = []
    const places = new Map<string, { physicalOffset: number; queueOffset: number }>()
    const promised = new Map<string, Outcome>()
    for (let step = 0; step < 60; step++) {
      const id = ids[pick(ids.length)]
      const place = id === undefined ? undefined : places.get(id)
      switch (pick(9)) {
        case 8:
          world.log.takeCheckpoint(world.service)
          break
        case 0:
        case 1: {
          const fresh = `m${seed}-${step}`
          ids.push(fresh)
          places.set(fresh, world.half(fresh))
          break
        }
        case 2:
          world.log.flush(1 + pick(3))
          break
        case 3: {
          // Whatever was not flushed may or may not be on the disk.
          const durable = world.log.entries.filter(({ offset }) => offset < world.log.durableOffset).length
          const left = durable + pick(world.log.entries.length - durable + 1)
          world = setUp({ log: world.log.prefix(left) })
          for (const [known, { physicalOffset }] of places) {
            if (world.log.read(physicalOffset) === undefined) places.delete(known)
          }
          break
        }
        default: {
          if (id === undefined || place === undefined) break
          const decision = pick(2) === 0 ? 'commit' : 'rollback'
          const request = { group: 'shop', ...place, decision, fromCheck: pick(2) === 0 } as const
          if (pick(10) === 0) world.log.refuse = new Error('no room')
          try {
            world.service.end(request, (outcome, conflict) => {
              if (outcome === 'pending') return
              expect(promised.get(id) ?? outcome).toBe(outcome)
              expect(conflict).toBe(outcome !== (decision === 'commit' ? 'committed' : 'rolledBack'))
              promised.set(id, outcome)
            })
          } catch {
            // Refused: nothing was decided.
          }
          world.log.refuse = undefined
        }
      }
    }
    world.log.flush()
    const delivered = world.log.delivered()
    expect(new Set(delivered).size, `seed ${seed}`).toBe(delivered.length)
    for (const [id, outcome] of promised) expect(delivered.includes(id), `seed ${seed}`).toBe(outcome === 'committed')
  }
})

test('a half at the very start of the log is settled like any other', () => {
  const { log, half, end } = setUp()
  const at = half('m1')
  expect(at.physicalOffset).toBe(0)
  end(at, 'rollback')
  expect(setUp({ log: log.prefix(2) }).service.stats().pending).toBe(0)
  expect(log.messages(SystemTopic.OP_HALF)[0]).toMatchObject({ queueId: 0, body: Buffer.from('0') })
  expect({ ...log.messages(SystemTopic.OP_HALF)[0]?.properties }).toEqual({ TAGS: 'd' })
})
