import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, recordOf, serveQueue, type World, world } from '../../../../test/kit/fake-broker.ts'
import { startedConsumer } from '../clients-test-kit.ts'
import { silentLogger } from '../logger.ts'
import type { PushConsumerOptions } from './push-consumer-options.ts'
import { PushConsumer } from './push-consumer.ts'
import type { MessageHandler } from './subscription.ts'

let w: World
let fake: FakeBroker

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  fake.queues = 1
  await w.clock.run(fake.start())
})

const records = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, n) => recordOf({ topic: 't', queueOffset: n, body: `${n}` }))

const started = (handler: MessageHandler, options?: Partial<PushConsumerOptions>): Promise<PushConsumer> =>
  startedConsumer(fake, handler, { clientId: 'me', ...options })

test('nothing is committed beyond a message whose handler has not ended', async () => {
  const { committed } = serveQueue(fake, 't', records(5))
  const release = new Map<string, () => void>()
  await started((message) => new Promise<void>((resolve) => release.set(message.text(), resolve)))
  await w.clock.advance(3_000)
  expect([...release.keys()]).toEqual(['0', '1', '2', '3', '4'])
  expect(Math.max(...(committed.get('t/0') ?? []))).toBe(0)
  release.get('1')?.()
  release.get('2')?.()
  await w.clock.advance(3_000)
  expect(Math.max(...(committed.get('t/0') ?? []))).toBe(0)
  release.get('0')?.()
  await w.clock.advance(3_000)
  expect(committed.get('t/0')?.at(-1)).toBe(3)
})

test('close commits what has ended and leaves the group after that', async () => {
  const { committed } = serveQueue(fake, 't', records(3))
  const consumer = await started((message) =>
    message.text() === '2' ? new Promise(() => undefined) : Promise.resolve(),
  )
  await w.clock.advance(10)
  await w.clock.run(consumer.close())
  expect(committed.get('t/0')?.at(-1)).toBe(2)
  const codes = fake.requests.map((request) => request.code)
  expect(codes.lastIndexOf(RequestCode.UNREGISTER_CLIENT)).toBeGreaterThan(
    codes.lastIndexOf(RequestCode.UPDATE_CONSUMER_OFFSET),
  )
})

test('at most concurrencyMax handlers run at a time, over all queues', async () => {
  fake.queues = 3
  serveQueue(fake, 't', records(20))
  let running = 0
  let most = 0
  let done = 0
  await started(
    async () => {
      most = Math.max(most, ++running)
      await new Promise<void>((resolve) => w.clock.setTimer(5, resolve))
      running--
      done++
    },
    { concurrencyMax: 4 },
  )
  await w.clock.advance(1_000)
  expect(done).toBe(20)
  expect(most).toBe(4)
})

test('pulling pauses while the cache is full and goes on when there is room', async () => {
  const all = records(30)
  serveQueue(fake, 't', all)
  fake.on(RequestCode.PULL_MESSAGE, (request) => {
    if (request.extFields['topic'] !== 't') return undefined
    const offset = Number(request.extFields['queueOffset'])
    const next = Math.min(offset + 5, 30)
    if (offset >= 30) return undefined
    const extFields = { nextBeginOffset: next, minOffset: 0, maxOffset: 30, suggestWhichBrokerId: 0 }
    return { code: 0, extFields, body: Buffer.concat(all.slice(offset, next)) }
  })
  const waiting: (() => void)[] = []
  const consumer = await started(() => new Promise<void>((resolve) => waiting.push(resolve)), { queueMessagesMax: 10 })
  await w.clock.advance(1_000)
  expect(consumer.stats().cachedMessages).toBe(10)
  while (waiting.length > 0) {
    for (const resolve of waiting.splice(0)) resolve()
    await w.clock.advance(10)
    expect(consumer.stats().cachedMessages).toBeLessThan(15)
  }
  expect(consumer.stats()).toMatchObject({ consumed: 30, cachedMessages: 0, cachedBytes: 0 })
})

