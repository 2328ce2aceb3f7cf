import { decodeRecords, RequestCode, type RemotingCommand } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { StoreError } from '../store/store-error.ts'
import { BrokerRooms, heartbeatBody, pullFields, type RoomsOptions } from '../../../test/kit/broker-rooms.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

async function roomsWith(count: number, options: RoomsOptions = {}): Promise<BrokerRooms> {
  open = await BrokerRooms.start(options)
  open.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  for (let n = 0; n < count; n++) open.append('orders', 0, { body: `m${n}` })
  await open.settle()
  return open
}

/** The answer and the virtual time it took; the clock goes on only while somebody runs it. */
function timed(
  rooms: BrokerRooms,
  asked: Promise<RemotingCommand>,
): Promise<{ answer: RemotingCommand; elapsedMs: number }> {
  const start = rooms.clock.monotonic()
  return asked.then((answer) => ({ answer, elapsedMs: rooms.clock.monotonic() - start }))
}

const bodies = (answer: RemotingCommand): string[] => decodeRecords(answer.body).map(({ body }) => body.toString())
const offsetsOf = ({ code, extFields }: RemotingCommand): unknown => ({
  code,
  next: Number(extFields['nextBeginOffset']),
  min: Number(extFields['minOffset']),
  max: Number(extFields['maxOffset']),
})

for (const serialization of [0, 1] as const) {
  const dialect = serialization === 0 ? 'JSON' : 'binary'
  test(`an answer in ${dialect} carries the records, all four offsets and both flags`, async () => {
    const rooms = await roomsWith(3)
    const answer = await rooms.client().request(11, pullFields({ queueOffset: 1 }), { serialization })
    expect(bodies(answer)).toEqual(['m1', 'm2'])
    expect({ ...answer.extFields }).toEqual({
      ...{ suggestWhichBrokerId: '0', nextBeginOffset: '3', minOffset: '0', maxOffset: '3' },
      ...{ topicSysFlag: '0', groupSysFlag: '0' },
    })
    expect([answer.code, answer.remark, answer.serialization, answer.flag]).toEqual([0, 'FOUND', serialization, 1])
  })

  test(`19, 20 and 21 in ${dialect} carry all four offsets too`, async () => {
    const rooms = await roomsWith(2)
    const client = rooms.client()
    const ask = async (over: Record<string, string | number>): Promise<unknown> =>
      offsetsOf(await client.request(361, pullFields(over), { serialization }))
    expect(await ask({ queueOffset: 2 })).toEqual({ code: 19, next: 2, min: 0, max: 2 })
    expect(await ask({ subscription: 'nothing' })).toEqual({ code: 20, next: 2, min: 0, max: 2 })
    expect(await ask({ queueOffset: 7 })).toEqual({ code: 21, next: 2, min: 0, max: 2 })
    expect(await ask({ queueOffset: -3 })).toEqual({ code: 21, next: 0, min: 0, max: 2 })
  })
}

test('an offset below the minimum is sent to the minimum, one of an empty queue to 0', async () => {
  const rooms = await roomsWith(3)
  rooms.topics.find('orders')!.queues[0]!.minOffset = 2
  rooms.topics.create({ name: 'empty', readQueues: 1, writeQueues: 1 })
  const client = rooms.client()
  expect(offsetsOf(await client.request(11, pullFields()))).toMatchObject({ code: 21, next: 2, min: 2 })
  const fields = pullFields({ topic: 'empty', queueOffset: 5 })
  expect(offsetsOf(await client.request(11, fields))).toEqual({ code: 21, next: 0, min: 0, max: 0 })
})

test('an answer holds as many messages as were asked for, at most 512, but at least one', async () => {
  const rooms = await roomsWith(600)
  const client = rooms.client()
  const count = async (maxMsgNums: number): Promise<number> =>
    bodies(await client.request(11, pullFields({ maxMsgNums }))).length
  expect([await count(1000), await count(100), await count(0)]).toEqual([512, 100, 1])
})

