import { SystemTopic } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { chance } from '../log-test-kit.ts'
import { StoreError } from '../store/index.ts'
import { delayOnScriptLog as setUp } from './delay-test-kit.ts'

const START = 1_700_000_000_000

test('a rescheduled message is delivered once, at its new time, whether that is later or earlier', async () => {
  const { log, clock, send, reschedule, service } = setUp()
  send('later', { TIMER_DELAY_MS: '1000', region: 'eu' })
  send('earlier', { DELAY: '5' })
  await clock.settle()
  const later = reschedule('later', { delayMs: 5_000 })
  const earlier = reschedule('earlier', { deliverAt: START + 10 })
  await clock.settle()
  expect(later).toMatchObject([{ outcome: 'rescheduled', place: { deliverAt: START + 5_000, uniqueKey: 'later' } }])
  expect(earlier).toMatchObject([{ outcome: 'rescheduled' }])
  const parked = log.messages(SystemTopic.TIMER)
  expect(later[0]?.place?.physicalOffset).toBe(Number(parked[1]?.physicalOffset))
  expect(later[0]?.place?.offsetMessageId).toBe(parked[1]?.offsetMessageId)
  await clock.advance(9)
  expect(log.delivered()).toEqual([])
  await clock.advance(1)
  expect(log.delivered()).toEqual(['earlier'])
  await clock.advance(4_989)
  expect(log.delivered()).toEqual(['earlier'])
  await clock.advance(60_000)
  expect(log.delivered()).toEqual(['earlier', 'later'])
  const fired = log.messages('orders').map(({ properties, queueId }) => ({ ...properties, queueId }))
  expect(fired[1]).toEqual({ UNIQ_KEY: 'later', TAGS: 't', region: 'eu', queueId: 1 })
  // The level it once had is no longer true.
  expect(fired[0]).toEqual({ UNIQ_KEY: 'earlier', TAGS: 't', queueId: 1 })
  expect(service.stats()).toMatchObject({ pending: 0, fired: 2, cancelled: 0, rescheduled: 2 })
})

test('what cannot be moved says why, and nothing is written for it', async () => {
  const { log, clock, send, cancel, reschedule } = setUp({ horizonMs: 60_000 })
  send('gone', { TIMER_DELAY_MS: '10' })
  send('taken', { TIMER_DELAY_MS: '1000' })
  send('waits', { TIMER_DELAY_MS: '1000' })
  await clock.settle()
  cancel('taken')
  await clock.advance(10)
  const before = log.entries.length
  expect(reschedule('gone', { delayMs: 5 })).toEqual([{ outcome: 'fired' }])
  expect(reschedule('taken', { delayMs: 5 })).toEqual([{ outcome: 'cancelled' }])
  expect(reschedule('never', { delayMs: 5 })).toEqual([{ outcome: 'unknown' }])
  expect(reschedule('waits', { delayMs: 5 }, 'payments')).toEqual([{ outcome: 'unknown' }])
  expect(() => reschedule('waits', { delayMs: 60_001 })).toThrow('MESSAGE_ILLEGAL')
  expect(() => reschedule('waits', { deliverAt: clock.now() + 60_001 })).toThrow('MESSAGE_ILLEGAL')
  expect(() => reschedule('waits', { delayMs: -1 })).toThrow('INVALID_PARAMETER')
  expect(() => reschedule('waits', { delayMs: 1.5 })).toThrow('INVALID_PARAMETER')
  expect(() => reschedule('waits', {})).toThrow('INVALID_PARAMETER')
  expect(() => reschedule('waits', { delayMs: 1 }, '%RETRY%billing')).toThrow('INVALID_PARAMETER')
  expect(log.entries).toHaveLength(before)
  expect(reschedule('waits', { delayMs: 60_000 })).toEqual([])
  await clock.settle()
  expect(log.entries).toHaveLength(before + 1)
})

test('an instant in the past means at once', async () => {
  const { log, clock, send, reschedule } = setUp()
  send('m1', { TIMER_DELAY_MS: '60000' })
  await clock.advance(1_000)
  reschedule('m1', { deliverAt: 1 })
  await clock.settle()
  expect(log.delivered()).toEqual(['m1'])
  expect(log.messages('orders')[0]?.storeTimestamp).toBe(START + 1_000)
})