test('an answer that fills the cache at once is handled, and what comes after it is pulled', async () => {
  const { committed } = serveQueue(fake, 't', records(10))
  const seen: string[] = []
  await started((message) => void seen.push(message.text()), { queueMessagesMax: 1, pullBatchMax: 5 })
  await w.clock.advance(3_000)
  expect(seen).toEqual(Array.from({ length: 10 }, (_, n) => `${n}`))
  expect(committed.get('t/0')?.at(-1)).toBe(10)
})

test('what a handler throws is given back, and when that fails sent to the retry topic under its own id', async () => {
  serveQueue(fake, 't', [recordOf({ topic: 't', queueOffset: 0, properties: { KEYS: 'k' } })])
  fake.on(RequestCode.CONSUMER_SEND_MSG_BACK, () => ({ code: 1, remark: 'no such message' }))
  await started(() => {
    throw new Error('broken')
  })
  await w.clock.advance(2_000)
  const [back] = fake.asked(RequestCode.CONSUMER_SEND_MSG_BACK)
  expect(back?.extFields).toMatchObject({
    offset: '1000',
    group: 'g',
    delayLevel: '0',
    originTopic: 't',
    maxReconsumeTimes: '15',
    reason: 'broken',
  })
  const [retry] = fake.asked(RequestCode.SEND_MESSAGE_V2)
  expect(retry?.extFields).toMatchObject({ b: '%RETRY%g', j: '1', l: '15' })
  expect(retry?.extFields['i']?.split('\u0002')).toEqual(
    expect.arrayContaining(['UNIQ_KEY\u0001id-0', 'KEYS\u0001k', 'RETRY_TOPIC\u0001t', 'DELAY\u00013']),
  )
})

test('a message that can be neither handled nor given back stays, uncommitted, and is handled again', async () => {
  const { committed } = serveQueue(fake, 't', records(1))
  fake.on(RequestCode.CONSUMER_SEND_MSG_BACK, () => ({ code: 1 }))
  fake.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 14 }))
  let calls = 0
  await started(() => {
    if (++calls < 3) throw new Error('broken')
  })
  await w.clock.advance(4_000)
  expect(calls).toBe(1)
  expect(committed.get('t/0')?.at(-1)).toBe(0)
  await w.clock.advance(10_000)
  expect(calls).toBe(3)
  expect(committed.get('t/0')?.at(-1)).toBe(1)
})

test('a broker that does not know the subscription hears it at once, not at the next heartbeat', async () => {
  serveQueue(fake, 't', records(1))
  const pull = fake.scripts.get(RequestCode.PULL_MESSAGE)
  let refusals = 0
  fake.on(RequestCode.PULL_MESSAGE, (request, connection) =>
    request.extFields['topic'] === 't' && refusals++ === 0 ? { code: 24 } : pull?.(request, connection),
  )
  let calls = 0
  await started(() => void calls++)
  await w.clock.advance(1_000)
  const isPull = (code: number, topic: string | undefined): boolean =>
    code === RequestCode.PULL_MESSAGE && topic === 't'
  const pulls = fake.requests.flatMap(({ code, extFields }, at) => (isPull(code, extFields['topic']) ? [at] : []))
  const between = fake.requests.slice(pulls[0], pulls[1]).map((request) => request.code)
  expect(between).toContain(RequestCode.HEART_BEAT)
  expect(calls).toBe(1)
})

test('an offset the broker moved is taken over and committed', async () => {
  const { committed } = serveQueue(fake, 't', records(10))
  committed.set('t/0', [99])
  const pull = fake.scripts.get(RequestCode.PULL_MESSAGE)
  fake.on(RequestCode.PULL_MESSAGE, (request, connection) =>
    request.extFields['queueOffset'] === '99'
      ? { code: 21, extFields: { nextBeginOffset: 4, minOffset: 4, maxOffset: 10, suggestWhichBrokerId: 0 } }
      : pull?.(request, connection),
  )
  const seen: string[] = []
  await started((message) => void seen.push(message.text()))
  await w.clock.advance(2_000)
  expect(seen).toEqual(['4', '5', '6', '7', '8', '9'])
  expect(committed.get('t/0')?.slice(1)).toEqual(expect.arrayContaining([4, 10]))
})

