import { expect, test } from 'vitest'
import { sleep } from './clock.ts'
import { VirtualClock } from './virtual-clock.ts'

test('timers run in order of time, then of setting, each at its own time', async () => {
  const clock = new VirtualClock({ startAt: 1_000 })
  const ran: string[] = []
  const note = (name: string) => () => ran.push(`${name} ${clock.monotonic()} ${clock.now()}`)
  clock.setTimer(20, note('c'))
  clock.setTimer(10, note('a'))
  clock.setTimer(10, note('b'))
  clock.setTimer(31, note('never'))
  await clock.advance(30)
  expect(ran).toEqual(['a 10 1010', 'b 10 1010', 'c 20 1020'])
  expect(clock.monotonic()).toBe(30)
})

test('the wall clock shows whole milliseconds, as the real one does, and is never ahead of the time that passed', async () => {
  const clock = new VirtualClock({ startAt: 1_000 })
  await clock.advance(10.75)
  expect([clock.now(), clock.monotonic()]).toEqual([1_010, 10.75])
})

test('a thousand timers come out sorted', async () => {
  const clock = new VirtualClock({ seed: 5 })
  const ran: number[] = []
  for (let n = 0; n < 1_000; n++) {
    const delay = Math.floor(clock.random() * 300)
    clock.setTimer(delay, () => ran.push(delay))
  }
  await clock.advance(300)
  expect(ran).toHaveLength(1_000)
  expect(ran).toEqual(ran.toSorted((a, b) => a - b))
})

test('promises settled by one timer run before the next timer, however deep the chain', async () => {
  const clock = new VirtualClock()
  const ran: string[] = []
  clock.setTimer(5, async () => {
    for (let step = 0; step < 200; step++) await Promise.resolve()
    await new Promise<void>((resolve) => process.nextTick(resolve))
    ran.push('chain')
  })
  clock.setTimer(5, () => ran.push('timer'))
  await clock.advance(5)
  expect(ran).toEqual(['chain', 'timer'])
})

test('soon runs before the next timer and without time passing', async () => {
  const clock = new VirtualClock()
  const ran: string[] = []
  clock.setTimer(0, () => ran.push('timer'))
  clock.soon(() => {
    ran.push('soon')
    clock.soon(() => ran.push('soon again'))
  })
  await clock.settle()
  expect(ran).toEqual(['soon', 'soon again', 'timer'])
  expect(clock.monotonic()).toBe(0)
})

test('nothing runs outside advance when soon is virtual', async () => {
  const clock = new VirtualClock()
  let ran = false
  clock.soon(() => {
    ran = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(ran).toBe(false)
})

test('a timer set by a timer runs in the same advance when it is due', async () => {
  const clock = new VirtualClock()
  const at: number[] = []
  const again = (): void => {
    at.push(clock.monotonic())
    clock.setTimer(10, again)
  }
  clock.setTimer(10, again)
  await clock.advance(35)
  expect(at).toEqual([10, 20, 30])
})

test('a cancelled timer does not run, not even when cancelled at its own instant', async () => {
  const clock = new VirtualClock()
  const ran: string[] = []
  clock.setTimer(1, () => late.cancel())
  const late = clock.setTimer(1, () => ran.push('late'))
  clock.setTimer(2, () => ran.push('never')).cancel()
  await clock.runUntilIdle()
  expect(ran).toEqual([])
})

test('run lets exactly the time pass that the promise needs', async () => {
  const clock = new VirtualClock()
  const value = await clock.run(sleep(clock, 250).then(() => 'done'))
  expect(value).toBe('done')
  expect(clock.monotonic()).toBe(250)
  await expect(clock.run(Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(clock.monotonic()).toBe(250)
})

test('run says so when the promise cannot settle any more', async () => {
  const clock = new VirtualClock()
  await expect(clock.run(new Promise(() => {}))).rejects.toThrow('nothing is scheduled')
  const tick = (): void => void clock.setTimer(100, tick)
  tick()
  await expect(clock.run(new Promise(() => {}), 1_000)).rejects.toThrow('not settled within 1000 ms')
})

test('what a callback throws comes out of advance, and the clock goes on', async () => {
  const clock = new VirtualClock()
  let ran = false
  clock.setTimer(1, () => {
    throw new Error('a bug')
  })
  clock.setTimer(2, () => {
    ran = true
  })
  await expect(clock.advance(5)).rejects.toThrow('a bug')
  await clock.advance(5)
  expect(ran).toBe(true)
})

test('two calls of advance follow one another', async () => {
  const clock = new VirtualClock()
  await Promise.all([clock.advance(10), clock.advance(20)])
  expect(clock.monotonic()).toBe(30)
})

test('the wall clock may jump back, the monotonic one does not', async () => {
  const clock = new VirtualClock({ startAt: 10_000 })
  clock.jumpWall(-4_000)
  await clock.advance(500)
  expect([clock.now(), clock.monotonic()]).toEqual([6_500, 500])
})

test('chance repeats with the seed, differs between seeds and is spread evenly', () => {
  expect(draw(7)).toEqual(draw(7))
  expect(draw(7).slice(0, 3)).not.toEqual(draw(8).slice(0, 3))
  const tenths = Array.from({ length: 10 }, () => 0)
  for (const value of draw(7)) tenths[Math.floor(value * 10)] = (tenths[Math.floor(value * 10)] ?? 0) + 1
  for (const count of tenths) expect(Math.abs(count - 1_000)).toBeLessThan(150)
  expect(new VirtualClock({ seed: 7 }).randomBytes(16)).toEqual(new VirtualClock({ seed: 7 }).randomBytes(16))
})

test('with a real soon, callbacks run without advance', async () => {
  const clock = new VirtualClock({ soon: 'real' })
  await new Promise<void>((resolve) => clock.soon(resolve))
})

function draw(seed: number): number[] {
  const clock = new VirtualClock({ seed })
  return Array.from({ length: 10_000 }, () => clock.random())
}

test('the wall clock can be set and run at another rate, timers and the steady clock do not notice', async () => {
  const clock = new VirtualClock({ seed: 1, startAt: 1_000 })
  const ran: number[] = []
  clock.setTimer(100, () => ran.push(clock.monotonic()))
  clock.setWallRate(10)
  await clock.advance(50)
  expect([clock.now(), clock.monotonic()]).toEqual([1_500, 50])
  clock.setWall(0)
  clock.setWallRate(0.1)
  await clock.advance(50)
  expect([clock.now(), clock.monotonic(), ...ran]).toEqual([5, 100, 100])
  clock.jumpWall(-5)
  clock.setWallRate(1)
  await clock.advance(7)
  expect(clock.now()).toBe(7)
})
