import { decodeProperties, type RemotingCommand, RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, recordOf, serveQueue, type World, world } from '../../../../test/kit/fake-broker.ts'
import { startedConsumer, startedProducer } from '../clients-test-kit.ts'
import type { PushConsumerOptions } from '../consumer/push-consumer-options.ts'
import type { MessageHandler } from '../consumer/subscription.ts'
import type { ProducerOptions } from '../producer/producer-options.ts'
import { Producer } from '../producer/producer.ts'
import type { ClientHook, ConsumeEvent, SendEvent } from './hooks.ts'

let w: World
let fake: FakeBroker
let calls: string[]

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  fake.queues = 1
  calls = []
  await w.clock.run(fake.start())
})

const producer = (options: Partial<ProducerOptions>) => startedProducer(fake, options)
const consumer = (handler: MessageHandler, options: Partial<PushConsumerOptions>) =>
  startedConsumer(fake, handler, options)

const named = (name: string): ClientHook => ({
  beforeSend: (event) => void calls.push(`${name} before ${event.kind}`),
  afterSend: (event) => void calls.push(`${name} after ${event.error === undefined ? 'stored' : 'failed'}`),
  beforeConsume: (event) => void calls.push(`${name} before ${event.message.text()}`),
  afterConsume: (event) => void calls.push(`${name} after ${event.message.text()} ${event.succeeded}`),
})

const propertiesOf = (request: RemotingCommand): Record<string, string> =>
  decodeProperties(Buffer.from(request.extFields['i'] ?? ''))

test('before hooks run in the order of the list and after hooks in the opposite one', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, (request) => fake.stored(request))
  const sender = await producer({ hooks: [named('a'), named('b')] })
  await w.clock.run(sender.send({ topic: 't', body: 'x', orderBy: 'k' }))
  expect(calls).toEqual(['a before ordered', 'b before ordered', 'b after stored', 'a after stored'])
})

test('a hook may add a property to a message, and the message of the caller stays as it was', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, (request) => fake.stored(request))
  const seen: SendEvent[] = []
  const hook: ClientHook = {
    beforeSend: (event) => void (event.message.properties['traceparent'] = '00-1-2-01'),
    afterSend: (event) => void seen.push(event),
  }
  const sender = await producer({ hooks: [hook] })
  const message = { topic: 't', body: { a: 1 }, properties: { own: '1' } }
  const receipt = await w.clock.run(sender.send(message))
  const sent = fake.asked(RequestCode.SEND_MESSAGE_V2)[0] as RemotingCommand
  expect(propertiesOf(sent)).toMatchObject({ own: '1', traceparent: '00-1-2-01' })
  expect(message.properties).toEqual({ own: '1' })
  expect(seen[0]).toMatchObject({ bodyBytes: 7, messageId: receipt.messageId, receipt, error: undefined })
})

test('a hook that throws is passed over: the message is sent, handled and committed, and the other hooks are called', async () => {
  const warnings: string[] = []
  const logger = { debug() {}, info() {}, warn: (text: string) => void warnings.push(text), error() {} }
  const fail = (): never => {
    throw new Error('broken hook')
  }
  const broken = { beforeSend: fail, afterSend: fail, beforeConsume: fail, afterConsume: fail }
  const asynchronous: ClientHook = { beforeSend: () => Promise.reject(new Error('late')) as unknown as void }
  fake.on(RequestCode.SEND_MESSAGE_V2, (request) => fake.stored(request))
  const sender = await producer({ logger, hooks: [broken, named('a'), asynchronous] })
  await w.clock.run(sender.send({ topic: 't', body: 'x' }))
  const { committed } = serveQueue(fake, 't', [recordOf({ topic: 't', queueOffset: 0, body: 'm' })])
  const member = await consumer(() => undefined, { logger, hooks: [broken, named('a')] })
  await w.clock.advance(2_000)
  expect(calls).toEqual(['a before normal', 'a after stored', 'a before m', 'a after m true'])
  expect(committed.get('t/0')?.at(-1)).toBe(1)
  expect(warnings.filter((text) => text.includes('broken hook') || text.includes('late'))).toHaveLength(5)
  await w.clock.run(member.close())
})

test('a failed send tells its hooks the error, once, after all attempts', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 2, remark: 'busy' }))
  const errors: unknown[] = []
  const sender = await producer({ hooks: [{ afterSend: (event) => void errors.push(event.error) }] })
  await expect(w.clock.run(sender.send({ topic: 't', body: 'x' }))).rejects.toMatchObject({ code: 'SYSTEM_BUSY' })
  await expect(w.clock.run(sender.send({ topic: 't', body: '' }))).rejects.toMatchObject({ code: 'MESSAGE_ILLEGAL' })
  expect(errors).toMatchObject([{ code: 'SYSTEM_BUSY' }, { code: 'MESSAGE_ILLEGAL' }])
})