test('no second handler of an ordered queue starts when the lock cannot be renewed', async () => {
  serveQueue(fake, 't', records(100))
  let granted = true
  fake.on(RequestCode.LOCK_BATCH_MQ, (request) => ({
    code: 0,
    body: Buffer.from(
      JSON.stringify({
        lockOKMQSet: granted ? (JSON.parse(request.body.toString()) as { mqSet: unknown[] }).mqSet : [],
      }),
    ),
  }))
  let handled = 0
  await started(
    async () => {
      handled++
      await new Promise<void>((resolve) => w.clock.setTimer(1_000, resolve))
    },
    { ordered: true },
  )
  await w.clock.advance(10_000)
  expect(handled).toBeGreaterThan(8)
  granted = false
  await w.clock.advance(60_000)
  // The last lock was granted at the latest 20 s after the start and is trusted for 30 s.
  expect(handled).toBeLessThan(52)
  const stopped = handled
  granted = true
  await w.clock.advance(21_000)
  expect(handled).toBeGreaterThan(stopped)
})

test('a notice that the group changed is followed by a rebalance at once', async () => {
  serveQueue(fake, 't', [])
  const consumer = await started(() => undefined)
  expect(consumer.stats().queues).toBe(2)
  // 'a' sorts before 'me', so it gets the only queue of each topic.
  fake.members.push('a')
  for (const connection of fake.connections) {
    connection.oneway({ code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, extFields: { consumerGroup: 'g' } })
  }
  await w.clock.advance(50)
  expect(consumer.stats().queues).toBe(0)
})

test('options that cannot be are refused', () => {
  const make = (options: object) => (): PushConsumer => new PushConsumer({ nameServers: 'h:1', group: 'g', ...options })
  expect(make({ mode: 'leases' })).toThrow(/OPTION_INVALID.*leases.*does not exist/)
  expect(make({ mode: 'broadcasting', ordered: true })).toThrow(/OPTION_INVALID.*ordered/)
  expect(make({ invisibleMs: 999 })).toThrow(/OPTION_INVALID.*invisibleMs/)
  expect(make({ allocate: 'AVG' })).toThrow(/OPTION_INVALID.*allocate/)
})

test('a filter that is none is refused when it is given', () => {
  const consumer = new PushConsumer({ ...w, nameServers: fake.address, group: 'g' })
  for (const filter of [{ tags: [] }, { tags: ['a||b'] }, { sql: ' ' }, {}, 'a'] as never[]) {
    expect(() => consumer.subscribe('t', filter, () => undefined)).toThrow(/SUBSCRIPTION_INVALID/)
  }
})

/** A member that shares its queues with another one, and has lost its connection: the other is not listed any more. */
async function reconnected(): Promise<{ consumer: PushConsumer; shared: number }> {
  fake.queues = 4
  fake.members = ['me', 'other']
  serveQueue(fake, 't', [])
  const consumer = await started(() => undefined, { rebalanceIntervalMs: 1_000 })
  await w.clock.advance(2_000)
  const shared = consumer.stats().queues
  fake.members = ['me']
  for (const connection of fake.connections) connection.destroy()
  return { consumer, shared }
}

test('after a reconnect a member that is not listed yet keeps its queues for a while, then loses them', async () => {
  const { consumer, shared } = await reconnected()
  await w.clock.advance(4_000)
  expect(consumer.stats().queues).toBe(shared)
  fake.members = ['me', 'other']
  await w.clock.advance(4_000)
  expect(consumer.stats().queues).toBe(shared)
  fake.members = ['me']
  await w.clock.advance(4_000)
  expect(consumer.stats().queues).toBeGreaterThan(shared)
})

