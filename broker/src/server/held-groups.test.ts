import { encodeBatch, encodeProperties, RequestCode, TandemRequestCode } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

const HELD_QUEUE = 'RMQ_SYS_TANDEM_HELD_TOPIC'
let world: MemoryBroker
afterEach(() => world.close())

const seen = (topic = 'orders'): string[] => world.broker.messages(topic).map(({ body }) => body.toString())
const send = (body: string, key: string, more: Record<string, string> = {}) =>
  world.send('orders', body, { UNIQ_KEY: body, __SHARDINGKEY: key, ...more })
const half = async (body: string, key: string) => {
  const answer = await send(body, key, { TRAN_MSG: 'true', PGROUP: 'p' })
  const commitLogOffset = Number.parseInt(String(answer.extFields['msgId']).slice(16), 16)
  return { commitLogOffset, tranStateTableOffset: Number(answer.extFields['queueOffset']) }
}
const end = async (at: Awaited<ReturnType<typeof half>>, commitOrRollback: 8 | 12) => {
  const fields = { ...at, commitOrRollback, producerGroup: 'p', fromTransactionCheck: false }
  const { extFields } = await world.request(RequestCode.END_TRANSACTION, fields)
  await world.clock.advance(1)
  return extFields['outcome']
}
const list = async () =>
  JSON.parse((await world.request(TandemRequestCode.LIST_HELD_GROUPS)).body.toString()) as {
    groups: Record<string, unknown>[]
    total: number
    held: number
  }

test('operators see which keys are held, how many messages, and the half message they wait for', async () => {
  world = await MemoryBroker.start()
  const at = await half('h', 'c-7')
  expect(await list()).toEqual({ groups: [], total: 0, held: 0 })
  for (const body of ['m1', 'm2']) await send(body, 'c-7')
  await world.clock.advance(5_000)
  const { groups, total, held } = await list()
  expect([groups.length, total, held]).toEqual([1, 1, 2])
  expect(groups[0]).toMatchObject({ topic: 'orders', key: 'c-7', held: 2 })
  expect(groups[0]?.['heldForMs']).toBeGreaterThanOrEqual(5_000)
  expect(groups[0]?.['waitsFor']).toMatchObject({ physicalOffset: at.commitLogOffset, group: 'p', holdsBack: 2 })
  const transactions = JSON.parse((await world.request(TandemRequestCode.LIST_TRANSACTIONS)).body.toString())
  expect(transactions.transactions).toMatchObject([{ holdsBack: 2 }])
  expect(await end(at, 12)).toBe('rolledBack')
  expect([await list(), seen()]).toEqual([{ groups: [], total: 0, held: 0 }, ['m1', 'm2']])
})

test('a repeat of a held message is answered with the first one, before and after its release', async () => {
  world = await MemoryBroker.start()
  const at = await half('h', 'k')
  const first = await send('m', 'k')
  const again = await send('m', 'k')
  await end(at, 8)
  const later = await send('m', 'k')
  for (const { extFields } of [again, later]) {
    expect(extFields).toMatchObject({ dedup: '1', msgId: first.extFields['msgId'], queueOffset: '0' })
  }
  await world.restart()
  expect((await send('m', 'k')).extFields).toMatchObject({ dedup: '1', msgId: first.extFields['msgId'] })
  expect(seen()).toEqual(['h', 'm'])
})

test('members of a batch are held by their own keys and keep their topic and queue', async () => {
  world = await MemoryBroker.start()
  const at = await half('h', 'k')
  const member = (body: string, key: string) => {
    const properties = encodeProperties({ UNIQ_KEY: body, __SHARDINGKEY: key })
    return { flag: 0, body: Buffer.from(body), properties }
  }
  const batch = encodeBatch([member('m1', 'k'), member('x', 'other'), member('m2', 'k'), member('y', 'other')])
  const names = { a: 'p', b: 'orders', c: 'TBW102', d: 4, e: 0, f: 0, g: 1, h: 0, j: 0, k: false, m: true }
  const answer = await world.request(RequestCode.SEND_BATCH_MESSAGE, { ...names, i: '' }, batch)
  expect(answer.code).toBe(0)
  expect(seen()).toEqual(['x', 'y'])
  expect(answer.extFields).toMatchObject({ queueOffsets: '0,0,1,1' })
  await end(at, 8)
  expect(seen()).toEqual(['x', 'y', 'h', 'm1', 'm2'])
  expect(world.broker.messages('orders').map(({ queueId, topic }) => [queueId, topic])).toEqual(
    Array.from({ length: 5 }, () => [0, 'orders']),
  )
})

