import { decodeProperties, type RemotingCommand, RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, type World, world } from '../../../../test/kit/fake-broker.ts'
import { startedProducer } from '../clients-test-kit.ts'
import type { ProducerOptions } from './producer-options.ts'
import { Producer } from './producer.ts'

let w: World
let fake: FakeBroker

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  await w.clock.run(fake.start())
})

const started = (options?: Partial<ProducerOptions>): Promise<Producer> => startedProducer(fake, options)

const idOf = (request: RemotingCommand): string | undefined =>
  decodeProperties(Buffer.from(request.extFields['i'] ?? ''))['UNIQ_KEY']

test('a send that fails in a retryable way is repeated with the same message id to the same queue', async () => {
  let calls = 0
  fake.on(RequestCode.SEND_MESSAGE_V2, (request) => (++calls < 2 ? { code: 2, remark: 'busy' } : fake.stored(request)))
  const producer = await started()
  const receipt = await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  const [first, second] = fake.asked(RequestCode.SEND_MESSAGE_V2)
  expect(calls).toBe(2)
  expect(idOf(second as RemotingCommand)).toBe(idOf(first as RemotingCommand))
  expect(second?.extFields['e']).toBe(first?.extFields['e'])
  expect(receipt.messageId).toBe(idOf(first as RemotingCommand))
})

test('a refusal that a repeat cannot cure is not repeated', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 13, remark: 'illegal' }))
  const producer = await started()
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({
    code: 'MESSAGE_ILLEGAL',
    retryable: false,
  })
  expect(fake.asked(RequestCode.SEND_MESSAGE_V2)).toHaveLength(1)
})

test('a send is tried three times and then fails with what the broker said', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 2, remark: '[OVERLOAD] wait' }))
  const producer = await started()
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({
    code: 'SYSTEM_BUSY',
    retryable: true,
    message: expect.stringContaining('[OVERLOAD] wait'),
  })
  expect(fake.asked(RequestCode.SEND_MESSAGE_V2)).toHaveLength(3)
})

test('the third attempt goes to another broker', async () => {
  const other = new FakeBroker(w, 'other', 9877)
  await w.clock.run(other.start())
  fake.routes = { b: fake.address, other: other.address }
  fake.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 14 }))
  other.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 14 }))
  const producer = await started()
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({
    code: 'SERVICE_NOT_AVAILABLE',
  })
  const counts = [fake, other].map((broker) => broker.asked(RequestCode.SEND_MESSAGE_V2).length)
  expect(counts.toSorted()).toEqual([1, 2])
})

test('a send without an answer fails when its time is over, not later', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, () => undefined)
  const producer = await started()
  const before = w.clock.monotonic()
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  expect(w.clock.monotonic() - before).toBeLessThan(3_010)
})

test('an aborted send rejects with the reason as cause', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, () => undefined)
  const producer = await started()
  const abort = new AbortController()
  const sending = producer.send({ topic: 't', body: 'x' }, { signal: abort.signal })
  sending.catch(() => undefined)
  await w.clock.advance(10)
  const reason = new Error('no longer wanted')
  abort.abort(reason)
  await expect(sending).rejects.toMatchObject({ code: 'ABORTED', cause: reason })
  expect(producer.inFlight).toBe(0)
})

test('close waits for sends under way and refuses new ones', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, (request, connection) => {
    w.clock.setTimer(500, () => connection.reply(request, fake.stored(request)))
    return undefined
  })
  const producer = await started()
  const sending = producer.send({ topic: 't', body: 'x' })
  const closing = producer.close()
  await expect(producer.send({ topic: 't', body: 'y' })).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(w.clock.run(sending)).resolves.toMatchObject({ queueOffset: 5n })
  await w.clock.run(closing)
  expect(fake.asked(RequestCode.UNREGISTER_CLIENT).map((request) => request.extFields['producerGroup'])).toEqual(['p'])
})

test('close gives up on sends that do not end within drainTimeoutMs', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, () => undefined)
  const producer = await started({ drainTimeoutMs: 100, sendTimeoutMs: 60_000 })
  const sending = producer.send({ topic: 't', body: 'x' })
  sending.catch(() => undefined)
  await w.clock.run(producer.close(), 1_000)
  await expect(sending).rejects.toMatchObject({ code: 'CLOSED' })
})

