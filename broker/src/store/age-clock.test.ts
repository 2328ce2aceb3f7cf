import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { append, openStore, virtualClock } from '../../../test/kit/store-kit.ts'
import { AgeClock } from './age-clock.ts'
import { FaultDisk } from './fault-disk.ts'

const START = 1_700_000_000_000
const HOUR = 3_600_000
const YEAR_2106 = 4_294_967_296_000

function setUp(newest = 0, retentionMs = 72 * HOUR) {
  const clock = new VirtualClock({ seed: 1, startAt: START })
  const jumps: number[] = []
  const age = new AgeClock({ clock, newest, retentionMs, onJump: (byMs) => jumps.push(byMs) })
  return { clock, age, jumps }
}

test('it follows the wall clock as long as that goes on as time does, and back at once', async () => {
  const { clock, age, jumps } = setUp()
  for (let n = 0; n < 100; n++) {
    await clock.advance(60_000)
    clock.jumpWall(n % 2 === 0 ? 500 : -400)
    expect(age.now()).toBe(clock.now())
  }
  clock.setWall(0)
  expect(age.now()).toBe(0)
  expect(jumps).toEqual([])
})

test('a jump forward counts after an hour, is told once, and is forgotten when it is taken back', async () => {
  const { clock, age, jumps } = setUp()
  clock.setWall(YEAR_2106)
  expect(age.now()).toBe(START)
  await clock.advance(HOUR - 1)
  expect(age.now()).toBe(START + HOUR - 1)
  clock.setWall(START + HOUR)
  expect(age.now()).toBe(START + HOUR)
  clock.setWall(YEAR_2106)
  expect(age.now()).toBe(START + HOUR)
  await clock.advance(HOUR - 1)
  expect(age.now()).toBeLessThan(START + 3 * HOUR)
  await clock.advance(1)
  expect(age.now()).toBe(YEAR_2106 + HOUR)
  expect(jumps).toHaveLength(2)
})

test('a start that finds everything too old doubts the clock for an hour, one after a short pause does not', async () => {
  expect(setUp(START - HOUR).age.now()).toBe(START)
  const { clock, age } = setUp(START - 100 * HOUR)
  expect(age.now()).toBe(START - 100 * HOUR)
  await clock.advance(HOUR)
  expect(age.now()).toBe(START + HOUR)
})

test.each([
  ['an hour forward', (clock: VirtualClock) => clock.jumpWall(HOUR)],
  ['to 2106', (clock: VirtualClock) => clock.setWall(YEAR_2106)],
  ['to 1970', (clock: VirtualClock) => clock.setWall(0)],
  ['ten times as fast', (clock: VirtualClock) => clock.setWallRate(10)],
])('F38: the wall clock goes %s: no message is removed by that, before or after a restart', async (where, strike) => {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const limits = { segmentBytes: 4096, retentionMs: HOUR / 2, retentionMsMax: HOUR / 2 }
  const told: number[] = []
  const store = openStore(disk, clock, { ...limits, onClockJump: (byMs) => told.push(byMs) })
  for (let index = 0; index < 40; index++) append(store, 'orders', `${index}`.padEnd(500, '.'))
  store.commitTurn()
  await clock.advance(10)
  strike(clock)
  for (let minute = 0; minute < 20; minute++) {
    await clock.advance(60_000)
    expect(store.retain(() => Infinity)).toEqual({ removed: 0, forced: 0 })
  }
  expect(told).toHaveLength(where === 'to 1970' ? 0 : 1)
  await store.close()
  const again = openStore(disk, clock, limits)
  expect(again.retain(() => Infinity)).toEqual({ removed: 0, forced: 0 })
})
