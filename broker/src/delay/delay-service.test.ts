import { SystemTopic } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { chance } from '../log-test-kit.ts'
import { StoreError } from '../store/index.ts'
import { delayOnScriptLog as setUp } from './delay-test-kit.ts'
import type { CancelOutcome } from './index.ts'

test('a delayed message is parked and delivered at its time to its own queue, without a trace of the delay', async () => {
  const { log, clock, service, send } = setUp()
  const completion = send('m1', { TIMER_DELAY_MS: '1500', region: 'eu' })
  await clock.settle()
  expect(completion.state).toBe('stored')
  const [parked] = log.messages(SystemTopic.TIMER)
  expect(parked?.properties).toMatchObject({ REAL_TOPIC: 'orders', REAL_QID: '1', TIMER_OUT_MS: '1700000001500' })
  await clock.advance(1_499)
  expect(log.delivered()).toEqual([])
  await clock.advance(1)
  const [fired] = log.messages('orders')
  expect(fired?.body.toString()).toBe('m1')
  expect(fired?.queueId).toBe(1)
  expect({ ...fired?.properties }).toEqual({ UNIQ_KEY: 'm1', TAGS: 't', region: 'eu' })
  await clock.advance(3_600_000)
  expect(log.delivered()).toEqual(['m1'])
  expect(service.stats()).toMatchObject({ pending: 0, fired: 1, cancelled: 0, latestLateMs: 0, retried: 0, lost: 0 })
})

test('a level goes through the schedule topic, queue level - 1', async () => {
  const { log, clock, send } = setUp()
  send('m1', { DELAY: '3' })
  send('m2', { DELAY: '99' })
  expect(log.messages(SystemTopic.SCHEDULE).map(({ queueId }) => queueId)).toEqual([2, 17])
  await clock.advance(9_999)
  expect(log.delivered()).toEqual([])
  await clock.advance(1)
  expect(log.delivered()).toEqual(['m1'])
  expect({ ...log.messages('orders')[0]?.properties }).toEqual({ UNIQ_KEY: 'm1', TAGS: 't', DELAY: '3' })
})

test('messages come out in order of their times, to the millisecond', async () => {
  const { log, clock, send } = setUp()
  const pick = chance(7)
  const due = new Map<string, number>()
  for (let n = 0; n < 3_000; n++) {
    const delayMs = 1 + pick(50_000)
    due.set(`m${n}`, delayMs)
    send(`m${n}`, { TIMER_DELAY_MS: `${delayMs}` })
  }
  await clock.advance(60_000)
  const times = log.messages('orders').map(({ body, storeTimestamp }) => {
    expect(storeTimestamp - 1_700_000_000_000).toBe(due.get(body.toString()))
    return storeTimestamp
  })
  expect(times).toHaveLength(3_000)
  expect(times).toEqual(times.toSorted((a, b) => a - b))
})

test('nothing is delivered early when the wall clock is set back, and soon when it is set forward', async () => {
  const { log, clock, send } = setUp()
  send('m1', { TIMER_DELAY_MS: '10000' })
  await clock.advance(9_000)
  clock.jumpWall(-3_600_000)
  await clock.advance(3_600_000)
  expect(log.delivered()).toEqual([])
  await clock.advance(1_000)
  expect(log.delivered()).toEqual(['m1'])
  send('m2', { TIMER_DELAY_MS: '7200000' })
  await clock.advance(1)
  clock.jumpWall(7_200_000)
  await clock.advance(1_000)
  expect(log.delivered()).toEqual(['m1', 'm2'])
})

test('a parked record that is not stored yet does not fire', async () => {
  const { log, clock, send } = setUp()
  log.flushSoon = false
  send('m1', { TIMER_DELAY_MS: '10' })
  await clock.advance(60_000)
  expect(log.entries).toHaveLength(1)
  log.flush()
  await clock.advance(0)
  log.flush()
  expect(log.delivered()).toEqual(['m1'])
})

