import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, type World, world } from '../../../../../test/kit/fake-broker.ts'
import { FakeLeases } from '../../../../../test/kit/fake-leases.ts'
import { startedConsumer } from '../../clients-test-kit.ts'
import { ReconsumeLater, RejectMessage } from '../../message/outcome.ts'
import type { PushConsumerOptions } from '../push-consumer-options.ts'
import { PushConsumer } from '../push-consumer.ts'
import type { MessageHandler } from '../subscription.ts'

let w: World
let fake: FakeBroker
let leases: FakeLeases

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  leases = new FakeLeases(fake, 't')
  await w.clock.run(fake.start())
})

const started = (handler: MessageHandler, options?: Partial<PushConsumerOptions>): Promise<PushConsumer> =>
  startedConsumer(fake, handler, { clientId: 'me', mode: 'lease', invisibleMs: 10_000, ...options })

const after = (ms: number): Promise<void> => new Promise((resolve) => w.clock.setTimer(ms, resolve))
const asked = (code: number, topic = 't') => fake.asked(code).filter(({ extFields }) => extFields['topic'] === topic)

test('what is handled is acknowledged, several messages of a queue in one request', async () => {
  const seen: string[] = []
  await started((message) => void seen.push(message.text()))
  for (let n = 0; n < 20; n++) leases.put(`${n}`, { queueId: n % 2 })
  await w.clock.advance(1_000)
  expect(seen.toSorted()).toEqual(leases.acked.toSorted())
  expect(leases.acked).toHaveLength(20)
  expect(leases.stale).toBe(0)
  const requests = asked(RequestCode.ACK_MESSAGE).length + fake.asked(RequestCode.BATCH_ACK_MESSAGE).length
  expect(requests).toBeLessThan(20)
})

test('one request waits for messages of any queue, as long as the broker may hold it', async () => {
  await started(() => undefined, { holdMs: 5_000 })
  await w.clock.advance(20_000)
  const [first, second] = asked(RequestCode.POP_MESSAGE)
  // That the broker's clock is learnt from.
  expect(first?.extFields).toMatchObject({ pollTime: '0' })
  expect(second?.extFields).toMatchObject({ queueId: '-1', pollTime: '5000', maxMsgNums: '32', invisibleTime: '10000' })
  expect(second?.extFields).toMatchObject({ initMode: '0', order: 'false', exp: '*', expType: 'TAG' })
  expect(asked(RequestCode.POP_MESSAGE).length).toBeLessThan(8)
})

test('a lease is extended while its handler runs, and the newest receipt is acknowledged', async () => {
  leases.put('slow')
  let runs = 0
  await started(async () => {
    runs++
    await after(65_000)
  })
  await w.clock.advance(64_000)
  expect(asked(RequestCode.CHANGE_MESSAGE_INVISIBLETIME).length).toBeGreaterThan(5)
  expect(leases.visible()).toEqual([])
  await w.clock.advance(5_000)
  expect(runs).toBe(1)
  expect(leases.acked).toEqual(['slow'])
  expect(leases.stale).toBe(0)
})

test('messages that wait for a free handler keep their leases', async () => {
  for (let n = 0; n < 6; n++) leases.put(`${n}`)
  const seen: string[] = []
  await started(
    async (message) => {
      seen.push(message.text())
      await after(8_000)
    },
    { concurrencyMax: 1 },
  )
  await w.clock.advance(60_000)
  expect(seen).toEqual(['0', '1', '2', '3', '4', '5'])
  expect(leases.acked).toEqual(seen)
})

test('an acknowledgement waits for the extension under way, whose receipt counts', async () => {
  leases.put('x')
  let release = (): void => undefined
  const change = fake.scripts.get(RequestCode.CHANGE_MESSAGE_INVISIBLETIME)
  fake.on(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, (request, connection) => {
    const answer = change?.(request, connection)
    // The handler ends while the answer is on its way.
    release()
    w.clock.setTimer(500, () => answer !== undefined && connection.reply(request, answer))
    return undefined
  })
  await started(() => new Promise<void>((resolve) => (release = resolve)))
  await w.clock.advance(8_000)
  expect(leases.acked).toEqual(['x'])
  expect(leases.stale).toBe(0)
})

test('a broker without batches gets single acknowledgements, and is asked for a batch once', async () => {
  leases.isBatchKnown = false
  for (let n = 0; n < 50; n++) leases.put(`${n}`)
  await started(() => undefined)
  await w.clock.advance(1_000)
  expect(leases.acked).toHaveLength(50)
  expect(fake.asked(RequestCode.BATCH_ACK_MESSAGE)).toHaveLength(1)
})

