import { PropertyName, ResponseCode } from '@tandemmq/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { groupConfigOf } from '../group-config.ts'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import { LeaseBatch } from './lease-batch.ts'
import type { LeaseQueue } from './lease-queue.ts'
import { PopAttempts } from './pop-attempts.ts'
import type { PopRequest } from './pop-request.ts'
import { Popped, Pops, RETRY } from './lease-test-kit.ts'

const KEYED = { order: true, orderByKey: true }
const mine = { attemptId: 'mine', maxMsgNums: 2 }

let pops: Pops
beforeEach(async () => {
  pops = await Pops.start({}, 2)
})
afterEach(() => pops.rooms.close())

test('the same attempt gets the same messages again, and only its newer receipts count', async () => {
  await pops.send(['a', 'b', 'c'])
  const lost = await pops.pop(mine)
  await pops.rooms.clock.advance(4_000)
  const again = await pops.pop(mine)
  expect([lost.bodies, again.bodies]).toEqual([
    ['a', 'b'],
    ['a', 'b'],
  ])
  expect((await pops.ack(lost.receipts[0]!)).code).toBe(ResponseCode.NO_MESSAGE)
  expect((await pops.ack(again.receipts[0]!)).code).toBe(0)
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 1, popped: 2 })
  // The time of the lease begins with the answer that arrived.
  await pops.rooms.clock.advance(9_900)
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 1, expired: 0 })
  expect((await pops.ack(again.receipts[1]!)).code).toBe(0)
  expect(pops.committed()).toBe(2)
})

test('another attempt gets what is left', async () => {
  await pops.send(['a', 'b', 'c'])
  await pops.pop(mine)
  expect((await pops.pop({ attemptId: 'other' })).bodies).toEqual(['c'])
  expect((await pops.pop({ ...mine, consumerGroup: 'stock' })).bodies).toEqual(['a', 'b'])
})

test('what was settled or prolonged of the answer does not come again, and when all of it was there is something new', async () => {
  await pops.send(['a', 'b', 'c', 'd', 'e'])
  const [a, b, c] = (await pops.pop({ ...mine, maxMsgNums: 3 })).receipts
  await pops.ack(a!)
  await pops.hide(b!, 20_000)
  expect((await pops.pop(mine)).bodies).toEqual(['c'])
  expect((await pops.ack(c!)).code).toBe(ResponseCode.NO_MESSAGE)
  const again = await pops.pop(mine)
  expect(again.bodies).toEqual(['c'])
  await pops.ack(again.receipts[0]!)
  expect((await pops.pop(mine)).bodies).toEqual(['d', 'e'])
})

test('an attempt counts for the time of its first leases: repeats keep nothing for ever', async () => {
  await pops.send(['a'])
  await pops.pop(mine)
  await pops.rooms.clock.advance(6_000)
  expect((await pops.pop(mine)).bodies).toEqual(['a'])
  await pops.rooms.clock.advance(6_000)
  expect((await pops.pop(mine)).code).toBe(ResponseCode.POLLING_TIMEOUT)
  await pops.rooms.clock.advance(4_001)
  await pops.rooms.settle()
  const retry = await pops.pop(mine)
  expect(retry.messages).toMatchObject([{ reconsumeTimes: 1 }])
})

test('copies from the retry topic come again with receipts that count', async () => {
  await pops.send(['a'])
  await pops.pop({ invisibleTime: 100 })
  await pops.rooms.clock.advance(200)
  await pops.rooms.settle()
  const lost = await pops.pop(mine)
  const again = await pops.pop(mine)
  expect(again.messages).toMatchObject([{ topic: 'orders', reconsumeTimes: 1 }])
  expect((await pops.ack(lost.receipts[0]!, { topic: RETRY })).code).toBe(ResponseCode.NO_MESSAGE)
  expect((await pops.ack(again.receipts[0]!, { topic: RETRY })).code).toBe(0)
  expect(pops.rooms.leases.stats().live).toBe(0)
})