test('a delayed message takes its place when its time comes', async () => {
  world = await MemoryBroker.start()
  await send('delayed', 'k', { TIMER_DELAY_MS: '1000' })
  const at = await half('h', 'k')
  await send('m1', 'k')
  await world.clock.advance(1_500)
  await send('m2', 'k')
  expect([seen(), (await list()).held]).toEqual([[], 3])
  await world.restart()
  expect([seen(), (await list()).held]).toEqual([[], 3])
  await end(at, 8)
  expect(seen()).toEqual(['h', 'm1', 'delayed', 'm2'])
  expect(world.broker.stats().delay.pending).toBe(0)
})

test('a half message that is delayed after its commit has no place: nobody waits for it', async () => {
  world = await MemoryBroker.start()
  await send('h', 'k', { TRAN_MSG: 'true', PGROUP: 'p', TIMER_DELAY_MS: '1000' })
  await send('m', 'k')
  expect(seen()).toEqual(['m'])
})

test('held messages survive restarts with and without a checkpoint, and go on in order', async () => {
  world = await MemoryBroker.start()
  const a = await half('a', 'k')
  await send('m1', 'k')
  const b = await half('b', 'k')
  expect(await end(b, 8)).toBe('committed')
  await world.restart()
  expect([seen(), (await list()).held]).toEqual([[], 2])
  world.disk.list('/data/checkpoint').forEach((name) => world.disk.remove(`/data/checkpoint/${name}`))
  await send('m2', 'k')
  await world.close()
  world.disk.list('/data/checkpoint').forEach((name) => world.disk.remove(`/data/checkpoint/${name}`))
  await world.restart()
  expect((await list()).held).toBe(3)
  await end(a, 8)
  expect(seen()).toEqual(['a', 'm1', 'b', 'm2'])
  await world.restart()
  expect([seen(), (await list()).held]).toEqual([['a', 'm1', 'b', 'm2'], 0])
})

test('held messages of a deleted topic are not delivered, also when there is a topic of that name again', async () => {
  world = await MemoryBroker.start()
  const at = await half('h', 'k')
  await send('old', 'k')
  expect((await world.request(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'orders' })).code).toBe(0)
  await send('new', 'k')
  await end(at, 12)
  expect([seen(), world.broker.stats().order]).toMatchObject([['new'], { held: 0, orphaned: 1, released: 1 }])
  await world.restart()
  expect([seen(), world.broker.stats().order.held]).toEqual([['new'], 0])
})

test('switched off nothing is held, and what was held is released in order at the start', async () => {
  world = await MemoryBroker.start()
  const at = await half('h', 'k')
  await send('m1', 'k')
  await send('m2', 'k')
  await world.restart({ transactionOrder: false })
  await world.clock.advance(1)
  expect(seen()).toEqual(['m1', 'm2'])
  await send('m3', 'k')
  expect(seen()).toEqual(['m1', 'm2', 'm3'])
  expect(await end(at, 8)).toBe('committed')
  await world.restart()
  expect([seen(), (await list()).held]).toEqual([['m1', 'm2', 'm3', 'h'], 0])
})

test('above heldMessagesMax a message of a held key is refused with when to come back; other keys go on', async () => {
  world = await MemoryBroker.start({ heldMessagesMax: 2 })
  const at = await half('h', 'k')
  await send('m1', 'k')
  await send('m2', 'k')
  const refused = await send('m3', 'k')
  expect([refused.code, refused.remark]).toEqual([2, expect.stringContaining('[HELD] 2 messages wait')])
  expect(refused.extFields['retryAfterMs']).toBe('1000')
  expect((await send('x', 'other')).code).toBe(0)
  await end(at, 8)
  expect((await send('m3', 'k')).code).toBe(0)
  expect(seen()).toEqual(['x', 'h', 'm1', 'm2', 'm3'])
})

test('nobody may send to the topic of held messages', async () => {
  world = await MemoryBroker.start()
  expect((await world.send(HELD_QUEUE, 'x', { REAL_TOPIC: 'orders', REAL_QID: '0', __SHARDINGKEY: 'k' })).code).toBe(16)
})