test('an acknowledgement that fails is repeated while the lease lives', async () => {
  leases.put('x')
  const ack = fake.scripts.get(RequestCode.ACK_MESSAGE)
  let failures = 0
  fake.on(RequestCode.ACK_MESSAGE, (request, connection) =>
    failures++ < 3 ? { code: 1, remark: 'not now' } : ack?.(request, connection),
  )
  await started(() => undefined)
  await w.clock.advance(5_000)
  expect(leases.acked).toEqual(['x'])
})

test('ReconsumeLater makes the message invisible for exactly that time', async () => {
  leases.put('x')
  const seen: [number, number][] = []
  await started((message) => {
    seen.push([w.clock.now(), message.attempt])
    if (message.attempt === 1) throw new ReconsumeLater({ delayMs: 3_000 })
  })
  await w.clock.advance(10_000)
  expect(seen.map(([, attempt]) => attempt)).toEqual([1, 2])
  const waited = (seen[1]?.[0] ?? 0) - (seen[0]?.[0] ?? 0)
  expect(waited).toBeGreaterThanOrEqual(3_000)
  expect(waited).toBeLessThan(3_100)
  expect(leases.acked).toEqual(['x'])
})

test('a failing message comes again after growing pauses and is a dead letter after attemptsMax', async () => {
  leases.put('x')
  const at: number[] = []
  await started(
    () => {
      at.push(w.clock.now())
      throw new Error('broken')
    },
    { attemptsMax: 3 },
  )
  await w.clock.advance(120_000)
  const pauses = at.slice(1).map((time, n) => Math.round((time - (at[n] ?? 0)) / 1_000))
  expect(pauses).toEqual([10, 30])
  const [dead] = fake.asked(RequestCode.SEND_MESSAGE_V2)
  expect(dead?.extFields).toMatchObject({ b: '%RETRY%g', j: '3', l: '2' })
  expect(leases.acked).toEqual(['x'])
})

test('RejectMessage is a dead letter with its reason first, and acknowledged then', async () => {
  leases.put('x', { tag: 'a' })
  await started(() => {
    throw new RejectMessage('no amount')
  })
  await w.clock.advance(1_000)
  const [dead] = fake.asked(RequestCode.SEND_MESSAGE_V2)
  expect(dead?.extFields).toMatchObject({ b: '%RETRY%g', j: '1', l: '0' })
  expect(dead?.extFields['i']?.split('\u0002')).toEqual(
    expect.arrayContaining(['UNIQ_KEY\u0001id-x', 'RETRY_TOPIC\u0001t', 'DLQ_REASON\u0001no amount', 'TAGS\u0001a']),
  )
  const codes = fake.requests.map(({ code }) => code)
  expect(codes.indexOf(RequestCode.ACK_MESSAGE)).toBeGreaterThan(codes.indexOf(RequestCode.SEND_MESSAGE_V2))
  expect(leases.acked).toEqual(['x'])
})

test('a message that cannot become a dead letter is not acknowledged and comes again', async () => {
  leases.put('x')
  fake.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 14 }))
  let calls = 0
  await started(() => {
    calls++
    throw new RejectMessage('no')
  })
  await w.clock.advance(25_000)
  expect(leases.acked).toEqual([])
  expect(calls).toBeGreaterThan(1)
})

test.each([
  [4, 'handled', {}, 1, 0],
  [5, 'a dead letter', {}, 0, 1],
  [5, 'handled if the first time it may not have reached a handler', { TANDEM_FIRST_UNSEEN: 'true' }, 1, 0],
  [6, 'a dead letter in any case', { TANDEM_FIRST_UNSEEN: 'true' }, 0, 1],
])(
  'of 5 attempts, a message delivered %d times without an end is %s',
  async (attempts, _what, properties, handled, dead) => {
    leases.put('poison', { properties })
    const [message] = leases.messages
    if (message !== undefined) message.attempts = attempts
    let calls = 0
    await started(() => void calls++, { attemptsMax: 5 })
    await w.clock.advance(1_000)
    expect(calls).toBe(handled)
    expect(fake.asked(RequestCode.SEND_MESSAGE_V2)).toHaveLength(dead)
    expect(leases.acked).toEqual(['poison'])
  },
)

test('a failed handler is told to the broker as an attempt that began', async () => {
  leases.put('a')
  await started(() => {
    throw new Error('no')
  })
  await w.clock.advance(1_000)
  const [hidden] = asked(RequestCode.CHANGE_MESSAGE_INVISIBLETIME)
  expect(hidden?.extFields).toMatchObject({ begun: 'true', byPolicy: 'true' })
})

