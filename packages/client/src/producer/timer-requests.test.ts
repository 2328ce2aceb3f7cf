import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, type World, world } from '../../../../test/kit/fake-broker.ts'
import { Admin } from '../admin/admin.ts'
import { Producer } from './producer.ts'

const [LIST, RESCHEDULE, CANCEL] = [9104, 9106, 9107]
let w: World
let fake: FakeBroker
let producer: Producer

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  await w.clock.run(fake.start())
  producer = new Producer({ ...w, nameServers: fake.address, group: 'p' })
  await w.clock.run(producer.start())
})

const key = { topic: 't', key: 'k' }
const answer = (body: object) => () => ({ code: 0, body: Buffer.from(JSON.stringify(body)) })
const bodiesOf = (code: number): unknown[] => fake.asked(code).map(({ body }) => JSON.parse(body.toString()) as unknown)

test('a stock broker is said to know nothing of keys and new times, and the error is not retryable', async () => {
  for (const code of [LIST, RESCHEDULE, CANCEL]) fake.on(code, () => ({ code: 3, remark: 'not supported' }))
  const receipt = { ...(await w.clock.run(producer.send({ topic: 't', body: 'x', delayMs: 9 }))), recallHandle: 'h' }
  const admin = new Admin({ ...w, nameServers: fake.address })
  await w.clock.run(admin.start())
  const refused = {
    code: 'REQUEST_NOT_SUPPORTED',
    retryable: false,
    message: expect.stringContaining('only TandemMQ can'),
  }
  for (const attempt of [
    () => producer.cancel(key),
    () => producer.reschedule(key, { delayMs: 1 }),
    () => producer.reschedule(receipt, { delayMs: 1 }),
    () => admin.timers().next(),
    () => admin.cancelTimers(key),
    () => admin.rescheduleTimers(key, { delayMs: 1 }),
  ]) {
    const failure = w.clock.run(attempt() as Promise<unknown>)
    await expect(failure).rejects.toMatchObject(refused)
  }
})

test('a move is answered with the receipt of the newest message that waits, or with why none does', async () => {
  const place = { uniqueKey: 'm2', topic: 't', queueId: 0, queueOffset: 7, offsetMessageId: 'o', recallHandle: 'h2' }
  fake.on(RESCHEDULE, answer({ outcome: 'rescheduled', rescheduled: [place, { ...place, uniqueKey: 'm1' }], fired: 0 }))
  const moved = await w.clock.run(producer.reschedule(key, { deliverAt: new Date(5) }))
  expect(moved).toMatchObject({ messageId: 'm2', queueOffset: 7n, recallHandle: 'h2', duplicate: false })
  expect(bodiesOf(RESCHEDULE)).toEqual([{ ...key, deliverAt: 5 }])
  for (const outcome of ['fired', 'unknown', 'cancelled']) {
    fake.on(RESCHEDULE, answer({ outcome, rescheduled: [], fired: 0 }))
    expect(await w.clock.run(producer.reschedule(key, { delayMs: 0.2 }))).toBe(outcome)
  }
  expect(bodiesOf(RESCHEDULE).at(-1)).toEqual({ ...key, delayMs: 1 })
})

test('wrong times and receipts without a handle are refused before anything is sent', async () => {
  const receipt = await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  const wrong = { code: 'INVALID_PARAMETER' }
  await expect(producer.reschedule(receipt, { delayMs: 1 })).rejects.toMatchObject(wrong)
  for (const time of [
    {},
    { delayMs: 1, deliverAt: new Date(1) },
    { delayMs: -1 },
    { deliverAt: new Date(Number.NaN) },
  ]) {
    await expect(w.clock.run(producer.reschedule(key, time))).rejects.toMatchObject(wrong)
  }
  await expect(w.clock.run(producer.cancel({ topic: 'no good', key: 'k' }))).rejects.toMatchObject({
    code: 'TOPIC_NAME_INVALID',
  })
  expect([...fake.asked(RESCHEDULE), ...fake.asked(CANCEL), ...fake.asked(RequestCode.RECALL_MESSAGE)]).toEqual([])
})

test('pages are asked for as they are read, and no further than the limit', async () => {
  const timer = (n: number) => ({ topic: 't', messageId: `m${n}`, deliverAt: n, keys: 'a b' })
  const pages = [{ timers: [timer(1), timer(2)], next: '2:2' }, { timers: [], next: '3:3' }, { timers: [timer(4)] }]
  fake.on(LIST, () => ({ code: 0, body: Buffer.from(JSON.stringify(pages[fake.asked(LIST).length - 1] ?? {})) }))
  const admin = new Admin({ ...w, nameServers: fake.address })
  await w.clock.run(admin.start())
  const read = async (limit?: number): Promise<string[]> => {
    const ids: string[] = []
    for await (const { messageId, keys } of admin.timers({ limit })) ids.push(`${messageId} ${keys.join('+')}`)
    return ids
  }
  expect(await w.clock.run(read(2))).toEqual(['m1 a+b', 'm2 a+b'])
  expect(bodiesOf(LIST)).toEqual([{ limit: 2 }])
  fake.requests.length = 0
  expect(await w.clock.run(read())).toEqual(['m1 a+b', 'm2 a+b', 'm4 a+b'])
  expect(bodiesOf(LIST).map((body) => (body as { after?: string }).after)).toEqual([undefined, '2:2', '3:3'])
})