test('after a reconnect a member that stays away loses its queues', async () => {
  const { consumer, shared } = await reconnected()
  await w.clock.advance(20_000)
  expect(consumer.stats().queues).toBeGreaterThan(shared)
})

test('rejoinMs needs a clientId that outlives the program', () => {
  expect(() => new PushConsumer({ nameServers: fake.address, group: 'g', rejoinMs: 5_000 })).toThrow('[OPTION_INVALID]')
})

test('a member with rejoinMs says no farewell when it closes', async () => {
  serveQueue(fake, 't', [])
  const consumer = await started(() => undefined, { rejoinMs: 5_000 })
  await w.clock.run(consumer.close())
  expect(fake.asked(RequestCode.UNREGISTER_CLIENT)).toEqual([])
  expect(JSON.parse(fake.asked(RequestCode.HEART_BEAT)[0]?.body.toString() ?? '').instance).toMatchObject({
    absenceMs: 5_000,
  })
})

test('a member whose client id a younger program took stops consuming and says why', async () => {
  const { committed } = serveQueue(fake, 't', records(3))
  const errors: string[] = []
  const consumer = await started(() => undefined, {
    logger: { ...silentLogger, error: (text) => void errors.push(text) },
  })
  await w.clock.advance(2_000)
  fake.on(RequestCode.HEART_BEAT, () => ({
    code: 29,
    remark: '[CLIENT_ID_TAKEN] client id me: a program that started later',
  }))
  for (const connection of fake.connections) connection.destroy()
  await w.clock.advance(10_000)
  expect(errors.join()).toContain('client id me')
  expect(consumer.stats().queues).toBe(0)
  const before = fake.asked(RequestCode.PULL_MESSAGE).length
  const commits = committed.get('t/0')?.length
  await w.clock.advance(60_000)
  expect(fake.asked(RequestCode.PULL_MESSAGE).length).toBe(before)
  expect(committed.get('t/0')?.length).toBe(commits)
})

/** A broker that knows claims: `taken` are queue ids somebody else has. */
function handsOver(taken: Set<number>): void {
  fake.on(RequestCode.GET_CONSUMER_LIST_BY_GROUP, () => ({
    code: 0,
    extFields: { queueHandover: true },
    body: Buffer.from(JSON.stringify({ consumerIdList: fake.members })),
  }))
  fake.on(RequestCode.LOCK_BATCH_MQ, (request) => {
    const { mqSet } = JSON.parse(request.body.toString()) as { mqSet: { queueId: number; topic: string }[] }
    const lockOKMQSet = mqSet.filter(({ queueId, topic }) => topic !== 't' || !taken.has(queueId))
    return { code: 0, body: Buffer.from(JSON.stringify({ lockOKMQSet })) }
  })
  fake.on(RequestCode.UNLOCK_BATCH_MQ, () => ({ code: 0 }))
}

const pulled = (): Set<string> =>
  new Set(
    fake
      .asked(RequestCode.PULL_MESSAGE)
      .flatMap(({ extFields }) => (extFields['topic'] === 't' ? [extFields['queueId'] ?? ''] : [])),
  )

test('a queue that another member still has is taken when it let go, at once when the broker says so', async () => {
  fake.queues = 2
  serveQueue(fake, 't', [])
  const taken = new Set([1])
  handsOver(taken)
  await started(() => undefined)
  await w.clock.advance(500)
  expect(pulled()).toEqual(new Set(['0']))
  taken.clear()
  for (const connection of fake.connections) {
    connection.oneway({ code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, extFields: { consumerGroup: 'g' } })
  }
  await w.clock.advance(50)
  expect(pulled()).toEqual(new Set(['0', '1']))
})