test('close hands back at once what no handler has begun, and what the last ones do not finish', async () => {
  for (let n = 0; n < 5; n++) leases.put(`${n}`)
  const consumer = await started(() => new Promise(() => undefined), { concurrencyMax: 2, drainTimeoutMs: 3_000 })
  await w.clock.advance(100)
  expect(leases.visible()).toEqual([])
  const closing = consumer.close()
  await w.clock.advance(100)
  expect(leases.visible()).toEqual(['2', '3', '4'])
  await w.clock.advance(4_000)
  await closing
  expect(leases.visible()).toEqual(['0', '1', '2', '3', '4'])
})

test('messages that arrive for a closing consumer are handed back at once', async () => {
  leases.put('running')
  const consumer = await started(() => after(5_000))
  await w.clock.advance(100)
  const closing = consumer.close()
  await w.clock.advance(100)
  leases.put('late')
  await w.clock.advance(100)
  expect(leases.visible()).toEqual(['late'])
  await w.clock.advance(6_000)
  await closing
  expect(leases.acked).toEqual(['running'])
})

test('a lease that cannot be extended aborts the handler, and its acknowledgement harms nobody', async () => {
  leases.put('x')
  fake.on(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, () => ({ code: 208, remark: 'gone' }))
  let reason: unknown
  await started(async (_, { signal }) => {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    reason = signal.reason
  })
  await w.clock.advance(12_000)
  expect(reason).toMatchObject({ code: 'LEASE_LOST' })
})

test('no more is asked for than fits, and asking goes on when there is room', async () => {
  for (let n = 0; n < 40; n++) leases.put(`${n}`)
  const waiting: (() => void)[] = []
  const consumer = await started(() => new Promise<void>((resolve) => waiting.push(resolve)), {
    concurrencyMax: 2,
    totalMessagesMax: 6,
  })
  await w.clock.advance(1_000)
  expect(consumer.stats()).toMatchObject({ cachedMessages: 6, runningHandlers: 2 })
  expect(asked(RequestCode.POP_MESSAGE)).toHaveLength(1)
  expect(asked(RequestCode.POP_MESSAGE)[0]?.extFields['maxMsgNums']).toBe('6')
  while (waiting.length > 0) {
    for (const resolve of waiting.splice(0)) resolve()
    await w.clock.advance(100)
    expect(consumer.stats().cachedMessages).toBeLessThanOrEqual(6)
  }
  expect(leases.acked).toHaveLength(40)
  expect(consumer.stats()).toMatchObject({ cachedMessages: 0, cachedBytes: 0, consumed: 40 })
})

test('a full broker is asked again after about 3 s, a throttling one soon, a silent one with growing pauses', async () => {
  const at = new Map<number, number[]>()
  const scripted = [209, 209, 215, 1, 1, 1, 1]
  fake.on(RequestCode.POP_MESSAGE, (request) => {
    if (request.extFields['topic'] !== 't') return undefined
    const code = scripted.shift()
    if (code === undefined) return undefined
    at.set(code, [...(at.get(code) ?? []), w.clock.now()])
    return { code, extFields: { popTime: 0, invisibleTime: 0, reviveQid: 0, restNum: 0 } }
  })
  await started(() => undefined)
  await w.clock.advance(30_000)
  const [full = 0, again = 0] = at.get(209) ?? []
  expect(again - full).toBeGreaterThanOrEqual(1_500)
  expect(again - full).toBeLessThan(4_600)
  const errors = at.get(1) ?? []
  expect((errors[0] ?? 0) - (at.get(215)?.[0] ?? 0)).toBeLessThan(40)
  const pauses = errors.slice(1).map((time, n) => time - (errors[n] ?? 0))
  expect(pauses[0]).toBeGreaterThanOrEqual(100)
  expect(pauses[2] ?? 0).toBeGreaterThan(pauses[0] ?? 0)
})

test('a lost answer is asked for again under the same attempt id, an answered one under a new one', async () => {
  let isLost = true
  const pop = fake.scripts.get(RequestCode.POP_MESSAGE)
  fake.on(RequestCode.POP_MESSAGE, (request, connection) => {
    if (request.extFields['topic'] !== 't' || !isLost) return pop?.(request, connection)
    isLost = false
    connection.destroy(new Error('cut'))
    return undefined
  })
  leases.put('x')
  await started(() => undefined, { holdMs: 1_000 })
  await w.clock.advance(5_000)
  const ids = asked(RequestCode.POP_MESSAGE).map(({ extFields }) => extFields['attemptId'])
  expect(ids[0]).toBe(ids[1])
  expect(new Set(ids).size).toBe(ids.length - 1)
  expect(leases.acked).toEqual(['x'])
})

