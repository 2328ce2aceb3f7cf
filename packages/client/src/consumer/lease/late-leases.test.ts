import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, type Script, type World, world } from '../../../../../test/kit/fake-broker.ts'
import { FakeLeases } from '../../../../../test/kit/fake-leases.ts'
import { PushConsumer } from '../push-consumer.ts'
import { LeaseClock } from './lease-clock.ts'

const POP = RequestCode.POP_MESSAGE
const INVISIBLE_MS = 10_000

let w: World
let fake: FakeBroker
let leases: FakeLeases
/** What the next answers with messages take on their way, ms. */
let delays: number[]

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  leases = new FakeLeases(fake, 't')
  delays = []
  slowDown(fake.scripts.get(POP))
  await w.clock.run(fake.start())
})

/** The fake replies to a question it held by itself, so the connection it gets is one that delays. */
function slowDown(pop: Script | undefined): void {
  fake.on(POP, (request, connection) => {
    const late = (answer: NonNullable<ReturnType<Script>>): void => {
      const delayMs = (answer.body?.length ?? 0) > 0 ? (delays.shift() ?? 0) : 0
      w.clock.setTimer(delayMs, () => connection.reply(request, answer))
    }
    const slow = { reply: (_: unknown, answer: NonNullable<ReturnType<Script>>) => late(answer) }
    const answer = pop?.(request, slow as unknown as typeof connection)
    if (answer !== undefined) late(answer)
    return undefined
  })
}

const after = (ms: number): Promise<void> => new Promise((resolve) => w.clock.setTimer(ms, resolve))
const renewals = (): number => fake.asked(RequestCode.CHANGE_MESSAGE_INVISIBLETIME).length

/** Bodies the broker would give to anybody at some time from now on. */
async function visibleWithin(ms: number): Promise<string[]> {
  const visible: string[] = []
  for (let passedMs = 0; passedMs < ms; passedMs += 500) {
    await w.clock.advance(500)
    visible.push(...leases.visible())
  }
  return visible
}

/** @returns when each delivery began */
async function consume(handlerMs: number, holdMs: number, invisibleMs = INVISIBLE_MS): Promise<number[]> {
  const begun: number[] = []
  const consumer = new PushConsumer({
    ...{ ...w, nameServers: fake.address, group: 'g', startFrom: 'first', mode: 'lease' },
    ...{ invisibleMs, holdMs },
  })
  consumer.subscribe('t', '*', async () => {
    begun.push(w.clock.monotonic())
    await after(handlerMs)
  })
  await w.clock.run(consumer.start())
  return begun
}

test.each([
  ['given at once', 0],
  ['given after the question was held', 3_000],
])('the lease of a late answer, %s, is extended before it ends at the broker', async (_, putAfterMs) => {
  delays = [8_000]
  if (putAfterMs === 0) leases.put('x')
  const begun = await consume(6_000, 5_000)
  if (putAfterMs > 0) {
    await w.clock.advance(putAfterMs)
    leases.put('x')
  }
  expect(await visibleWithin(20_000)).toEqual([])
  expect(begun).toHaveLength(1)
  expect([leases.acked, leases.stale]).toEqual([['x'], 0])
})

test('no handler begins with a message whose lease was over when it arrived', async () => {
  delays = [12_000]
  leases.put('x')
  const before = w.clock.monotonic()
  const begun = await consume(100, 5_000)
  await w.clock.advance(30_000)
  expect(begun).toHaveLength(1)
  expect(begun[0]).toBeGreaterThan(before + 12_000)
  expect(leases.acked).toEqual(['x'])
})

test('what the broker held a question for is no part of the lease', async () => {
  const begun = await consume(4_000, 9_500)
  await w.clock.advance(8_500)
  leases.put('x')
  await w.clock.advance(6_000)
  expect([begun.length, leases.acked, renewals()]).toEqual([1, ['x'], 0])
})

test.each([3_600_000, -3_600_000])(
  "the broker's clock is set by %d ms while a question is held: the message is begun at its first delivery, and its lease kept",
  async (byMs) => {
    const begun = await consume(4_000, 9_500, 3_000)
    await w.clock.advance(2_000)
    w.clock.jumpWall(byMs)
    await w.clock.advance(6_900)
    leases.put('x')
    expect(await visibleWithin(20_000)).toEqual([])
    expect([begun.length, leases.acked, leases.stale]).toEqual([1, ['x'], 0])
    expect(leases.messages.map(({ attempts }) => attempts)).toEqual([1])
  },
)

test('of a broker that does not tell its time, a long question leaves half of a lease, which is extended', async () => {
  const pop = fake.scripts.get(POP)
  fake.on(POP, (request, connection) => {
    const quiet = {
      reply: (to: typeof request, answer: NonNullable<ReturnType<Script>>) =>
        connection.reply(
          to,
          answer.code === 0 ? answer : { ...answer, extFields: { ...answer.extFields, popTime: 0 } },
        ),
    }
    return pop?.(request, quiet as unknown as typeof connection)
  })
  const begun = await consume(15_000, 9_800)
  await w.clock.advance(9_700)
  leases.put('x')
  expect(await visibleWithin(20_000)).toEqual([])
  expect([begun.length, leases.acked, leases.stale]).toEqual([1, ['x'], 0])
})

test('a lease clock takes the truest bound it has heard, and hears when the broker was set', () => {
  const clock = new LeaseClock()
  // The broker's clock is 1,000,000 ahead of ours; answers take 1 ms each way unless said otherwise.
  expect(clock.beganAt(1_005_001, 5_000, 5_002)).toBe(5_000)
  expect(clock.beganAt(1_019_000, 10_000, 19_001)).toBe(18_998)
  expect(clock.beganAt(1_019_000, 10_000, 27_000)).toBe(18_998)
  // Set forward by 500: heard from the first answer that is quicker than that, wrong by no more until then.
  expect(clock.beganAt(1_030_500, 29_999, 30_001)).toBe(29_999)
  expect(clock.beganAt(1_045_500, 40_000, 45_001)).toBe(45_498 - 500)
  // Set back by 10,000, heard from a question that was held, which tells no more than that.
  expect(clock.beganAt(1_045_500, 50_000, 55_001)).toBeUndefined()
  expect(clock.isKnown).toBe(false)
  expect(clock.beganAt(1_050_500, 59_999, 60_001)).toBe(59_999)
  // Set on by an hour.
  expect(clock.beganAt(4_660_500, 65_000, 70_001)).toBeUndefined()
  expect(clock.isKnown).toBe(false)
})