test('an answer stops before 256 KiB, but a larger message comes alone', async () => {
  const rooms = await roomsWith(0)
  for (const size of [300_000, 200_000, 50_000, 20_000]) rooms.append('orders', 0, { body: 'x'.repeat(size) })
  await rooms.settle()
  const client = rooms.client()
  const sizes = async (queueOffset: number): Promise<number[]> =>
    bodies(await client.request(11, pullFields({ queueOffset }))).map((body) => body.length)
  expect(await sizes(0)).toEqual([300_000])
  expect(await sizes(1)).toEqual([200_000, 50_000])
})

test('a request looks at 800 messages at most and reports how far it came', async () => {
  const rooms = await roomsWith(0)
  for (let n = 0; n < 1000; n++) rooms.append('orders', 0, { tag: n === 900 ? 'rare' : 'common' })
  await rooms.settle()
  const client = rooms.client()
  const first = await client.request(11, pullFields({ subscription: 'rare' }))
  expect(offsetsOf(first)).toMatchObject({ code: 20, next: 800 })
  const second = await client.request(11, pullFields({ subscription: 'rare', queueOffset: 800 }))
  expect([offsetsOf(second), bodies(second).length]).toMatchObject([{ code: 0, next: 1000 }, 1])
})

test('a tag with the hash of a wanted one is delivered, since only the consumer can tell them apart', async () => {
  const rooms = await roomsWith(0)
  for (const tag of ['Aa', 'BB', 'Cc']) rooms.append('orders', 0, { tag, body: tag })
  await rooms.settle()
  expect(bodies(await rooms.client().request(11, pullFields({ subscription: 'x || Aa' })))).toEqual(['Aa', 'BB'])
})

test('a parked pull is answered by the next message, once', async () => {
  const rooms = await roomsWith(1)
  const answer = rooms.client().ask(11, pullFields({ queueOffset: 1, sysFlag: 6 }))
  await rooms.settle()
  expect(rooms.pulls.stats().parked).toBe(1)
  rooms.append('orders', 0, { body: 'late' })
  rooms.append('orders', 0, { body: 'later' })
  expect(bodies(await rooms.clock.run(answer))).toEqual(['late', 'later'])
  expect(rooms.pulls.stats().parked).toBe(0)
})

test('a parked pull sleeps through messages its tags do not match and then skips them', async () => {
  const rooms = await roomsWith(1)
  const answer = rooms.client().ask(11, pullFields({ queueOffset: 1, sysFlag: 6, subscription: 'paid' }))
  await rooms.settle()
  for (let n = 0; n < 5; n++) {
    rooms.append('orders', 0, { tag: 'created' })
    await rooms.settle()
  }
  expect(rooms.pulls.stats().parked).toBe(1)
  rooms.append('orders', 0, { tag: 'paid', body: 'paid' })
  const found = await rooms.clock.run(answer)
  expect([bodies(found), offsetsOf(found)]).toMatchObject([['paid'], { next: 7 }])
})

test('at its deadline a parked pull gets 19, not before and at most 100 ms late', async () => {
  const rooms = await roomsWith(1)
  const client = rooms.client()
  await client.connection()
  const asked = client.ask(11, pullFields({ queueOffset: 1, sysFlag: 6, suspendTimeoutMillis: 1234 }))
  const { answer, elapsedMs } = await rooms.clock.run(timed(rooms, asked))
  expect(offsetsOf(answer)).toEqual({ code: 19, next: 1, min: 0, max: 1 })
  expect(elapsedMs).toBeGreaterThanOrEqual(1234)
  expect(elapsedMs).toBeLessThan(1345)
})

test('a deadline reports the messages that were skipped meanwhile', async () => {
  const rooms = await roomsWith(1)
  const answer = rooms.client().ask(11, pullFields({ queueOffset: 1, sysFlag: 6, subscription: 'paid' }))
  await rooms.settle()
  rooms.append('orders', 0, { tag: 'created' })
  expect(offsetsOf(await rooms.clock.run(answer))).toMatchObject({ code: 20, next: 2 })
})

test('no client waits longer than 30 seconds', async () => {
  const rooms = await roomsWith(1)
  const client = rooms.client()
  const asked = client.ask(11, pullFields({ queueOffset: 1, sysFlag: 6, suspendTimeoutMillis: '9223372036854775807' }))
  const { answer, elapsedMs } = await rooms.clock.run(timed(rooms, asked))
  expect([answer.code, answer.remark]).toEqual([19, 'OFFSET_OVERFLOW_ONE'])
  expect(elapsedMs).toBeLessThan(30_200)
})

