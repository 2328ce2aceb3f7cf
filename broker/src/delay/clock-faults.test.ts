import { expect, test } from 'vitest'
import { delayOnScriptLog as setUp } from './delay-test-kit.ts'

const START = 1_700_000_000_000
const HOUR = 3_600_000
const WAKE_UP_MS = 1_000

type Fault = [name: string, strike: (clock: ReturnType<typeof setUp>['clock']) => void]

const faults: Fault[] = [
  ['an hour forward', (clock) => clock.jumpWall(HOUR)],
  ['an hour back', (clock) => clock.jumpWall(-HOUR)],
  ['ten times as fast', (clock) => clock.setWallRate(10)],
  ['a tenth as fast', (clock) => clock.setWallRate(0.1)],
  ['to 1970', (clock) => clock.setWall(0)],
  ['to 2106', (clock) => clock.setWall(4_294_967_296_000)],
]

test.each(faults)(
  'F38: the wall clock goes %s: nothing is delivered before it shows the time, and then within a second',
  async (_, strike) => {
    const { log, clock, send, service } = setUp()
    const due = new Map<string, number>()
    for (const [id, delayMs] of [
      ['soon', 2_000],
      ['later', 90 * 60_000],
      ['last', 3 * HOUR],
    ] as const) {
      due.set(id, START + delayMs)
      send(id, { TIMER_DELIVER_MS: `${START + delayMs}` })
    }
    await clock.advance(1_000)
    strike(clock)
    const fired = new Map<string, number>()
    let before = clock.now()
    for (let step = 0; step < 3_000; step++) {
      await clock.advance(WAKE_UP_MS)
      const now = clock.now()
      for (const { body } of log.messages('orders')) if (!fired.has(body.toString())) fired.set(body.toString(), now)
      // What was due when the last second began has been delivered by now.
      for (const [id, at] of due) if (at <= before && !fired.has(id)) expect(`${id} due`).toBe('delivered')
      before = now
    }
    for (const { body } of log.messages('orders')) {
      expect(fired.get(body.toString()) ?? 0).toBeGreaterThanOrEqual(due.get(body.toString()) ?? Number.NaN)
    }
    clock.setWallRate(1)
    clock.setWall(START + 4 * HOUR)
    await clock.advance(WAKE_UP_MS)
    expect(log.delivered().toSorted()).toEqual(['last', 'later', 'soon'])
    expect(service.stats()).toMatchObject({ pending: 0, fired: 3 })
  },
)

test.each(faults)(
  'F38: the wall clock goes %s: a retry of a consumer comes after its delay, neither earlier nor later',
  async (_, strike) => {
    const { log, clock, send } = setUp()
    send('retry', { DELAY: '3' }, '%RETRY%billing', 0)
    await clock.advance(4_000)
    strike(clock)
    await clock.advance(5_999)
    expect(log.delivered()).toEqual([])
    await clock.advance(1)
    expect(log.delivered()).toEqual(['retry'])
  },
)

test('F38: a retry that a full disk held up while the clock was set back waits no longer than its delay', async () => {
  const { log, clock, send } = setUp()
  log.flushSoon = false
  send('retry', { DELAY: '3' }, '%RETRY%billing', 0)
  await clock.advance(4_000)
  clock.jumpWall(-HOUR)
  log.flushSoon = true
  log.flush()
  await clock.advance(5_999)
  expect(log.delivered()).toEqual([])
  await clock.advance(1)
  expect(log.delivered()).toEqual(['retry'])
})

test('F38: a retry that waits over a restart keeps the rest of its delay, from a checkpoint too', async () => {
  for (const isCheckpointed of [false, true]) {
    const { log, clock, send, service } = setUp()
    send('retry', { DELAY: '3' }, '%RETRY%billing', 0)
    send('timer', { DELAY: '3' })
    await clock.advance(4_000)
    if (isCheckpointed) log.takeCheckpoint(service)
    service.close()
    const after = setUp({ log })
    clock.jumpWall(-HOUR)
    await clock.advance(5_999)
    expect(log.delivered()).toEqual([])
    await clock.advance(1)
    expect(log.delivered()).toEqual(['retry'])
    await clock.advance(HOUR)
    expect(log.delivered()).toEqual(['retry', 'timer'])
    after.service.close()
  }
})

test('F38: a retry that waits over a restart, before which the clock was set back, waits no longer than its delay', async () => {
  for (const isCheckpointed of [false, true]) {
    const { log, clock, send, service } = setUp()
    send('by level', { DELAY: '3' }, '%RETRY%billing', 0)
    send('by time', { TIMER_DELAY_MS: '7000' }, '%RETRY%billing', 0)
    await clock.advance(4_000)
    if (isCheckpointed) log.takeCheckpoint(service)
    service.close()
    clock.jumpWall(-HOUR)
    const after = setUp({ log })
    await clock.advance(7_000)
    expect(log.delivered()).toEqual(['by time'])
    await clock.advance(3_000)
    expect(log.delivered()).toEqual(['by time', 'by level'])
    after.service.close()
  }
})

test('messages of one instant are delivered in the order they were sent', async () => {
  const { log, clock, send } = setUp()
  const ids = Array.from({ length: 2_000 }, (_, n) => `m${n}`)
  for (const [n, id] of ids.entries()) send(id, { TIMER_DELIVER_MS: `${START + 1_000 + (n % 3)}` })
  await clock.advance(2_000)
  const inOrder = [0, 1, 2].flatMap((rest) => ids.filter((_, n) => n % 3 === rest))
  expect(log.delivered()).toEqual(inOrder)
})
