import { ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'
import type { TimerPage } from '../delay/index.ts'

const Code = TandemRequestCode
const HOUR = 3_600_000

let world: MemoryBroker
const lines: string[] = []

beforeEach(async () => {
  lines.length = 0
  world = await MemoryBroker.start({ log: (line) => void lines.push(line) })
})
afterEach(() => world.close())

async function ask(code: number, body: object): Promise<{ code: number; answer: Record<string, unknown> }> {
  const { code: answered, body: bytes } = await world.request(code, {}, JSON.stringify(body))
  return { code: answered, answer: bytes.length === 0 ? {} : (JSON.parse(bytes.toString()) as Record<string, unknown>) }
}

const park = (id: string, delayMs: number, keys: string, topic = 'orders') =>
  world.send(topic, id, { UNIQ_KEY: id, KEYS: keys, TIMER_DELAY_MS: `${delayMs}` })

const bodies = (topic = 'orders'): string[] => world.broker.messages(topic).map(({ body }) => body.toString())

test('timers are found by key, moved and taken back over the wire, also after a restart', async () => {
  await park('m1', HOUR, 'order-1')
  await park('m2', 2 * HOUR, 'order-1 vip')
  await park('m3', HOUR, 'order-2')
  await world.restart()
  const moved = await ask(Code.RESCHEDULE_TIMER, { topic: 'orders', key: 'vip', delayMs: 3 * HOUR })
  expect(moved).toMatchObject({ code: 0, answer: { outcome: 'rescheduled', rescheduled: [{ uniqueKey: 'm2' }] } })
  await world.restart()
  const listed = await ask(Code.LIST_TIMERS, { topic: 'orders' })
  const { timers, total } = listed.answer as unknown as TimerPage
  expect([timers.map(({ messageId }) => messageId), total]).toEqual([['m1', 'm3', 'm2'], 3])
  expect(await ask(Code.CANCEL_TIMER_BY_KEY, { topic: 'orders', key: 'order-1' })).toEqual({
    code: 0,
    answer: { outcome: 'cancelled', cancelled: 2, fired: 0 },
  })
  await world.clock.advance(5 * HOUR)
  expect(bodies()).toEqual(['m3'])
  expect((await ask(Code.CANCEL_TIMER_BY_KEY, { topic: 'orders', key: 'order-2' })).answer).toMatchObject({
    outcome: 'fired',
  })
})

test('a handle given out before a move still names the message', async () => {
  const { extFields } = await park('m1', HOUR, 'k')
  const recallHandle = extFields['recallHandle']
  const move = (deliverAt: number) => ask(Code.RESCHEDULE_TIMER, { topic: 'orders', recallHandle, deliverAt })
  const first = await move(world.clock.now() + 2 * HOUR)
  const second = await move(world.clock.now() + 3 * HOUR)
  expect([first.answer['outcome'], second.answer['outcome']]).toEqual(['rescheduled', 'rescheduled'])
  const [place] = second.answer['rescheduled'] as { recallHandle: string }[]
  const recalled = await world.request(370, { topic: 'orders', recallHandle: place?.recallHandle ?? '' })
  expect(recalled).toMatchObject({ code: 0, extFields: { outcome: 'cancelled' } })
  expect((await move(world.clock.now() + HOUR)).answer['outcome']).toBe('cancelled')
})

test('without a body everything that waits is listed, with a handle for each', async () => {
  await park('m1', HOUR, 'k')
  const { body } = await world.request(Code.LIST_TIMERS)
  const [timer] = (JSON.parse(body.toString()) as { timers: { recallHandle: string }[] }).timers
  const recalled = await world.request(370, { topic: 'orders', recallHandle: timer?.recallHandle ?? '' })
  expect(recalled.extFields['outcome']).toBe('cancelled')
})

test.each([
  [Code.LIST_TIMERS, { key: 'k' }],
  [Code.LIST_TIMERS, { after: 'x' }],
  [Code.LIST_TIMERS, { limit: 'all' }],
  [Code.LIST_TIMERS, []],
  [Code.RESCHEDULE_TIMER, { topic: 'orders', key: 'k' }],
  [Code.RESCHEDULE_TIMER, { topic: 'orders', key: 'k', delayMs: 1, deliverAt: 1 }],
  [Code.RESCHEDULE_TIMER, { topic: 'orders', key: 'k', delayMs: 0.5 }],
  [Code.RESCHEDULE_TIMER, { topic: 'orders', delayMs: 1 }],
  [Code.RESCHEDULE_TIMER, { key: 'k', delayMs: 1 }],
  [Code.RESCHEDULE_TIMER, { topic: '%RETRY%g', key: 'k', delayMs: 1 }],
  [Code.CANCEL_TIMER_BY_KEY, { topic: 'orders' }],
  [Code.CANCEL_TIMER_BY_KEY, { topic: 'orders', key: 7 }],
  [Code.CANCEL_TIMER_BY_KEY, { topic: '%RETRY%g', key: 'k' }],
])('%i with %o is refused as a wrong parameter', async (code, body) => {
  expect((await ask(code, body)).code).toBe(ResponseCode.INVALID_PARAMETER)
})

test('a body that is no JSON, a foreign handle and a time beyond the horizon have their own codes', async () => {
  const { extFields } = await park('m1', HOUR, 'k')
  const recallHandle = extFields['recallHandle']
  expect((await world.request(Code.RESCHEDULE_TIMER, {}, '{')).code).not.toBe(0)
  const elsewhere = await ask(Code.RESCHEDULE_TIMER, { topic: 'payments', recallHandle, delayMs: 1 })
  expect(elsewhere.code).toBe(ResponseCode.ILLEGAL_OPERATION)
  const late = await ask(Code.RESCHEDULE_TIMER, { topic: 'orders', key: 'k', delayMs: 365 * 24 * HOUR + 1 })
  expect(late.code).toBe(ResponseCode.MESSAGE_ILLEGAL)
  expect((await ask(Code.RESCHEDULE_TIMER, { topic: 'orders', key: 'k', delayMs: 365 * 24 * HOUR })).code).toBe(0)
})

test('a deleted topic takes along what waits for it, says so when its time comes, and a new one of the name stays clean', async () => {
  await park('old', HOUR, 'k')
  await park('kept', HOUR, 'k', 'payments')
  await world.request(215, { topic: 'orders' })
  await park('new', HOUR, 'k')
  await world.restart({ log: (line) => void lines.push(line) })
  await world.clock.advance(HOUR)
  expect([bodies(), bodies('payments')]).toEqual([['new'], ['kept']])
  expect(lines.filter((line) => /for the topic orders, deleted since: it is not delivered/.test(line))).toHaveLength(1)
  expect(world.broker.stats().delay).toMatchObject({ pending: 0, fired: 2, orphaned: 1 })
})
