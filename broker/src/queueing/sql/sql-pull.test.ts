import { decodeRecords, RequestCode, type RemotingCommand } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody, pullFields, type RoomsClient } from '../../../../test/kit/broker-rooms.ts'
import { StoreError } from '../../store/store-error.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

/** One queue of `orders` with messages m0, m1 … of these properties. */
async function roomsWith(...properties: Record<string, string>[]): Promise<BrokerRooms> {
  open = await BrokerRooms.start()
  open.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  append(open, properties)
  await open.settle()
  return open
}

function append(rooms: BrokerRooms, messages: Record<string, string>[]): void {
  for (const [n, properties] of messages.entries()) rooms.append('orders', 0, { body: `m${n}`, properties })
}

const bodies = (answer: RemotingCommand): string[] => decodeRecords(answer.body).map(({ body }) => body.toString())
const outcome = ({ code, extFields }: RemotingCommand): unknown[] => [code, Number(extFields['nextBeginOffset'])]
const sqlPull = (
  subscription: string,
  over: Record<string, string | number> = {},
): Record<string, string | number | boolean> => pullFields({ expressionType: 'SQL92', subscription, ...over })
const beat = (client: RoomsClient, sql: string, version = 100): Promise<RemotingCommand> => {
  const body = heartbeatBody({ topics: { orders: sql }, expressionType: 'SQL92', version })
  return client.request(RequestCode.HEART_BEAT, {}, { body })
}

/** Searches `big` 255 times without success: about a million units of work for a value of 4,000 bytes. */
const expensive = Array.from({ length: 255 }, (_, n) => `big CONTAINS 'z${n}'`).join(' OR ')
const big = 'x'.repeat(4_000)

/** Counts the records that filters read in one turn of the event loop. */
function countPerTurn(rooms: BrokerRooms): { most: number } {
  const counter = { most: 0 }
  let inTurn = 0
  const readInto = rooms.store.readInto.bind(rooms.store)
  rooms.store.readInto = (...place) => {
    if (inTurn++ === 0) rooms.clock.soon(() => (inTurn = 0))
    counter.most = Math.max(counter.most, inTurn)
    return readInto(...place)
  }
  return counter
}

test.each([0, 1] as const)(
  'a pull that brings SQL gets what it is true for (header kind %i)',
  async (serialization) => {
    const rooms = await roomsWith({ amount: '12', region: 'eu' }, { amount: '9', region: 'eu' }, { TAGS: 'vip' }, {})
    const sql = sqlPull("amount > 10 AND region = 'eu' OR TAGS = 'vip'")
    const answer = await rooms.client().request(11, sql, { serialization })
    expect([bodies(answer), outcome(answer)]).toEqual([
      ['m0', 'm2'],
      [0, 4],
    ])
  },
)

test('quotes, line ends and letters outside ASCII reach the parser as they were written', async () => {
  const rooms = await roomsWith({ note: 'it\'s "漢"\n' })
  expect(bodies(await rooms.client().request(11, sqlPull("note = 'it''s \"漢\"\n'")))).toEqual(['m0'])
})

test('a pull without own subscription is filtered by the SQL of the heartbeat, a newer version is awaited', async () => {
  const rooms = await roomsWith({ a: '1' }, { a: '2' })
  const client = rooms.client()
  await beat(client, 'a = 2', 100)
  const pull = (subVersion: number): Promise<RemotingCommand> =>
    client.request(11, pullFields({ sysFlag: 0, subVersion, expressionType: 'SQL92' }))
  expect(bodies(await pull(100))).toEqual(['m1'])
  expect((await pull(101)).code).toBe(25)
  await beat(client, 'a = 1', 101)
  expect(bodies(await pull(101))).toEqual(['m0'])
})

test('an expression that does not parse costs its own topic the pulls, not the heartbeat', async () => {
  const rooms = await roomsWith({ a: '1' })
  const client = rooms.client()
  expect((await beat(client, 'a >')).code).toBe(0)
  const refused = await client.request(11, pullFields({ sysFlag: 0 }))
  expect([refused.code, refused.remark]).toEqual([23, expect.stringContaining('character 4: expected a property')])
  expect((await client.request(11, pullFields({ topic: '%RETRY%billing' }))).code).toBe(19)
  await beat(client, 'a > 0', 101)
  expect(bodies(await client.request(11, pullFields({ sysFlag: 0 })))).toEqual(['m0'])
})

