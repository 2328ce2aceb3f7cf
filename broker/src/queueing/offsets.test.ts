import { RequestCode, type RemotingCommand } from '@tandemmq/protocol'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody, type Message, pullFields } from '../../../test/kit/broker-rooms.ts'
import { FaultDisk } from '../store/fault-disk.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

async function roomsWith(
  messages: Message[],
  over: { disk?: FaultDisk; clock?: VirtualClock } = {},
): Promise<BrokerRooms> {
  open = await BrokerRooms.start(over)
  open.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  open.groups.ensure('billing')
  for (const message of messages) open.append('orders', 0, message)
  await open.settle()
  return open
}

const five = Array.from({ length: 5 }, (_, n) => ({ body: `m${n}` }))
const place = { consumerGroup: 'billing', topic: 'orders', queueId: 0 }
const reset = { group: 'billing', topic: 'orders', isForce: true }

test('a commit of a running group never goes backwards and says so', async () => {
  const client = (await roomsWith(five)).client()
  await client.request(34, {}, { body: heartbeatBody() })
  const commit = (commitOffset: number): Promise<RemotingCommand> => client.request(15, { ...place, commitOffset })
  expect([(await commit(3)).code, (await commit(2)).code]).toEqual([0, 0])
  expect((await commit(2)).remark).toContain('ahead')
  expect((await client.request(14, place)).extFields['offset']).toBe('3')
})

test('commits after a write error of the journal end no process', async () => {
  const clock = new VirtualClock()
  const disk = new FaultDisk({ seed: 1 })
  const rooms = await roomsWith(five, { disk, clock })
  disk.fail({ operation: 'write', code: 'EIO', path: /journal/ })
  for (const offset of [1, 2]) {
    rooms.offsets.commit('billing', 'orders', 0, offset)
    // Throws what a timer throws.
    await clock.advance(1_000)
  }
  expect(() => rooms.offsets.deleteGroup('billing')).toThrow('STORE_FENCED')
})

test('a position that moves while the store closes ends no process, and those before it are kept', async () => {
  const clock = new VirtualClock()
  const disk = new FaultDisk({ seed: 1 })
  const rooms = await roomsWith(five, { disk, clock })
  rooms.offsets.commit('billing', 'orders', 0, 3)
  rooms.offsets.close()
  rooms.offsets.commit('billing', 'orders', 0, 4)
  await rooms.store.close()
  // Throws what a timer throws.
  await clock.advance(1_000)
  open = await BrokerRooms.start({ disk, clock })
  expect(open.offsets.committed('billing', 'orders', 0)).toBe(3)
})

test('a commit beyond the end of the queue is not kept', async () => {
  const rooms = await roomsWith(five)
  expect(rooms.offsets.commit('billing', 'orders', 0, 6)).toBe('beyond')
  expect(rooms.offsets.commit('billing', 'orders', 0, -1)).toBe('beyond')
  expect(rooms.offsets.commit('billing', 'orders', 7, 0)).toBe('beyond')
  expect(rooms.offsets.committed('billing', 'orders', 0)).toBe(-1)
  expect(rooms.offsets.commit('billing', 'orders', 0, 5)).toBe('stored')
})

test('a commit for an unknown group, topic or queue is refused with its code', async () => {
  const client = (await roomsWith(five)).client()
  const code = async (over: Record<string, string | number>): Promise<number> =>
    (await client.request(15, { ...place, commitOffset: 1, ...over })).code
  expect(await code({ consumerGroup: 'nobody' })).toBe(26)
  expect(await code({ topic: 'nowhere' })).toBe(17)
  expect(await code({ queueId: 4 })).toBe(29)
})

test('a group that committed nothing starts at 0 while the first message is there, whatever is in the queue', async () => {
  const rooms = await roomsWith([])
  const client = rooms.client()
  const query = async (over: Record<string, string | boolean> = {}): Promise<[number, string | undefined]> => {
    const answer = await client.request(14, { ...place, ...over })
    return [answer.code, answer.extFields['offset']]
  }
  expect(await query()).toEqual([0, '0'])
  expect(await query({ setZeroIfNotFound: false })).toEqual([22, undefined])
  rooms.append('orders', 0)
  await rooms.settle()
  expect(await query()).toEqual([0, '0'])
  rooms.topics.find('orders')!.queues[0]!.minOffset = 1
  expect(await query()).toEqual([22, undefined])
  expect(await query({ topic: 'nowhere' })).toEqual([22, undefined])
})