test('a clock that is wrong does not keep the broker from holding requests', async () => {
  fake.on(RequestCode.POP_MESSAGE, ({ extFields }) => ({
    code: 210,
    extFields: { popTime: Math.floor(w.clock.now()) + 60_000, invisibleTime: extFields['invisibleTime'], reviveQid: 0 },
  }))
  await started(() => undefined)
  await w.clock.advance(1_000)
  const last = asked(RequestCode.POP_MESSAGE).at(-1)
  expect(Number(last?.extFields['bornTime']) - w.clock.now()).toBeGreaterThan(58_000)
})

test('filtered messages count as consumed and reach no handler, and a filter that throws lets them pass', async () => {
  leases.put('no')
  leases.put('yes')
  leases.put('broken')
  const seen: string[] = []
  await started((message) => void seen.push(message.text()), {
    filter: (message) => {
      if (message.text() === 'broken') throw new Error('filter')
      return message.text() === 'yes'
    },
  })
  await w.clock.advance(1_000)
  expect(seen).toEqual(['yes', 'broken'])
  expect(leases.acked.toSorted()).toEqual(['broken', 'no', 'yes'])
})

test('ordered: one message of a queue at a time, a failing one again in place, other queues go on', async () => {
  for (let n = 0; n < 4; n++) leases.put(`a${n}`, { queueId: 0 })
  for (let n = 0; n < 4; n++) leases.put(`b${n}`, { queueId: 1 })
  const seen: string[] = []
  const attempts: number[] = []
  let running = 0
  let most = 0
  await started(
    async (message) => {
      const body = message.text()
      if (body.startsWith('a')) most = Math.max(most, ++running)
      await after(10)
      if (body.startsWith('a')) running--
      seen.push(body)
      if (body === 'a1') attempts.push(message.attempt)
      if (body === 'a1' && message.attempt < 3) throw new Error('again')
    },
    { ordered: true, orderedRetryMs: 1_000 },
  )
  await w.clock.advance(5_000)
  expect(most).toBe(1)
  expect(attempts).toEqual([1, 2, 3])
  expect(seen.filter((body) => body.startsWith('a'))).toEqual(['a0', 'a1', 'a1', 'a1', 'a2', 'a3'])
  expect(seen.indexOf('b3')).toBeLessThan(seen.lastIndexOf('a1'))
  expect(asked(RequestCode.POP_MESSAGE)[0]?.extFields['order']).toBe('true')
  expect(leases.acked).toHaveLength(8)
})

test('ordered is what the group is configured as, unless the option says otherwise', async () => {
  fake.on(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, () => ({
    code: 0,
    body: Buffer.from('{"groupName":"g","consumeMessageOrderly":true}'),
  }))
  const open = await started(() => undefined)
  await w.clock.advance(10)
  const first = asked(RequestCode.POP_MESSAGE)[0]?.extFields['order']
  await w.clock.run(open.close())
  fake.requests.length = 0
  await started(() => undefined, { ordered: false })
  await w.clock.advance(100)
  expect([first, asked(RequestCode.POP_MESSAGE)[0]?.extFields['order']]).toEqual(['true', 'false'])
})

test('a group that starts at the end gets its position in every queue before it asks for messages', async () => {
  const committed: string[] = []
  fake
    .on(RequestCode.QUERY_CONSUMER_OFFSET, () => ({ code: 22 }))
    .on(RequestCode.GET_MAX_OFFSET, () => ({ code: 0, extFields: { offset: 7 } }))
    .on(RequestCode.UPDATE_CONSUMER_OFFSET, ({ extFields }) => {
      committed.push(`${extFields['topic']} ${extFields['queueId']} ${extFields['commitOffset']}`)
      return { code: 0 }
    })
  await started(() => undefined, { startFrom: 'last' })
  await w.clock.advance(10)
  expect(committed).toEqual(['t 0 7', 't 1 7'])
  const codes = fake.requests.filter(({ extFields }) => extFields['topic'] === 't').map(({ code }) => code)
  expect(codes.indexOf(RequestCode.POP_MESSAGE)).toBeGreaterThan(codes.lastIndexOf(RequestCode.UPDATE_CONSUMER_OFFSET))
})

test('a broker that leaves the route is asked no more, one that comes is asked', async () => {
  const other = new FakeBroker(w, 'c', 9877)
  const theirs = new FakeLeases(other, 't')
  await w.clock.run(other.start())
  const consumer = await started(() => undefined, { routeRefreshMs: 1_000, holdMs: 1_000 })
  fake.routes = { b: fake.address, c: other.address }
  theirs.put('from c')
  await w.clock.advance(3_000)
  expect(theirs.acked).toEqual(['from c'])
  fake.routes = { b: fake.address }
  await w.clock.advance(3_000)
  const before = other.asked(RequestCode.POP_MESSAGE).length
  await w.clock.advance(10_000)
  expect(other.asked(RequestCode.POP_MESSAGE)).toHaveLength(before)
  await w.clock.run(consumer.close())
})