test('SQL without any text is refused', async () => {
  const rooms = await roomsWith({ a: '1' })
  const { subscription: _, ...without } = sqlPull('')
  const client = rooms.client()
  expect([(await client.request(11, sqlPull(''))).code, (await client.request(11, without)).code]).toEqual([23, 23])
})

test('where nothing matches the answer is 20 and says how far it looked, 800 messages at most', async () => {
  const rooms = await roomsWith(...Array.from({ length: 1_000 }, (_, n) => ({ n: String(n) })))
  const client = rooms.client()
  expect(outcome(await client.request(11, sqlPull('n = 900')))).toEqual([20, 800])
  const second = await client.request(11, sqlPull('n = 900', { queueOffset: 800 }))
  expect([outcome(second), bodies(second)]).toEqual([[0, 1000], ['m900']])
})

test('a message larger than anything read before is filtered too', async () => {
  const rooms = await roomsWith()
  rooms.append('orders', 0, { body: 'x'.repeat(200_000), properties: { a: '1' } })
  await rooms.settle()
  expect(outcome(await rooms.client().request(11, sqlPull('a = 1')))).toEqual([0, 1])
  expect(outcome(await rooms.client().request(11, sqlPull('a = 2')))).toEqual([20, 1])
})

test('a message whose property is no number is withheld and counted', async () => {
  const rooms = await roomsWith({ a: 'abc' }, { a: '7' })
  expect(bodies(await rooms.client().request(11, sqlPull('a > 5')))).toEqual(['m1'])
  expect(rooms.pulls.stats().sql).toEqual({ evaluated: 2, unreadable: 1 })
})

test('a parked pull sleeps through what its SQL is not true for, and is woken by what it is', async () => {
  const rooms = await roomsWith({ a: '1' })
  const parked = rooms.client().ask(11, sqlPull('a = 2', { queueOffset: 1, sysFlag: 6 }))
  await rooms.settle()
  append(rooms, [{ a: '1' }, { a: 'abc' }])
  await rooms.settle()
  expect(rooms.pulls.stats().parked).toBe(1)
  append(rooms, [{ a: '3' }, { a: '2' }])
  const answer = await rooms.clock.run(parked)
  expect([outcome(answer), bodies(answer)]).toEqual([[0, 5], ['m1']])
  expect(rooms.pulls.stats().parked).toBe(0)
})

test('a parked pull that saw only others reports at its deadline how far it looked', async () => {
  const rooms = await roomsWith({ a: '1' })
  const parked = rooms.client().ask(11, sqlPull('a = 2', { queueOffset: 1, sysFlag: 6 }))
  await rooms.settle()
  append(rooms, [{ a: '1' }, { a: '1' }])
  expect(outcome(await rooms.clock.run(parked))).toEqual([20, 3])
})

test('an expensive filter is answered with what it found so far, and gets everything in the end', async () => {
  const rooms = await roomsWith(...Array.from({ length: 12 }, (_, n) => ({ big, n: String(n) })))
  const client = rooms.client()
  const found: string[] = []
  const steps: number[] = []
  for (let queueOffset = 0; queueOffset < 12; ) {
    const answer = await client.request(
      11,
      sqlPull(`${expensive.slice(0, expensive.lastIndexOf(' OR '))} OR n = 7`, { queueOffset }),
    )
    found.push(...bodies(answer))
    const next = Number(answer.extFields['nextBeginOffset'])
    steps.push(next - queueOffset)
    queueOffset = next
  }
  expect(found).toEqual(['m7'])
  expect(Math.min(...steps)).toBeGreaterThan(0)
  expect(Math.max(...steps)).toBeLessThan(4)
})

test('a cheap filter right after an expensive one has an account of its own', async () => {
  const rooms = await roomsWith(...Array.from({ length: 4 }, () => ({ big })))
  const client = rooms.client()
  await rooms.clock.run(client.connection())
  const both = Promise.all([client.ask(11, sqlPull(expensive)), client.ask(11, sqlPull('big IS NULL'))])
  expect((await rooms.clock.run(both)).map(outcome)).toEqual([
    [20, 1],
    [20, 4],
  ])
})