test('each member of a batch has its own pair of calls, also when the batch is refused before or while it is sent', async () => {
  fake.on(RequestCode.SEND_BATCH_MESSAGE, (request) => fake.stored(request))
  const sender = await producer({ hooks: [named('a')] })
  const bodies = (...texts: string[]) => texts.map((body) => ({ topic: 't', body }))
  await w.clock.run(sender.sendAll(bodies('1', '2')))
  expect(calls.splice(0)).toEqual(['a before normal', 'a before normal', 'a after stored', 'a after stored'])
  await expect(w.clock.run(sender.sendAll(bodies('1', '')))).rejects.toMatchObject({ code: 'MESSAGE_ILLEGAL' })
  expect(calls.splice(0)).toEqual(['a before normal', 'a before normal', 'a after failed', 'a after failed'])
  fake.on(RequestCode.SEND_BATCH_MESSAGE, () => ({ code: 13 }))
  await expect(w.clock.run(sender.sendAll(bodies('1', '2')))).rejects.toMatchObject({ code: 'MESSAGE_ILLEGAL' })
  expect(calls.splice(0)).toEqual(['a before normal', 'a before normal', 'a after failed', 'a after failed'])
})

test('when a part of a batch that is one message fails, its hooks and those of what follows are called once', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 13 }))
  const sender = await producer({ hooks: [named('a')], bodyBytesMax: 1_000 })
  const messages = ['1', '2'].map((name) => ({ topic: 't', body: name.repeat(900) }))
  await expect(w.clock.run(sender.sendAll(messages))).rejects.toMatchObject({ code: 'MESSAGE_ILLEGAL' })
  expect(calls).toEqual(['a before normal', 'a before normal', 'a after failed', 'a after failed'])
})

test('the hooks of a handler see how it ended before the broker hears of it, and nothing of what the filter kept away', async () => {
  const texts = ['good', 'bad', 'filtered']
  const records = texts.map((body, queueOffset) => recordOf({ topic: 't', queueOffset, body }))
  const { committed } = serveQueue(fake, 't', records)
  fake.on(RequestCode.CONSUMER_SEND_MSG_BACK, () => {
    calls.push('given back')
    return { code: 0 }
  })
  const seen: ConsumeEvent[] = []
  const hooks: ClientHook[] = [named('a'), { afterConsume: (event) => void seen.push(event) }]
  const handler: MessageHandler = async (message) => {
    if (message.text() === 'bad') throw new Error('no amount')
  }
  const filter: PushConsumerOptions['filter'] = (message) => message.text() !== 'filtered'
  const member = await consumer(handler, { hooks, filter, concurrencyMax: 1 })
  await w.clock.advance(2_000)
  // Filtered is consumed.
  expect(committed.get('t/0')?.at(-1)).toBe(3)
  const expected = ['a before good', 'a after good true', 'a before bad', 'a after bad false', 'given back']
  expect(calls).toEqual(expected)
  expect(seen.map(({ error }) => (error as Error | undefined)?.message)).toEqual([undefined, 'no amount'])
  await w.clock.run(member.close())
})

test('hooks and traces that cannot be are refused', () => {
  const make = (options: object) => () => new Producer({ ...w, nameServers: fake.address, group: 'p', ...options })
  expect(make({ hooks: ['x'] })).toThrow(/OPTION_INVALID/)
  expect(make({ hooks: {} })).toThrow(/OPTION_INVALID/)
  expect(make({ trace: 7 })).toThrow(/OPTION_INVALID/)
  expect(make({ trace: 'no topic' })).toThrow(/TOPIC_NAME_INVALID/)
  expect(make({ compressLevel: 12 })).toThrow(/OPTION_INVALID/)
})

test('a filter that throws lets the message pass: handled once too often is harmless, never is not', async () => {
  serveQueue(fake, 't', [recordOf({ topic: 't', queueOffset: 0, body: 'm' })])
  const filter = (): never => {
    throw new Error('broken filter')
  }
  const member = await consumer((message) => void calls.push(message.text()), { filter })
  await w.clock.advance(1_000)
  expect(calls).toEqual(['m'])
  await w.clock.run(member.close())
})

test('a request nobody replies to fails in time, while its hooks see that it was stored', async () => {
  fake.on(RequestCode.SEND_MESSAGE_V2, (request) => fake.stored(request))
  const events: string[] = []
  const sender = await producer({
    hooks: [{ afterSend: ({ kind, error }) => void events.push(`${kind} ${String(error)}`) }],
  })
  const asking = sender.request({ topic: 't', body: 'x' }, { timeoutMs: 500 })
  await expect(w.clock.run(asking)).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  // The message was stored, so its hooks saw no error; only the answer of its consumer did not come.
  expect(events).toEqual(['request undefined'])
})