test('a topic that does not exist is sent by the template, with at most four queues', async () => {
  fake.queues = 8
  fake.on(RequestCode.GET_ROUTEINFO_BY_TOPIC, (request) =>
    request.extFields['topic'] === 'TBW102' ? { code: 0, body: Buffer.from(fake.routeJson()) } : { code: 17 },
  )
  const producer = await started()
  for (let n = 0; n < 12; n++) await w.clock.run(producer.send({ topic: 'fresh', body: 'x' }))
  const sent = fake.asked(RequestCode.SEND_MESSAGE_V2)
  expect(new Set(sent.map((request) => request.extFields['e']))).toEqual(new Set(['0', '1', '2', '3']))
  expect(sent[0]?.extFields).toMatchObject({ b: 'fresh', c: 'TBW102', d: '4' })
})

test('a name server that is down is passed over', async () => {
  const producer = await started({ nameServers: `127.0.0.1:1;${fake.address};127.0.0.1:2` })
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).resolves.toBeDefined()
})

test('start does not fail without a cluster, and sends work once it is there', async () => {
  await w.clock.run(fake.close())
  const producer = await started()
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({
    code: 'CONNECT_FAILED',
    retryable: true,
  })
  const back = new FakeBroker(w)
  await w.clock.run(back.start())
  await expect(w.clock.run(producer.send({ topic: 't', body: 'x' }))).resolves.toBeDefined()
  expect(back.members).toEqual([producer.clientId])
})

test('after a lost connection the client comes back by itself and registers before anything else', async () => {
  const producer = await started()
  await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  for (const connection of fake.connections) connection.destroy()
  fake.requests.length = 0
  await w.clock.advance(1_000)
  expect(fake.requests.map((request) => request.code)).toEqual([RequestCode.HEART_BEAT])
  await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  expect(fake.requests.at(-1)?.code).toBe(RequestCode.SEND_MESSAGE_V2)
})

test('the group is told to the broker every 30 seconds', async () => {
  await started()
  fake.requests.length = 0
  await w.clock.advance(91_000)
  expect(fake.asked(RequestCode.HEART_BEAT)).toHaveLength(3)
})

test('a stock broker that took a cancellation is believed, and one whose time has passed said so by 604', async () => {
  const producer = await started()
  const receipt = { ...(await w.clock.run(producer.send({ topic: 't', body: 'x', delayMs: 9 }))), recallHandle: 'h' }
  fake.on(RequestCode.RECALL_MESSAGE, () => ({ code: 0, extFields: { msgId: 'x' } }))
  expect(await w.clock.run(producer.cancel(receipt))).toBe('cancelled')
  fake.on(RequestCode.RECALL_MESSAGE, () => ({ code: 604 }))
  expect(await w.clock.run(producer.cancel(receipt))).toBe('fired')
  fake.on(RequestCode.RECALL_MESSAGE, () => ({ code: 0, extFields: { outcome: 'unknown' } }))
  expect(await w.clock.run(producer.cancel(receipt))).toBe('unknown')
  await expect(producer.cancel({ ...receipt, recallHandle: undefined })).rejects.toMatchObject({
    code: 'INVALID_PARAMETER',
  })
})

test('wrong input is refused with its code before anything is sent', async () => {
  const producer = await started()
  const refused = async (message: object, code: string): Promise<void> =>
    expect(producer.send({ topic: 't', body: 'x', ...message })).rejects.toMatchObject({ code, retryable: false })
  await refused({ topic: 'with space' }, 'TOPIC_NAME_INVALID')
  await refused({ body: '' }, 'MESSAGE_ILLEGAL')
  await refused({ body: undefined }, 'MESSAGE_ILLEGAL')
  await refused({ properties: { UNIQ_KEY: 'mine' } }, 'MESSAGE_ILLEGAL')
  await refused({ properties: { a: 'b\u0001c' } }, 'MESSAGE_ILLEGAL')
  await refused({ properties: { a: 'x'.repeat(33_000) } }, 'MESSAGE_ILLEGAL')
  await refused({ delayMs: 1, delayLevel: 1 }, 'MESSAGE_ILLEGAL')
  await refused({ delayMs: Number.NaN }, 'MESSAGE_ILLEGAL')
  await refused({ deliverAt: new Date(Number.NaN) }, 'MESSAGE_ILLEGAL')
  expect(fake.asked(RequestCode.SEND_MESSAGE_V2)).toEqual([])
  expect(() => new Producer({ nameServers: '', group: 'p' })).toThrow(/OPTION_INVALID/)
  expect(() => new Producer({ nameServers: 'host', group: 'p' })).toThrow(/OPTION_INVALID/)
  expect(() => new Producer({ nameServers: fake.address, group: 'a b' })).toThrow(/GROUP_NAME_INVALID/)
  await expect(new Producer({ nameServers: 'h:1', group: 'p' }).send({ topic: 't', body: 'x' })).rejects.toMatchObject({
    code: 'NOT_STARTED',
  })
})