test('whenever a message arrives around a pull, one answer brings it', async () => {
  const rooms = await roomsWith(0)
  const client = rooms.client()
  await client.connection()
  for (let round = 0; round < 500; round++) {
    const asked = client.ask(11, pullFields({ queueOffset: round, sysFlag: 6, suspendTimeoutMillis: 20_000 }))
    const answered = timed(rooms, asked)
    await rooms.clock.advance(rooms.clock.random() * 1.2)
    rooms.append('orders', 0, { body: `m${round}` })
    const { answer, elapsedMs } = await rooms.clock.run(answered)
    expect(bodies(answer)).toEqual([`m${round}`])
    expect(elapsedMs).toBeLessThan(50)
  }
})

test('a message that becomes visible while a pull is being parked is not slept through', async () => {
  const rooms = await roomsWith(2)
  const queue = rooms.topics.find('orders')!.queues[0]!
  queue.maxOffset = 1
  const client = rooms.client()
  await client.connection()
  const { monotonic } = rooms.clock
  // The first thing parking does is read the clock; delivery to the broker reads it once before.
  rooms.clock.monotonic = function (this: typeof rooms.clock) {
    if (rooms.pulls.stats().parked === 1) queue.maxOffset = 2
    return monotonic.call(this)
  }
  const asked = client.ask(11, pullFields({ queueOffset: 1, sysFlag: 6 }))
  expect(bodies(await rooms.clock.run(asked, 14_000))).toEqual(['m1'])
})

test('pulls with many deadlines are all answered in their order', async () => {
  const rooms = await roomsWith(1)
  const client = rooms.client()
  const ends: number[] = []
  const waits = [20_000, 50, 15_000, 400, 1_000, 30_000, 200, 15_300]
  const asked = waits.map(async (suspendTimeoutMillis) => {
    await client.ask(11, pullFields({ queueOffset: 1, sysFlag: 6, suspendTimeoutMillis }))
    ends.push(suspendTimeoutMillis)
  })
  await rooms.clock.run(Promise.all(asked))
  expect(ends).toEqual(waits.toSorted((a, b) => a - b))
})

test('a closed connection takes its parked pulls along and leaves those of others', async () => {
  const rooms = await roomsWith(1)
  const leaving = rooms.client()
  const staying = rooms.client()
  for (let n = 0; n < 3; n++) leaving.ask(11, pullFields({ queueOffset: 1, sysFlag: 6 })).catch(() => {})
  const answer = staying.ask(11, pullFields({ queueOffset: 1, sysFlag: 6 }))
  await rooms.settle()
  expect(rooms.pulls.stats().parked).toBe(4)
  ;(await leaving.connection()).destroy()
  await rooms.settle()
  expect(rooms.pulls.stats().parked).toBe(1)
  rooms.append('orders', 0, { body: 'new' })
  expect(bodies(await rooms.clock.run(answer))).toEqual(['new'])
})

test('a connection cannot park without end', async () => {
  const rooms = await roomsWith(1, { parkedPerConnectionMax: 2 })
  const client = rooms.client()
  for (let n = 0; n < 2; n++) client.ask(11, pullFields({ queueOffset: 1, sysFlag: 6 })).catch(() => {})
  expect((await client.request(11, pullFields({ queueOffset: 1, sysFlag: 6 }))).code).toBe(2)
})

test('a deleted topic ends the waiting with 17', async () => {
  const rooms = await roomsWith(1)
  const answer = rooms.client().ask(11, pullFields({ queueOffset: 1, sysFlag: 6 }))
  await rooms.settle()
  await rooms.clock.run(rooms.topics.delete('orders'))
  expect((await rooms.clock.run(answer)).code).toBe(17)
})

test('the offset a pull brings along is committed', async () => {
  const rooms = await roomsWith(5)
  await rooms.client().request(11, pullFields({ queueOffset: 5, sysFlag: 5, commitOffset: 4 }))
  expect(rooms.offsets.committed('billing', 'orders', 0)).toBe(4)
})