test('a reset answers the next pull with 21, refuses commits until then, and only once', async () => {
  const rooms = await roomsWith(five)
  const client = rooms.client()
  rooms.offsets.commit('billing', 'orders', 0, 5)
  const answer = await client.request(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, { ...reset, timestamp: 0 })
  expect(answer.body.toString()).toBe('{"offsetTable":{{"brokerName":"tandemmq","queueId":0,"topic":"orders"}:0}}')
  expect((await client.request(15, { ...place, commitOffset: 4 })).remark).toContain('reset')
  expect((await client.request(14, place)).extFields['offset']).toBe('0')
  const moved = await client.request(11, pullFields({ queueOffset: 5, sysFlag: 7, commitOffset: 5 }))
  expect([moved.code, moved.extFields['nextBeginOffset']]).toEqual([21, '0'])
  expect((await client.request(14, place)).extFields['offset']).toBe('0')
  expect((await client.request(11, pullFields())).code).toBe(0)
  expect((await client.request(15, { ...place, commitOffset: 2 })).remark).toBeUndefined()
})

test('a consumer told of a reset cannot undo it by committing before it has followed', async () => {
  const rooms = await roomsWith(five)
  const client = rooms.client()
  const commit = async (commitOffset: number): Promise<string | undefined> =>
    (await client.request(15, { ...place, commitOffset })).remark
  rooms.offsets.commit('billing', 'orders', 0, 5)
  await client.request(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, { ...reset, timestamp: 0 })
  expect((await client.request(11, pullFields({ queueOffset: 5 }))).code).toBe(21)
  // A client of version 4 commits what it had for 10 s more, and follows with its next rebalance.
  expect(await commit(5)).toContain('reset')
  await rooms.settle(30_000)
  expect([await commit(5), (await client.request(14, place)).extFields['offset']]).toEqual([
    expect.stringContaining('reset'),
    '0',
  ])
  expect((await client.request(11, pullFields({ queueOffset: 0 }))).code).toBe(0)
  expect([await commit(2), rooms.offsets.hasPendingResets]).toEqual([undefined, false])
})

test('a consumer that follows a reset to the end, and waits there for messages, may commit at once', async () => {
  const rooms = await roomsWith(five)
  const client = rooms.client()
  rooms.offsets.commit('billing', 'orders', 0, 2)
  await client.request(222, { ...reset, timestamp: 0, queueId: 0, offset: 5 })
  expect((await client.request(11, pullFields({ queueOffset: 2 }))).code).toBe(21)
  const waiting = client.ask(11, pullFields({ queueOffset: 5, sysFlag: 6, subscription: 'paid' }))
  await rooms.settle()
  expect(rooms.pulls.stats().parked).toBe(1)
  for (const tag of ['created', 'paid']) rooms.append('orders', 0, { tag })
  expect((await rooms.clock.run(waiting)).code).toBe(0)
  expect((await client.request(15, { ...place, commitOffset: 7 })).remark).toBeUndefined()
  expect(rooms.offsets.hasPendingResets).toBe(false)
})

test('a consumer that never follows a reset may commit again a minute later', async () => {
  const rooms = await roomsWith(five)
  const client = rooms.client()
  rooms.offsets.commit('billing', 'orders', 0, 3)
  await client.request(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, { ...reset, timestamp: 0 })
  expect((await client.request(11, pullFields({ queueOffset: 3 }))).code).toBe(21)
  expect((await client.request(11, pullFields({ queueOffset: 3 }))).code).toBe(0)
  await rooms.settle(60_001)
  expect((await client.request(15, { ...place, commitOffset: 4 })).remark).toBeUndefined()
  expect(rooms.offsets.hasPendingResets).toBe(false)
})

test('a parked pull learns of the reset at once, one of another group sleeps on', async () => {
  const rooms = await roomsWith(five)
  const client = rooms.client()
  const mine = client.ask(11, pullFields({ queueOffset: 5, sysFlag: 6 }))
  client.ask(11, pullFields({ queueOffset: 5, sysFlag: 6, consumerGroup: 'other' })).catch(() => {})
  await rooms.settle()
  await client.request(222, { ...reset, timestamp: 0, queueId: 0, offset: 2 })
  const moved = await rooms.clock.run(mine)
  expect([moved.code, moved.extFields['nextBeginOffset'], rooms.pulls.stats().parked]).toEqual([21, '2', 1])
})

test('a reset outside the queue, of an unknown group or topic is refused', async () => {
  const client = (await roomsWith(five)).client()
  const code = async (over: Record<string, string | number>): Promise<number> =>
    (await client.request(222, { ...reset, timestamp: 0, ...over })).code
  expect(await code({ queueId: 0, offset: 6 })).toBe(29)
  expect(await code({ offset: 1 })).toBe(29)
  expect(await code({ group: 'nobody' })).toBe(26)
  expect(await code({ topic: 'nowhere' })).toBe(17)
})