test('a delivery the log refuses is tried again until it is stored, once', async () => {
  const { log, clock, service, send } = setUp()
  send('m1', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  log.refuse = new StoreError('STORE_CLOSED', 'no room')
  await clock.advance(30_000)
  expect(log.delivered()).toEqual([])
  expect(service.stats().retried).toBeGreaterThan(3)
  expect(service.stats().pending).toBe(1)
  log.refuse = undefined
  await clock.advance(5_000)
  expect(log.delivered()).toEqual(['m1'])
  expect(service.stats()).toMatchObject({ pending: 0, fired: 1 })
})

test('one message that cannot be delivered does not hold up the others', async () => {
  const { log, clock, send } = setUp()
  send('bad', { TIMER_DELAY_MS: '10' })
  send('good', { TIMER_DELAY_MS: '20' })
  await clock.settle()
  const append = log.append.bind(log)
  log.append = (topic, queueId, fields, completion) => {
    if (fields.body.toString('utf8', fields.bodyStart, fields.bodyEnd) === 'bad') throw new Error('never')
    append(topic, queueId, fields, completion)
  }
  await clock.advance(60_000)
  expect(log.delivered()).toEqual(['good'])
})

test('a cancelled message is never delivered, a delivered one is called fired, any other unknown', async () => {
  const { log, clock, send, cancel, service } = setUp()
  send('m1', { TIMER_DELAY_MS: '1000' })
  send('m2', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  const first = cancel('m1')
  const joined = cancel('m1')
  expect([first, joined]).toEqual([[], []])
  await clock.settle()
  expect([first, joined]).toEqual([['cancelled'], ['cancelled']])
  expect(log.messages(SystemTopic.OP_HALF)).toHaveLength(1)
  await clock.advance(5_000)
  expect(log.delivered()).toEqual(['m2'])
  expect(cancel('m1')).toEqual(['cancelled'])
  expect(cancel('m2')).toEqual(['fired'])
  expect(cancel('m3')).toEqual(['unknown'])
  expect(cancel('m1', 'payments')).toEqual(['unknown'])
  expect(service.stats()).toMatchObject({ pending: 0, fired: 1, cancelled: 1 })
})

test('a cancel in the very moment of delivery is answered with what happened', async () => {
  const { log, clock, send, cancel } = setUp()
  send('m1', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  log.flushSoon = false
  await clock.advance(10)
  expect(log.delivered()).toEqual(['m1'])
  expect(cancel('m1')).toEqual(['fired'])
  log.flush()
  expect(log.messages(SystemTopic.OP_HALF)).toEqual([])
})

test('a cancel that waits for the disk holds the delivery back; if the disk breaks, what the log kept decides', async () => {
  const { log, clock, send, cancel } = setUp()
  send('m1', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  log.flushSoon = false
  const answers = cancel('m1')
  await clock.advance(60_000)
  expect(log.delivered()).toEqual([])
  log.breakDisk()
  expect([...answers, ...cancel('m1')]).toEqual(['open', 'open'])
  log.refuse = undefined
  await clock.advance(60_000)
  expect(log.delivered()).toEqual([])
  const without = setUp({ log: log.prefix(1) })
  const withIt = setUp({ log: log.prefix(2) })
  await clock.settle()
  expect([without.log.delivered(), withIt.log.delivered()]).toEqual([['m1'], []])
  expect([...without.cancel('m1'), ...withIt.cancel('m1')]).toEqual(['fired', 'cancelled'])
})

test('when the disk breaks under a delivery it is not sent a second time before the restart', async () => {
  const { log, clock, send } = setUp()
  send('m1', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  log.flushSoon = false
  await clock.advance(10)
  log.breakDisk()
  log.refuse = undefined
  log.flushSoon = true
  await clock.advance(60_000)
  expect(log.delivered()).toEqual(['m1'])
  const after = setUp({ log: log.prefix(1) })
  await clock.advance(1)
  expect(after.log.delivered()).toEqual(['m1'])
})

test('a cancel the log refuses decides nothing', async () => {
  const { log, clock, send, cancel } = setUp()
  send('m1', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  log.refuse = new Error('no room')
  expect(() => cancel('m1')).toThrow('no room')
  log.refuse = undefined
  await clock.advance(10)
  expect(log.delivered()).toEqual(['m1'])
})

test('an overdue backlog is delivered in slices that let others in', async () => {
  const { log, clock, send } = setUp()
  for (let n = 0; n < 2_000; n++) send(`m${n}`, { TIMER_DELAY_MS: '10' })
  await clock.settle()
  const after = setUp({ log: log.prefix(2_000) })
  clock.jumpWall(60_000)
  const perTurn: number[] = []
  let thisTurn = 0
  const append = after.log.append.bind(after.log)
  after.log.append = (...delivery) => {
    if (thisTurn++ === 0) {
      clock.soon(() => {
        perTurn.push(thisTurn)
        thisTurn = 0
      })
    }
    append(...delivery)
  }
  await clock.advance(1_000)
  expect(after.log.delivered()).toHaveLength(2_000)
  expect(perTurn).toEqual([500, 500, 500, 500])
})

test('what is parked pins the log, and a parked record that is gone is reported, not delivered', async () => {
  const lost: number[] = []
  const { log, clock, service, send, cancel } = setUp({ onLost: (at) => lost.push(at) })
  expect(service.earliestPinned()).toBe(Number.POSITIVE_INFINITY)
  send('m0', {})
  send('m1', { TIMER_DELAY_MS: '1000' })
  send('m2', { TIMER_DELAY_MS: '10' })
  await clock.settle()
  const [, first, second] = log.entries.map(({ offset }) => offset)
  expect(service.earliestPinned()).toBe(first)
  cancel('m1')
  await clock.settle()
  expect(service.earliestPinned()).toBe(second)
  log.read = () => undefined
  await clock.advance(10)
  expect(lost).toEqual([second])
  expect(service.stats()).toMatchObject({ pending: 0, lost: 1 })
})

test('after a crash at any record a delayed message is delivered once or was cancelled', async () => {
  const { log, clock, send, cancel } = setUp()
  const before: string[] = []
  for (let n = 0; n < 6; n++) send(`m${n}`, n % 2 === 0 ? { TIMER_DELAY_MS: `${100 * (n + 1)}` } : { DELAY: '1' })
  await clock.settle()
  cancel('m0')
  cancel('m3')
  await clock.advance(350)
  cancel('m5')
  cancel('m2')
  await clock.advance(5_000)
  before.push(...log.delivered())
  expect(before.toSorted()).toEqual(['m1', 'm2', 'm4'])
  for (let left = 0; left <= log.entries.length; left++) {
    const after = setUp({ log: log.prefix(left) })
    const parked = [SystemTopic.TIMER, SystemTopic.SCHEDULE].flatMap((topic) =>
      after.log.messages(topic).map(({ body }) => body.toString()),
    )
    const ops = after.log.messages(SystemTopic.OP_HALF).map(({ body }) => Number(body.toString()))
    const gone = new Set(ops.map((at) => log.read(at)?.toString('latin1').match(/m\d/)?.[0]))
    await clock.advance(10_000)
    const expected = parked.filter((id) => !gone.has(id)).toSorted()
    expect(after.log.delivered().toSorted(), `after ${left} records`).toEqual(expected)
    for (const id of parked) expect(after.cancel(id)).toEqual([gone.has(id) ? 'cancelled' : 'fired'])
    after.service.close()
  }
})

test('no interleaving of sends, cancels, flushes, refusals and restarts delivers twice, early or after "cancelled"', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const pick = chance(seed)
    let world = setUp()
    world.log.flushSoon = false
    const { clock } = world
    const ids: string[] = []
    const due = new Map<string, number>()
    const answered = new Map<string, CancelOutcome>()
    for (let step = 0; step < 60; step++) {
      switch (pick(8)) {
        case 7:
          world.log.takeCheckpoint(world.service)
          break
        case 0:
        case 1: {
          const id = `m${seed}-${step}`
          const delayMs = 1 + pick(300)
          ids.push(id)
          due.set(id, clock.now() + delayMs)
          const refuse = world.log.refuse
          world.log.refuse = undefined
          world.send(id, { TIMER_DELAY_MS: `${delayMs}` })
          world.log.refuse = refuse
          break
        }
        case 2:
          world.log.flush(1 + pick(4))
          break
        case 3:
          await clock.advance(pick(100))
          break
        case 4: {
          world.service.close()
          const durable = world.log.entries.filter(({ offset }) => offset < world.log.durableOffset).length
          world = setUp({ log: world.log.prefix(durable + pick(world.log.entries.length - durable + 1)) })
          world.log.flushSoon = false
          break
        }
        case 5:
          world.log.refuse = pick(2) === 0 ? new Error('no room') : undefined
          break
        default: {
          const id = ids[pick(ids.length)]
          if (id === undefined) break
          try {
            world.service.cancel('orders', id, (outcome) => {
              if (outcome === 'open') return
              if (outcome !== 'unknown') expect(answered.get(id) ?? outcome, `seed ${seed} ${id}`).toBe(outcome)
              if (outcome !== 'unknown') answered.set(id, outcome)
            })
          } catch {
            // Refused: nothing was decided.
          }
        }
      }
      if (step % 5 === 0) world.log.refuse = undefined
    }
    world.log.refuse = undefined
    world.log.flushSoon = true
    world.log.flush()
    await clock.advance(60_000)
    const delivered = world.log.delivered()
    expect(new Set(delivered).size, `seed ${seed}`).toBe(delivered.length)
    for (const { body, storeTimestamp } of world.log.messages('orders')) {
      expect(storeTimestamp, `seed ${seed}`).toBeGreaterThanOrEqual(due.get(body.toString()) ?? 0)
    }
    for (const [id, outcome] of answered) expect(delivered.includes(id), `seed ${seed} ${id}`).toBe(outcome === 'fired')
    world.service.close()
  }
})

test('the answer to a late cancel is remembered for a bounded number of messages, whose numbers are reused', async () => {
  const { clock, send, cancel, service } = setUp({ settledMax: 2 })
  for (let n = 0; n < 200; n++) {
    send(`m${n}`, { TIMER_DELAY_MS: '5000' })
    await clock.settle()
    if (n % 2 === 0) cancel(`m${n}`)
    await clock.advance(n % 2 === 0 ? 1 : 5_000)
  }
  await clock.advance(10_000)
  expect(cancel('m199')).toEqual(['fired'])
  expect(cancel('m198')).toEqual(['cancelled'])
  expect(cancel('m0')).toEqual(['unknown'])
  expect(service.stats()).toMatchObject({ fired: 100, cancelled: 100, pending: 0 })
})