test.each([
  ['an unknown topic', { topic: 'nowhere' }, 17],
  ['a queue that does not exist', { queueId: 1 }, 29],
  ['a negative queue', { queueId: -1 }, 29],
  ['SQL that does not parse', { expressionType: 'SQL92', subscription: 'amount >' }, 23],
  ['another expression type', { expressionType: 'XPATH', subscription: '/a' }, 23],
  ['a text without any tag', { subscription: ' || ' }, 23],
  ['a group that sent no heartbeat and no subscription', { sysFlag: 0 }, 24],
  ['an illegal group name', { consumerGroup: 'a b' }, 29],
  ['an offset that is no number', { queueOffset: '1x' }, 29],
])('%s is refused', async (_what, over, code) => {
  const rooms = await roomsWith(1)
  expect((await rooms.client().request(11, pullFields(over))).code).toBe(code)
})

test('a topic without read permission is refused', async () => {
  const rooms = await roomsWith(1)
  rooms.topics.create({ name: 'orders', perm: 2 })
  expect((await rooms.client().request(11, pullFields())).code).toBe(16)
})

test('without own subscription the one of the heartbeat counts, and a newer version is refused until it came', async () => {
  const rooms = await roomsWith(0)
  for (const tag of ['paid', 'created']) rooms.append('orders', 0, { tag, body: tag })
  const client = rooms.client()
  const pull = (subVersion: number): Promise<RemotingCommand> =>
    client.request(11, pullFields({ sysFlag: 0, subVersion }))
  const beat = (version: number): Promise<RemotingCommand> =>
    client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody({ topics: { orders: 'paid' }, version }) })
  await beat(100)
  expect(bodies(await pull(100))).toEqual(['paid'])
  expect(bodies(await pull(99))).toEqual(['paid'])
  expect((await pull(101)).code).toBe(25)
  await beat(101)
  expect(bodies(await pull(101))).toEqual(['paid'])
  const otherTopic = pullFields({ sysFlag: 0, topic: 'DefaultCluster' })
  expect((await client.request(11, otherTopic)).code).toBe(24)
})

test('a newer version that comes with its own text is served at once', async () => {
  const rooms = await roomsWith(1)
  const client = rooms.client()
  await client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody({ version: 100 }) })
  expect((await client.request(11, pullFields({ subVersion: 200 }))).code).toBe(0)
})

test('records that retention took while they were read are left out', async () => {
  const rooms = await roomsWith(3)
  const queue = rooms.topics.find('orders')!.queues[0]!
  const gone = new Set([queue.physicalOffset(1)])
  const readInto = rooms.store.readInto.bind(rooms.store)
  rooms.store.readInto = (physicalOffset, size, target, at) =>
    !gone.has(physicalOffset) && readInto(physicalOffset, size, target, at)
  const client = rooms.client()
  const first = await client.request(11, pullFields())
  expect([bodies(first), offsetsOf(first)]).toMatchObject([['m0'], { code: 0, next: 1 }])
  expect(offsetsOf(await client.request(11, pullFields({ queueOffset: 1 })))).toMatchObject({ code: 20, next: 2 })
  expect(bodies(await client.request(11, pullFields({ queueOffset: 2 })))).toEqual(['m2'])
})

for (const filter of ['*', 'TRUE'] as const) {
  const expressionType = filter === '*' ? 'TAG' : 'SQL92'
  test(`F15: a damaged record hides none that stands before or behind it (${expressionType})`, async () => {
    const rooms = await roomsWith(3)
    const damaged = rooms.topics.find('orders')!.queues[0]!.physicalOffset(1)
    const readInto = rooms.store.readInto.bind(rooms.store)
    rooms.store.readInto = (physicalOffset, size, target, at) => {
      if (physicalOffset === damaged) throw new StoreError('LOG_DAMAGED', `bytes ${damaged} of the log are damaged`)
      return readInto(physicalOffset, size, target, at)
    }
    const client = rooms.client()
    const ask = (queueOffset: number): Promise<RemotingCommand> =>
      client.request(11, pullFields({ queueOffset, subscription: filter, expressionType }))
    const first = await ask(0)
    expect([bodies(first), offsetsOf(first)]).toMatchObject([['m0'], { code: 0, next: 1 }])
    expect((await ask(1)).remark).toContain('LOG_DAMAGED')
    expect(bodies(await ask(2))).toEqual(['m2'])
  })
}