test('cancels and moves of one message, made while the first waits for the disk, take effect one after another', async () => {
  const { log, clock, send, cancel, reschedule } = setUp()
  send('m1', { TIMER_DELAY_MS: '1000' })
  send('m2', { TIMER_DELAY_MS: '1000' })
  await clock.settle()
  log.flushSoon = false
  const moved = [reschedule('m1', { delayMs: 2_000 }), reschedule('m1', { delayMs: 3_000 })]
  const taken = cancel('m1')
  const cancelled = cancel('m2')
  const tooLate = reschedule('m2', { delayMs: 2_000 })
  for (let n = 0; n < 4; n++) log.flush()
  expect(moved.flat().map(({ outcome }) => outcome)).toEqual(['rescheduled', 'rescheduled'])
  expect([...taken, ...cancelled]).toEqual(['cancelled', 'cancelled'])
  expect(tooLate).toEqual([{ outcome: 'cancelled' }])
  log.flushSoon = true
  await clock.advance(60_000)
  expect(log.delivered()).toEqual([])
})

test('a move that waits for the disk holds the delivery back; if the disk breaks, what the log kept decides', async () => {
  const { log, clock, send, reschedule, cancel } = setUp()
  send('m1', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  log.flushSoon = false
  const answers = reschedule('m1', { delayMs: 5_000 })
  const joined = cancel('m1')
  await clock.advance(60_000)
  expect(log.delivered()).toEqual([])
  log.breakDisk()
  expect([answers, joined]).toEqual([[{ outcome: 'open' }], ['open']])
  const without = setUp({ log: log.prefix(1) })
  const withIt = setUp({ log: log.prefix(2) })
  await clock.settle()
  expect([without.log.delivered(), withIt.log.delivered()]).toEqual([['m1'], ['m1']])
  expect(without.service.stats().pending + withIt.service.stats().pending).toBe(0)
})

test('a move the log refuses decides nothing', async () => {
  const { log, clock, send, reschedule } = setUp()
  send('m1', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  log.refuse = new StoreError('DISK_FULL', 'no room')
  expect(() => reschedule('m1', { delayMs: 5_000 })).toThrow('no room')
  log.refuse = undefined
  await clock.advance(10)
  expect(log.delivered()).toEqual(['m1'])
})

test('after a crash at any record exactly one of the old and the new timer lives', async () => {
  const { log, clock, send, reschedule } = setUp()
  for (const id of ['m0', 'm1', 'm2']) send(id, { TIMER_DELAY_MS: '1000' })
  await clock.settle()
  reschedule('m0', { delayMs: 500 })
  await clock.settle()
  reschedule('m1', { delayMs: 5_000 })
  await clock.settle()
  reschedule('m0', { delayMs: 7_000 })
  await clock.settle()
  const due = [
    { m0: 1_000, m1: 1_000, m2: 1_000 },
    { m0: 500, m1: 1_000, m2: 1_000 },
    { m0: 500, m1: 5_000, m2: 1_000 },
    { m0: 7_000, m1: 5_000, m2: 1_000 },
  ]
  for (const [moves, times] of due.entries()) {
    for (const isCheckpointed of [false, true]) {
      const { clock: later, ...after } = setUp({ log: log.prefix(3 + moves) })
      if (isCheckpointed) after.log.takeCheckpoint(after.service)
      after.service.close()
      const again = setUp({ log: after.log })
      expect(again.service.stats().pending).toBe(3)
      const { timers } = await again.service.list({})
      const waiting = timers.map(({ messageId, deliverAt }) => [messageId, deliverAt - START])
      expect(Object.fromEntries(waiting), `after ${moves} moves`).toEqual(times)
      expect(again.service.earliestPinned()).toBe(Math.min(...timers.map(({ physicalOffset }) => physicalOffset)))
      again.service.close()
      expect(later.now()).toBe(START)
    }
  }
})

test('a key takes back all that wait under it, and only those', async () => {
  const { log, clock, send, service } = setUp()
  send('m1', { TIMER_DELAY_MS: '1000', KEYS: 'order-1 vip' })
  send('m2', { DELAY: '2', KEYS: 'order-1' })
  send('m3', { TIMER_DELAY_MS: '1000', KEYS: 'order-12' })
  send('m4', { TIMER_DELAY_MS: '1000', KEYS: 'order-1' }, 'payments')
  send('m5', { TIMER_DELAY_MS: '5', KEYS: 'order-1' })
  await clock.advance(5)
  expect(log.delivered()).toEqual(['m5'])
  const cancelled = await clock.run(service.cancelByKey('orders', 'order-1'))
  expect(cancelled).toEqual({ outcome: 'cancelled', cancelled: 2, fired: 1 })
  expect(await clock.run(service.cancelByKey('orders', 'order-9'))).toMatchObject({ outcome: 'unknown', cancelled: 0 })
  await clock.advance(60_000)
  expect(log.delivered().toSorted()).toEqual(['m3', 'm4', 'm5'])
  // The id of a message is a key too.
  expect(await clock.run(service.cancelByKey('payments', 'm4'))).toEqual({ outcome: 'fired', cancelled: 0, fired: 1 })
})

test('when none waits under a key, the newest message tells: fired after an earlier one was cancelled', async () => {
  const { clock, send, cancel, service } = setUp()
  send('m1', { TIMER_DELAY_MS: '1000', KEYS: 'k' })
  await clock.settle()
  cancel('m1')
  send('m2', { TIMER_DELAY_MS: '10', KEYS: 'k' })
  await clock.advance(10)
  expect(await clock.run(service.cancelByKey('orders', 'k'))).toEqual({ outcome: 'fired', cancelled: 0, fired: 1 })
  send('m3', { TIMER_DELAY_MS: '1000', KEYS: 'k' })
  await clock.settle()
  cancel('m3')
  await clock.settle()
  expect(await clock.run(service.cancelByKey('orders', 'k'))).toMatchObject({ outcome: 'cancelled', cancelled: 0 })
})

test('a key moves all that wait under it, and a moved one is found again', async () => {
  const { log, clock, send, service } = setUp()
  for (let n = 0; n < 250; n++) send(`m${n}`, { TIMER_DELAY_MS: '1000', KEYS: 'order-1' })
  await clock.settle()
  const moved = await clock.run(service.rescheduleByKey('orders', 'order-1', { delayMs: 9_000 }))
  expect([moved.outcome, moved.rescheduled.length]).toEqual(['rescheduled', 250])
  await clock.advance(8_999)
  expect(log.delivered()).toEqual([])
  const again = await clock.run(service.rescheduleByKey('orders', 'm7', { delayMs: 90_000 }))
  expect(again.rescheduled.map(({ uniqueKey }) => uniqueKey)).toEqual(['m7'])
  await clock.advance(1)
  expect(log.delivered()).toHaveLength(249)
  expect(await clock.run(service.rescheduleByKey('orders', 'm8', { delayMs: 1 }))).toMatchObject({ outcome: 'fired' })
})

test('a key that a hundred thousand messages share is refused instead of read through', async () => {
  const { clock, service } = setUp({ findByKey: () => Array.from({ length: 100_001 }, (_, n) => n) })
  await expect(service.cancelByKey('orders', 'k')).rejects.toMatchObject({ code: 'INVALID_PARAMETER' })
  expect(clock.now()).toBe(START)
})

test('F57: a cancel or a move that races the delivery is answered with what happens, never with both', async () => {
  for (let seed = 1; seed <= 80; seed++) {
    const pick = chance(seed)
    const world = setUp()
    const { log, clock } = world
    log.flushSoon = false
    const said = new Map<string, string>()
    const movedTo = new Map<string, number>()
    for (let n = 0; n < 12; n++) world.send(`m${n}`, { TIMER_DELAY_MS: `${20 + pick(6)}` })
    log.flush()
    await clock.advance(18)
    for (let step = 0; step < 40; step++) {
      const id = `m${pick(12)}`
      const what = pick(4)
      if (what === 0) await clock.advance(pick(3))
      else if (what === 1) log.flush(1 + pick(5))
      else if (what === 2) world.service.cancel('orders', id, (outcome) => void said.set(id, outcome))
      else {
        const deliverAt = clock.now() + 30
        world.service.reschedule('orders', id, { deliverAt }, (outcome) => {
          if (outcome === 'rescheduled') movedTo.set(id, deliverAt)
          else said.set(id, outcome)
        })
      }
    }
    log.flushSoon = true
    log.flush()
    await clock.advance(1_000)
    const delivered = log.messages('orders')
    const ids = delivered.map(({ body }) => body.toString())
    expect(new Set(ids).size, `seed ${seed}`).toBe(ids.length)
    for (const [id, outcome] of said) {
      if (outcome !== 'cancelled' && outcome !== 'fired') throw new Error(`seed ${seed}: ${id} is ${outcome}`)
      expect(ids.includes(id), `seed ${seed} ${id} ${outcome}`).toBe(outcome === 'fired')
    }
    for (const { body, storeTimestamp } of delivered) {
      const due = movedTo.get(body.toString()) ?? 0
      expect(storeTimestamp, `seed ${seed} ${body.toString()}`).toBeGreaterThanOrEqual(due)
    }
    expect(ids.length + [...said.values()].filter((outcome) => outcome === 'cancelled').length).toBe(12)
    world.service.close()
  }
})

test('what waited for a topic that was deleted is not delivered to a new one of that name, and that is said', async () => {
  const orphans: unknown[] = []
  const deleted = new Map<string, number>()
  const { log, clock, send, service, reschedule, cancel } = setUp({
    deletedBefore: (topic) => deleted.get(topic) ?? 0,
    onOrphan: (topic, at) => orphans.push([topic, at]),
  })
  send('old', { TIMER_DELAY_MS: '1000' })
  send('other', { TIMER_DELAY_MS: '1000' }, 'payments')
  await clock.settle()
  deleted.set('orders', log.entries.at(-1)!.offset)
  send('new', { TIMER_DELAY_MS: '1000' })
  await clock.settle()
  expect((await service.list({ topic: 'orders' })).timers.map(({ isOrphan }) => isOrphan)).toEqual([true, false])
  expect(reschedule('old', { delayMs: 1 })).toEqual([{ outcome: 'cancelled' }])
  await clock.advance(1_000)
  expect(log.delivered().toSorted()).toEqual(['new', 'other'])
  expect(orphans).toEqual([['orders', log.entries[0]?.offset]])
  expect(service.stats()).toMatchObject({ pending: 0, fired: 2, orphaned: 1 })
  expect(cancel('old')).toEqual(['cancelled'])
  // Durable: a broker that has forgotten the deletion does not deliver it either.
  const after = setUp({ log: log.prefix(log.entries.length) })
  await clock.advance(1_000)
  expect(after.log.delivered().toSorted()).toEqual(['new', 'other'])
})

test('in a turn of the log that began before the due time nothing is delivered: it would be stored too early', async () => {
  const seen: string[] = []
  let asked = 0
  const turnTimestamp = (): number => {
    if (clock.now() < START + 1_000 || asked === 3) return Number.POSITIVE_INFINITY
    asked++
    seen.push(...log.delivered())
    return START + 999
  }
  const { log, clock, send } = setUp({ turnTimestamp })
  send('m1', { TIMER_DELAY_MS: '1000' })
  await clock.advance(1_000)
  expect([asked, seen]).toEqual([3, []])
  expect(log.delivered()).toEqual(['m1'])
})

test('pages list what waits by due time, once each, whatever the page size', async () => {
  const { clock, send, service, cancel } = setUp()
  const pick = chance(3)
  for (let n = 0; n < 300; n++) {
    send(`m${n}`, { TIMER_DELAY_MS: `${1 + pick(50) * 100}`, KEYS: `k${n}` }, n % 3 === 0 ? 'payments' : 'orders')
  }
  await clock.settle()
  cancel('m1')
  await clock.settle()
  const pagesOf = async (query: object): Promise<{ ids: string[]; times: number[] }> => {
    const ids: string[] = []
    const times: number[] = []
    let after: string | undefined
    do {
      const page = await service.list({ ...query, after })
      ids.push(...page.timers.map(({ messageId }) => messageId))
      times.push(...page.timers.map(({ deliverAt }) => deliverAt))
      after = page.next
    } while (after !== undefined)
    return { ids, times }
  }
  for (const limit of [1, 7, 299, 1_000]) {
    const { ids, times } = await pagesOf({ limit })
    expect([ids.length, new Set(ids).size, ids.includes('m1')]).toEqual([299, 299, false])
    expect(times).toEqual(times.toSorted((a, b) => a - b))
  }
  expect((await pagesOf({ limit: 7, topic: 'payments' })).ids).toHaveLength(100)
  const range = { from: START + 1_001, to: START + 2_001 }
  const { times } = await pagesOf({ limit: 7, ...range })
  expect(times.length).toBeGreaterThan(20)
  expect(times.filter((at) => at < range.from || at > range.to)).toEqual([])
  expect((await service.list({ topic: 'orders', key: 'k2' })).timers).toMatchObject([{ messageId: 'm2', keys: 'k2' }])
  expect((await service.list({ topic: 'orders', key: 'k1' })).timers).toEqual([])
  await expect(service.list({ key: 'k2' })).rejects.toMatchObject({ code: 'INVALID_PARAMETER' })
  await expect(service.list({ after: 'x' })).rejects.toMatchObject({ code: 'INVALID_PARAMETER' })
})