test('by key the same attempt gets the same messages, and the repeat counts as no delivery', async () => {
  for (const body of ['a1', 'a2', 'b1']) {
    const properties = { [PropertyName.SHARDING_KEY]: body.slice(0, 1) }
    pops.rooms.append('orders', 0, { body, uniqueKey: body, properties })
  }
  await pops.rooms.settle()
  await pops.pop({ ...mine, ...KEYED })
  const again = await pops.pop({ ...mine, ...KEYED })
  expect(again.bodies).toEqual(['a1', 'b1'])
  expect(again.fields).toMatchObject({ orderCountInfo: '0 0 0', reviveQid: '998' })
  for (const receipt of again.receipts) expect((await pops.ack(receipt)).code).toBe(0)
  expect((await pops.pop({ ...mine, ...KEYED })).bodies).toEqual(['a2'])
})

test('a repeat takes the place of the question that still waits on a dead connection', async () => {
  const waiting = pops.askPop({ ...mine, pollTime: 60_000 })
  await pops.rooms.settle()
  const other = pops.rooms.client()
  const fields = { consumerGroup: 'billing', topic: 'orders', queueId: -1, maxMsgNums: 2, invisibleTime: 10_000 }
  const more = { pollTime: 60_000, bornTime: pops.rooms.clock.now(), initMode: 0, expType: 'TAG', exp: '*' }
  const repeat = other.ask(200050, { ...fields, ...more, order: false, attemptId: 'mine' })
  await pops.rooms.settle()
  expect(pops.rooms.leases.stats().waiting).toBe(1)
  await pops.send(['a'])
  expect(new Popped(await pops.rooms.clock.run(repeat)).bodies).toEqual(['a'])
  expect((await pops.rooms.clock.run(waiting)).code).toBe(ResponseCode.POLLING_TIMEOUT)
})

test('a group that was moved, and a topic that was deleted, give nothing again', async () => {
  pops.rooms.groups.configure(groupConfigOf({ groupName: 'billing' }))
  await pops.send(['a', 'b', 'c'])
  await pops.pop(mine)
  await pops.client.request(222, {
    topic: 'orders',
    group: 'billing',
    timestamp: -1,
    isForce: true,
    offset: 2,
    queueId: 0,
  })
  expect((await pops.pop(mine)).bodies).toEqual(['c'])
  await pops.rooms.clock.run(pops.rooms.topics.delete('orders'))
  pops.rooms.topics.create({ name: 'orders', readQueues: 1, writeQueues: 1 })
  await pops.send(['new'])
  expect((await pops.pop(mine)).bodies).toEqual(['new'])
})

test('other attempts make nobody forget one; ids that come from no client are not remembered', async () => {
  await pops.send(['a'])
  await pops.pop(mine)
  for (let n = 0; n < 100; n++) pops.rooms.append('orders', 1, { body: `${n}` })
  await pops.rooms.settle()
  for (let n = 0; n < 100; n++) expect((await pops.pop({ attemptId: `n${n}`, maxMsgNums: 1 })).bodies).toHaveLength(1)
  expect((await pops.pop(mine)).bodies).toEqual(['a'])
  expect((await pops.pop({ attemptId: 'x'.repeat(129) })).code).toBe(ResponseCode.POLLING_TIMEOUT)
})

test('of more attempts than are remembered the oldest is forgotten, and what is over makes room', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const attempts = new PopAttempts({
    clock,
    receipts: { holds: () => true, renew() {} } as never,
    scan: { recordOf: () => Buffer.from('m') } as never,
    originals: {} as never,
    sourceOf: () => ({}) as never,
    givenMax: 2,
  })
  const request = (attemptId: string, invisibleMs = 1_000) =>
    ({
      attemptId,
      invisibleMs,
      isOrdered: false,
      queueId: -1,
      group: { name: 'g' },
      topic: { name: 't' },
    }) as PopRequest
  const keep = (attemptId: string, invisibleMs?: number): void => {
    const batch = new LeaseBatch(1, 0)
    batch.reserve(1)
    batch.add(0, { topic: 't', queueId: 0 } as LeaseQueue, [0], [Buffer.from('m')])
    attempts.keep(request(attemptId, invisibleMs), batch)
  }
  for (const id of ['a', 'b', 'c']) keep(id)
  expect(attempts.again(request('a'))).toBeUndefined()
  expect(attempts.again(request('b'))?.parts).toMatchObject([{ offsets: [0] }])
  expect(attempts.size).toBe(2)
  await clock.advance(1_001)
  keep('d')
  expect(attempts.size).toBe(1)
})
