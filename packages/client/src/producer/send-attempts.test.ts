import { decodeProperties, type RemotingCommand, RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { type Answer, FakeBroker, type World, world } from '../../../../test/kit/fake-broker.ts'
import { startedProducer } from '../clients-test-kit.ts'
import { TransactionProducer } from '../transaction/transaction-producer.ts'
import { attemptMs } from './attempt-watch.ts'
import type { ProducerOptions } from './producer-options.ts'
import { Producer } from './producer.ts'

const SEND = RequestCode.SEND_MESSAGE_V2
const BATCH = RequestCode.SEND_BATCH_MESSAGE

let w: World
let fake: FakeBroker
/** When each attempt arrived, ms after the test began. */
let arrivals: number[]
/** Unique ids the broker holds. */
let stored: Set<string>

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  await w.clock.run(fake.start())
  arrivals = []
  stored = new Set()
})

const started = (options?: Partial<ProducerOptions>): Promise<Producer> => startedProducer(fake, options)

const idOf = (request: RemotingCommand): string =>
  decodeProperties(Buffer.from(request.extFields['i'] ?? ''))['UNIQ_KEY'] ?? ''

/** A broker that recognises repeats; each attempt's answer comes after so long, or never. */
function answerAfter(
  delays: readonly (number | 'never')[],
  answers: readonly Answer[] = [],
  code: number = SEND,
): void {
  const begun = w.clock.monotonic()
  fake.on(code, (request, connection) => {
    const place = arrivals.push(Math.round(w.clock.monotonic() - begun)) - 1
    const isRepeat = stored.has(idOf(request))
    stored.add(idOf(request))
    const first = fake.stored(request)
    const duplicate = isRepeat ? { dedup: '1', transactionId: idOf(request) } : {}
    const answer = answers[place] ?? { ...first, extFields: { ...first.extFields, ...duplicate } }
    const delay = delays[place] ?? 'never'
    if (delay !== 'never') w.clock.setTimer(delay, () => connection.reply(request, answer))
    return undefined
  })
}

test('a send whose answer is lost is repeated under its id after a third of its time, and is one message', async () => {
  answerAfter(['never', 0])
  const producer = await started()
  const receipt = await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  expect(arrivals).toHaveLength(2)
  expect(arrivals[1]).toBeGreaterThanOrEqual(1_000)
  expect(arrivals[1]).toBeLessThan(1_050)
  expect([...stored]).toEqual([receipt.messageId])
  expect(receipt.duplicate).toBe(true)
})

test('an ordered send is repeated to its own queue however many answers are lost', async () => {
  const other = new FakeBroker(w, 'other', 9877)
  await w.clock.run(other.start())
  fake.routes = { b: fake.address, other: other.address }
  answerAfter([])
  other.on(SEND, () => undefined)
  const producer = await started()
  for (const orderBy of ['a', 'b', 'c', 'd', 'e']) {
    const sending = producer.send({ topic: 't', body: 'x', orderBy })
    sending.catch(() => undefined)
    await w.clock.advance(3_100)
  }
  for (const broker of [fake, other]) {
    const places = new Set(broker.asked(SEND).map((request) => `${idOf(request)} ${request.extFields['e']}`))
    expect(broker.asked(SEND)).toHaveLength(3 * places.size)
    expect(new Set(broker.asked(SEND).map(idOf)).size).toBe(places.size)
  }
})

test('an attempt that was given up is still listened to: its late answer is the receipt', async () => {
  answerAfter([1_500, 'never', 'never'])
  const producer = await started()
  const before = w.clock.monotonic()
  const receipt = await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  expect(w.clock.monotonic() - before).toBeLessThan(1_550)
  expect(receipt).toMatchObject({ brokerName: 'b', duplicate: false })
})

test('what is said late to an attempt that was given up neither fails nor repeats the send', async () => {
  answerAfter([1_200, 500], [{ code: 13, remark: 'illegal' }])
  const producer = await started()
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).resolves.toMatchObject({ duplicate: true })
  expect(arrivals).toHaveLength(2)
})