test('a queue whose owner does not let go is taken after 5 s', async () => {
  fake.queues = 2
  serveQueue(fake, 't', [])
  handsOver(new Set([1]))
  await started(() => undefined)
  await w.clock.advance(4_900)
  expect(pulled()).toEqual(new Set(['0']))
  await w.clock.advance(6_000)
  expect(pulled()).toEqual(new Set(['0', '1']))
})

test('a queue is let go of when its handlers have ended and that is committed', async () => {
  fake.queues = 2
  const { committed } = serveQueue(fake, 't', records(3))
  handsOver(new Set())
  const ends: (() => void)[] = []
  await started(() => new Promise<void>((resolve) => ends.push(resolve)), { rebalanceIntervalMs: 500 })
  await w.clock.advance(1_000)
  fake.members = ['a', 'me']
  await w.clock.advance(1_000)
  const unlocked = (): string[] => fake.asked(RequestCode.UNLOCK_BATCH_MQ).map(({ body }) => body.toString())
  expect(unlocked().filter((body) => body.includes('"topic":"t"'))).toEqual([])
  for (const end of ends) end()
  await w.clock.advance(100)
  const given = unlocked().filter((body) => body.includes('"topic":"t"'))
  expect(given).toHaveLength(1)
  expect(given[0]).toContain('"queueId":0')
  expect(committed.get('t/0')?.at(-1)).toBe(3)
  const codes = fake.requests.map((request) => request.code)
  expect(codes.lastIndexOf(RequestCode.UNLOCK_BATCH_MQ)).toBeGreaterThan(
    codes.lastIndexOf(RequestCode.UPDATE_CONSUMER_OFFSET),
  )
})

test('members that disagree are named once per change, and a strict one does not start', async () => {
  serveQueue(fake, 't', [])
  fake.on(RequestCode.HEART_BEAT, () => {
    if (!fake.members.includes('me')) fake.members.push('me')
    return { code: 0, extFields: { subscriptionConflict: 't' } }
  })
  const members = [
    { clientId: 'me', expression: 'TAG *' },
    { clientId: 'other', expression: 'TAG paid' },
    { clientId: 'third', expression: '' },
  ]
  fake.on(RequestCode.GET_CONSUMER_CONNECTION_LIST, () => ({
    code: 0,
    body: Buffer.from(JSON.stringify({ connectionSet: [], subscriptionConflicts: [{ topic: 't', members }] })),
  }))
  fake.on(RequestCode.GET_CONSUMER_LIST_BY_GROUP, () => ({
    code: 0,
    extFields: { subscriptionConflict: 't' },
    body: Buffer.from(JSON.stringify({ consumerIdList: fake.members })),
  }))
  const errors: string[] = []
  await started(() => undefined, { logger: { ...silentLogger, error: (text) => void errors.push(text) } })
  await w.clock.advance(100_000)
  expect(errors).toHaveLength(1)
  expect(errors[0]).toContain('t: me "TAG *"; other "TAG paid"; third not subscribed')
  const strict = new PushConsumer({ ...w, nameServers: fake.address, group: 'g', strictSubscriptions: true })
  strict.subscribe('t', '*', () => undefined)
  await expect(w.clock.run(strict.start())).rejects.toMatchObject({ code: 'SUBSCRIPTION_CONFLICT' })
  expect(fake.asked(RequestCode.UNREGISTER_CLIENT)).not.toEqual([])
})

test('the first position of a group is told as such, so that a member that starts beside us cannot move it', async () => {
  fake.queues = 2
  serveQueue(fake, 't', records(3))
  await started(() => undefined, { startFrom: 'last' })
  const first = fake.asked(RequestCode.UPDATE_CONSUMER_OFFSET).filter(({ extFields }) => extFields['topic'] === 't')
  expect(first.map(({ extFields }) => [extFields['queueId'], extFields['onlyIfAbsent']])).toEqual([
    ['0', 'true'],
    ['1', 'true'],
  ])
})