test('many expensive pulls wait for their turns, so that another client is answered in between', async () => {
  const rooms = await roomsWith(...Array.from({ length: 3 }, () => ({ big })))
  const [greedy, modest] = [rooms.client(), rooms.client()]
  await rooms.clock.run(Promise.all([greedy.connection(), modest.connection()]))
  await beat(greedy, expensive)
  const order: string[] = []
  const counter = countPerTurn(rooms)
  const { readInto } = rooms.store
  rooms.store.readInto = (...place) => {
    // New messages make no waiting pull come before its turn.
    if (rooms.pulls.stats().parked >= 8) {
      rooms.store.readInto = readInto
      rooms.clock.soon(() => rooms.pulls.onVisible(rooms.topics.find('orders')!.queues[0]!))
    }
    return readInto(...place)
  }
  const pulls = Array.from({ length: 40 }, async () => {
    const answer = await greedy.ask(11, pullFields({ sysFlag: 0 }))
    order.push('greedy')
    return outcome(answer)
  })
  const other = modest.ask(11, pullFields()).then(() => order.push('modest'))
  const answers = await rooms.clock.run(Promise.all(pulls))
  await rooms.clock.run(other)
  expect(new Set(answers.map(String))).toEqual(new Set(['20,1']))
  expect(order.indexOf('modest')).toBeLessThan(20)
  expect([counter.most < 8, rooms.store.readInto === readInto]).toEqual([true, true])
  expect(rooms.pulls.stats().parked).toBe(0)
})

test('pulls that wait for their turn count against the limit of their connection', async () => {
  open = await BrokerRooms.start({ parkedPerConnectionMax: 5 })
  open.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  append(open, [{ big }])
  await open.settle()
  const client = open.client()
  await open.clock.run(client.connection())
  const answers = await open.clock.run(
    Promise.all(Array.from({ length: 30 }, () => client.ask(11, sqlPull(expensive)))),
  )
  const codes = answers.map(({ code }) => code)
  expect([codes.includes(20), codes.includes(2)]).toEqual([true, true])
})

test('a parked pull finds its message behind thousands that cost a turn each', async () => {
  const rooms = await roomsWith()
  const parked = rooms
    .client()
    .ask(11, sqlPull(`${expensive.slice(0, expensive.lastIndexOf(' OR '))} OR n = 39`, { sysFlag: 6 }))
  await rooms.settle()
  append(
    rooms,
    Array.from({ length: 40 }, (_, n) => ({ big, n: String(n) })),
  )
  const counter = countPerTurn(rooms)
  const answer = await rooms.clock.run(parked)
  expect(counter.most).toBeLessThan(8)
  expect([bodies(answer), outcome(answer)]).toEqual([['m39'], [0, 40]])
})

test('a pull that waits for its turn when its topic goes is told so, one whose client left is forgotten', async () => {
  const rooms = await roomsWith({ big })
  const [leaving, staying] = [rooms.client(), rooms.client()]
  const pulls = Array.from({ length: 10 }, () => staying.ask(11, sqlPull(expensive, { sysFlag: 6 })))
  const gone = Array.from({ length: 10 }, () => leaving.ask(11, sqlPull(expensive)).catch((error: Error) => error))
  const connection = await leaving.connection()
  connection.destroy()
  await rooms.topics.delete('orders').catch(() => {})
  const codes = (await rooms.clock.run(Promise.all(pulls))).map(({ code }) => code)
  expect(codes.every((code) => code === 17 || code === 20)).toBe(true)
  await rooms.clock.run(Promise.all(gone))
  expect(rooms.pulls.stats().parked).toBe(0)
})

test('a damaged record is told to the pull that waited for it and to nobody else', async () => {
  const rooms = await roomsWith()
  const [filtering, plain] = [rooms.client(), rooms.client()]
  const filtered = filtering.ask(11, sqlPull('a = 1', { sysFlag: 6 }))
  const readInto = rooms.store.readInto.bind(rooms.store)
  const all = plain.ask(11, pullFields({ sysFlag: 6 }))
  await rooms.settle()
  let damaged = true
  rooms.store.readInto = (physicalOffset, size, target, at) => {
    if (damaged) {
      damaged = false
      throw new StoreError('LOG_DAMAGED', 'here')
    }
    return readInto(physicalOffset, size, target, at)
  }
  append(rooms, [{ a: '1' }])
  const answers = await rooms.clock.run(Promise.all([filtered, all]))
  expect(answers.map(({ code }) => code).toSorted()).toEqual([0, 1])
  expect(answers.find(({ code }) => code === 1)?.remark).toContain('LOG_DAMAGED')
})
