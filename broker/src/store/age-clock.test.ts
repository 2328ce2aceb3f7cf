import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { append, openStore, virtualClock } from '../../../test/kit/store-kit.ts'
import { AgeClock, type AgeMark } from './age-clock.ts'
import { FaultDisk } from './fault-disk.ts'

const START = 1_700_000_000_000
const HOUR = 3_600_000
const YEAR_2106 = 4_294_967_296_000

function setUp(options: { newest?: number; mark?: AgeMark; limitMs?: number } = {}) {
  const clock = new VirtualClock({ seed: 1, startAt: START })
  const jumps: number[] = []
  const { newest = 0, mark, limitMs = 72 * HOUR } = options
  const age = new AgeClock({ clock, newest, mark, limitMs, onJump: (byMs) => jumps.push(byMs) })
  return { clock, age, jumps }
}

test('it goes on as time does, whatever the wall clock shows; a jump forward is told, once an hour at most', async () => {
  const { clock, age, jumps } = setUp()
  for (const wall of [YEAR_2106, 0, START, YEAR_2106]) {
    clock.setWall(wall)
    const before = age.now()
    await clock.advance(60_000)
    expect(age.now()).toBe(before + 60_000)
  }
  expect(jumps).toEqual([YEAR_2106 - START])
  await clock.advance(HOUR)
  clock.jumpWall(2 * HOUR)
  age.now()
  expect(jumps).toHaveLength(2)
})

test('a pause counts as the wall clock says, for half of the shortest limit at most, and never backwards', () => {
  const at = 5_000_000
  expect(setUp({ mark: { at, wall: START - HOUR } }).age.now()).toBe(at + HOUR)
  expect(setUp({ mark: { at, wall: START - 100 * HOUR } }).age.now()).toBe(at + 36 * HOUR)
  expect(setUp({ mark: { at, wall: 0 }, limitMs: 2 * HOUR }).age.now()).toBe(at + HOUR)
  expect(setUp({ mark: { at, wall: 0 }, limitMs: Infinity }).age.now()).toBe(at + 36 * HOUR)
  expect(setUp({ mark: { at, wall: YEAR_2106 } }).age.now()).toBe(at)
})

test('a directory without a mark begins at the wall clock, or at its newest record when everything would be too old', () => {
  expect(setUp().age.now()).toBe(START)
  expect(setUp({ newest: START - HOUR }).age.now()).toBe(START)
  expect(setUp({ newest: START - 100 * HOUR }).age.now()).toBe(START - 100 * HOUR)
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

test('F38: messages stored while the clock showed 2106 make the ones before them no older, also after restarts', async () => {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const limits = { segmentBytes: 4096, retentionMs: 3 * HOUR }
  const fill = async (store: ReturnType<typeof openStore>): Promise<void> => {
    for (let index = 0; index < 20; index++) append(store, 'orders', `${index}`.padEnd(500, '.'))
    store.commitTurn()
    await clock.advance(2_000)
  }
  const first = openStore(disk, clock, limits)
  await fill(first)
  clock.setWall(YEAR_2106)
  await fill(first)
  // As kill -9.
  const left = disk.killed({ seed: 2 })
  const second = openStore(left, clock, limits)
  expect(second.retain(() => Infinity)).toEqual({ removed: 0, forced: 0 })
  clock.setWall(START)
  await fill(second)
  await second.close()
  clock.setWall(YEAR_2106)
  const third = openStore(left, clock, limits)
  for (let n = 0; n < 80; n++) {
    await clock.advance(60_000)
    expect(third.retain(() => Infinity)).toEqual({ removed: 0, forced: 0 })
  }
  // They age all the same, those stamped 2106 too.
  await clock.advance(2 * HOUR)
  expect(third.retain(() => Infinity).removed).toBeGreaterThan(0)
  await clock.advance(10)
  expect(third.stats().segments).toBe(1)
})