test('a reset by time goes to the first message of that time, -1 to the end', async () => {
  const rooms = await roomsWith(five)
  const at = rooms.clock.now()
  await rooms.clock.advance(1000)
  rooms.append('orders', 0)
  await rooms.settle()
  const client = rooms.client()
  const target = async (timestamp: number): Promise<string> =>
    (await client.request(222, { ...reset, timestamp })).body.toString().match(/:(\d+)\}\}$/)?.[1] ?? ''
  expect([await target(at + 500), await target(-1), await target(at + 99_000)]).toEqual(['5', '6', '6'])
})

test('offsets and a reset nobody pulled yet survive a kill 100 ms later', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const rooms = await roomsWith(five, { disk })
  rooms.offsets.commit('billing', 'orders', 0, 3)
  rooms.topics.create({ name: 'other', readQueues: 1, writeQueues: 1 })
  rooms.append('other', 0)
  await rooms.settle()
  await rooms.clock.run(rooms.offsets.reset('billing', 'other', 0, 1))
  await rooms.clock.advance(100)
  open = await BrokerRooms.start({ disk: disk.killed() })
  expect(open.offsets.committed('billing', 'orders', 0)).toBe(3)
  expect(open.offsets.hasPendingResets).toBe(true)
  expect(open.offsets.commit('billing', 'other', 0, 1)).toBe('resetPending')
  expect(open.groups.find('billing')?.config.retryMaxTimes).toBe(16)
  expect(open.topics.find('orders')?.readQueues).toBe(1)
})

test('a reset that was told and not followed yet survives a kill: it is told again, and old commits stay refused', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const rooms = await roomsWith(five, { disk })
  rooms.offsets.commit('billing', 'orders', 0, 5)
  await rooms.client().request(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, { ...reset, timestamp: 0 })
  expect((await rooms.client().request(11, pullFields({ queueOffset: 5 }))).code).toBe(21)
  await rooms.clock.advance(200)
  open = await BrokerRooms.start({ disk: disk.killed() })
  const client = open.client()
  expect((await client.request(15, { ...place, commitOffset: 5 })).remark).toContain('reset')
  const told = await client.request(11, pullFields({ queueOffset: 5 }))
  expect([told.code, told.extFields['nextBeginOffset']]).toEqual([21, '0'])
  expect((await client.request(11, pullFields({ queueOffset: 0 }))).code).toBe(0)
  expect((await client.request(15, { ...place, commitOffset: 2 })).remark).toBeUndefined()
  await open.clock.advance(200)
  await open.close()
  open = await BrokerRooms.start({ disk: open.disk })
  expect([open.offsets.hasPendingResets, open.offsets.committed('billing', 'orders', 0)]).toEqual([false, 2])
})

test('a deleted topic takes its offsets along, also after a restart', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const rooms = await roomsWith(five, { disk })
  rooms.offsets.commit('billing', 'orders', 0, 3)
  await rooms.clock.advance(200)
  await rooms.client().request(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'orders' })
  expect(rooms.offsets.committed('billing', 'orders', 0)).toBe(-1)
  await rooms.clock.advance(200)
  open = await BrokerRooms.start({ disk: disk.killed() })
  expect(open.topics.find('orders')).toBeUndefined()
  expect(open.offsets.committed('billing', 'orders', 0)).toBe(-1)
})

test('offsets by number and by time', async () => {
  const rooms = await roomsWith(five)
  const at = rooms.clock.now()
  await rooms.clock.advance(1000)
  rooms.append('orders', 0)
  await rooms.settle()
  const client = rooms.client()
  const ask = async (code: number, over: Record<string, string | number> = {}): Promise<string | undefined> => {
    const { extFields } = await client.request(code, { topic: 'orders', queueId: 0, ...over })
    return extFields['offset'] ?? extFields['timestamp']
  }
  expect([await ask(30), await ask(31)]).toEqual(['6', '0'])
  expect(Number(await ask(32))).toBeLessThanOrEqual(at)
  expect(await ask(29, { timestamp: at + 500 })).toBe('5')
  expect(await ask(29, { timestamp: at + 500, boundaryType: 'UPPER' })).toBe('4')
  expect(await ask(29, { timestamp: 0, boundaryType: 'UPPER' })).toBe('0')
  expect(await ask(29, { timestamp: '9223372036854775807' })).toBe('6')
  expect((await client.request(30, { topic: 'nowhere', queueId: 0 })).code).toBe(17)
})