test('a broker that never answers is asked three times, and the send ends with its time', async () => {
  answerAfter([])
  const producer = await started()
  const before = w.clock.monotonic()
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  const tookMs = w.clock.monotonic() - before
  expect(tookMs).toBeGreaterThanOrEqual(2_990)
  expect(tookMs).toBeLessThan(3_010)
  expect([arrivals.length, stored.size]).toEqual([3, 1])
})

test('without retries one attempt has the whole time, and a one-way message is sent once', async () => {
  answerAfter([2_900])
  const producer = await started({ retriesMax: 0 })
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).resolves.toBeDefined()
  producer.sendOneway({ topic: 't', body: 'y' })
  await w.clock.advance(5_000)
  expect(arrivals).toHaveLength(2)
})

test('sends that stand in line at a slow broker are not repeated', async () => {
  let free = 0
  fake.on(SEND, (request, connection) => {
    free = Math.max(free, w.clock.monotonic()) + 25
    w.clock.setTimer(free - w.clock.monotonic(), () => connection.reply(request, fake.stored(request)))
    return undefined
  })
  const producer = await started()
  const sends = Array.from({ length: 100 }, (_, n) => producer.send({ topic: 't', body: String(n) }))
  await w.clock.run(Promise.all(sends))
  expect(fake.asked(SEND)).toHaveLength(100)
})

test('one lost answer among many that arrive is the only one repeated', async () => {
  const begun = new Set<string>()
  fake.on(SEND, (request) => {
    const isLost = request.body.toString() === '7' && !begun.has(idOf(request))
    begun.add(idOf(request))
    return isLost ? undefined : fake.stored(request)
  })
  const producer = await started()
  const sends: Promise<unknown>[] = []
  for (let n = 0; n < 40; n++) {
    sends.push(producer.send({ topic: 't', body: String(n) }))
    await w.clock.advance(50)
  }
  await w.clock.run(Promise.all(sends))
  const repeated = fake.asked(SEND).map(({ body }) => body.toString())
  expect([repeated.length, repeated.filter((body) => body === '7').length]).toEqual([41, 2])
})

test('batches and half messages are repeated alike', async () => {
  const producer = await started()
  answerAfter(['never', 0], [], BATCH)
  await w.clock.run(producer.sendAll(['1', '2'].map((body) => ({ topic: 't', body }))))
  const [first, second] = fake.asked(BATCH)
  expect(second?.body).toEqual(first?.body)
  arrivals = []
  answerAfter(['never', 0])
  const transactions = new TransactionProducer({
    ...{ ...w, nameServers: fake.address, group: 'tx' },
    check: () => Promise.resolve('unknown'),
  })
  await w.clock.run(transactions.start())
  const prepared = await w.clock.run(transactions.prepare({ topic: 't', body: 'half' }))
  expect(fake.asked(SEND).map(idOf)).toEqual([prepared.messageId, prepared.messageId])
  expect(prepared.duplicate).toBe(true)
})

test('attemptTimeoutMs bounds every attempt but the last', async () => {
  answerAfter(['never', 'never', 2_000])
  const producer = await started({ attemptTimeoutMs: 200 })
  await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  const [first = 0, second = 0, third = 0] = arrivals
  expect([Math.round((second - first) / 10), Math.round((third - second) / 10)]).toEqual([20, 20])
  expect(() => new Producer({ nameServers: 'h:1', group: 'p', attemptTimeoutMs: 0 })).toThrow(/OPTION_INVALID/)
})

test('an attempt has an equal part of the time, at least 500 ms and at most the bound; the last one all', () => {
  expect(attemptMs(3_000, 2, 3_000)).toBe(1_000)
  expect(attemptMs(900, 2, 3_000)).toBe(500)
  expect(attemptMs(30_000, 2, 3_000)).toBe(3_000)
  expect(attemptMs(30_000, 0, 3_000)).toBe(30_000)
})
