import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { heartbeatBody } from '../../../../test/kit/broker-rooms.ts'
import { Popped, Pops, RETRY } from './lease-test-kit.ts'

const numbered = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n))

test('messages the subscription does not want are passed over, by tag and by SQL92, and retries are not filtered', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b'], 0, { tag: 'created' })
  await pops.send(['c', 'd'], 0, { tag: 'paid' })
  const paid = await pops.pop({ exp: 'paid || sent' })
  expect(paid.bodies).toEqual(['c', 'd'])
  expect(paid.fields).toMatchObject({ restNum: '0', msgOffsetInfo: '0 0 2,3' })
  expect(pops.committed()).toBe(2)
  await pops.send(['e', 'f'], 0, { tag: 'created' })
  const sql = await pops.pop({ expType: 'SQL92', exp: `TAGS = 'created'`, invisibleTime: 100 })
  expect(sql.bodies).toEqual(['e', 'f'])
  await pops.rooms.clock.advance(200)
  expect((await pops.pop({ exp: 'nothing' })).bodies).toEqual(['e', 'f'])
  expect((await pops.pop({ expType: 'SQL92', exp: 'TAGS =' })).code).toBe(ResponseCode.SUBSCRIPTION_PARSE_FAILED)
  expect((await pops.pop({ expType: 'XPATH', exp: '/' })).code).toBe(ResponseCode.SUBSCRIPTION_PARSE_FAILED)
  await pops.rooms.close()
})

test('a pop finds the one message it wants among thousands, also without waiting', async () => {
  const pops = await Pops.start()
  await pops.send(numbered(3000), 0, { tag: 'created' })
  await pops.send(['wanted'], 0, { tag: 'paid' })
  expect((await pops.pop({ exp: 'paid' })).bodies).toEqual(['wanted'])
  await pops.send(numbered(2000), 0, { tag: 'created' })
  expect((await pops.pop({ exp: 'paid' })).code).toBe(ResponseCode.POLLING_TIMEOUT)
  expect(pops.committed()).toBe(3000)
  await pops.rooms.close()
})

test('of two that wait behind a filter that takes long both get what they want', async () => {
  const pops = await Pops.start()
  const waiting = [1, 2].map(() => pops.askPop({ exp: 'paid', pollTime: 5_000, maxMsgNums: 1 }))
  await pops.rooms.settle()
  for (const body of numbered(2000)) pops.rooms.append('orders', 0, { body, tag: 'created' })
  for (const body of ['x', 'y']) pops.rooms.append('orders', 0, { body, tag: 'paid' })
  await pops.rooms.settle(50)
  const popped = await pops.rooms.clock.run(Promise.all(waiting))
  expect(
    popped
      .map((one) => new Popped(one).bodies)
      .flat()
      .toSorted(),
  ).toEqual(['x', 'y'])
  await pops.rooms.close()
})

test('a queue gives no more leases than it has room for, and goes on with the next ack', async () => {
  const pops = await Pops.start({ leasesPerQueueMax: 3 })
  await pops.send(numbered(5))
  const first = await pops.pop()
  expect(first.bodies).toEqual(['0', '1', '2'])
  expect((await pops.pop()).code).toBe(ResponseCode.POLLING_TIMEOUT)
  const waiting = pops.askPop({ pollTime: 5_000 })
  await pops.rooms.settle()
  await pops.ack(first.receipts[1]!)
  expect(new Popped(await pops.rooms.clock.run(waiting)).bodies).toEqual(['3'])
  expect(pops.rooms.leases.stats().live).toBe(3)
  await pops.rooms.close()
})

test('a reset moves the group at once, and acks of what was popped before do not touch what came after', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b', 'c'])
  const before = await pops.pop()
  const reset = async (offset: number): Promise<void> => {
    const fields = { topic: 'orders', group: 'billing', timestamp: -1, isForce: true, offset, queueId: 0 }
    expect((await pops.client.request(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, fields)).code).toBe(0)
  }
  await reset(0)
  await reset(1)
  expect(pops.committed()).toBe(1)
  expect((await pops.ack(before.receipts[2]!)).code).toBe(ResponseCode.NO_MESSAGE)
  const after = await pops.pop()
  expect(after.bodies).toEqual(['b', 'c'])
  expect((await pops.ack(before.receipts[1]!)).code).toBe(ResponseCode.NO_MESSAGE)
  expect(pops.committed()).toBe(1)
  expect((await pops.ack(after.receipts[0]!)).code).toBe(0)
  expect(pops.committed()).toBe(2)
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 1, revoked: 3 })
  await pops.rooms.close()
})

test('a reset before the group consumed anything holds for its first pop, and waiting pops follow one', async () => {
  const pops = await Pops.start()
  pops.rooms.groups.ensure('billing')
  await pops.send(['a', 'b', 'c'])
  await pops.rooms.clock.run(pops.rooms.offsets.reset('billing', 'orders', 0, 2))
  expect((await pops.pop()).bodies).toEqual(['c'])
  const waiting = pops.askPop({ pollTime: 5_000 })
  await pops.rooms.settle()
  await pops.rooms.clock.run(pops.rooms.offsets.reset('billing', 'orders', 0, 1))
  expect(new Popped(await pops.rooms.clock.run(waiting)).bodies).toEqual(['b', 'c'])
  await pops.rooms.close()
})

test('what members that pull have committed is settled for those that pop', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b', 'c', 'd'])
  const held = await pops.pop({ maxMsgNums: 1, invisibleTime: 1_000 })
  pops.rooms.offsets.commit('billing', 'orders', 0, 3)
  expect((await pops.pop()).bodies).toEqual(['d'])
  expect((await pops.ack(held.receipts[0]!)).code).toBe(0)
  await pops.rooms.clock.advance(2_000)
  expect(pops.bodiesOf(RETRY)).toEqual([])
  expect(pops.committed()).toBe(3)
  await pops.rooms.close()
})

test('a batch ack settles the messages its bits name, across queues and retries', async () => {
  const pops = await Pops.start()
  await pops.send(['r'])
  await pops.pop({ invisibleTime: 100 })
  await pops.rooms.clock.advance(200)
  await pops.send(['a', 'b', 'c', 'd'])
  const popped = await pops.pop()
  expect(popped.bodies).toEqual(['a', 'b', 'c', 'd', 'r'])
  const { popTime, reviveQid } = popped.fields
  const entry = (over: object) => ({
    c: 'billing',
    it: 10_000,
    pt: Number(popTime),
    q: 0,
    rq: Number(reviveQid),
    ...over,
  })
  const acks = [
    entry({ b: Buffer.of(0b1011).toString('base64'), r: '0', so: 1, t: 'orders' }),
    entry({ b: Buffer.of(1).toString('base64'), r: '1', so: 0, t: RETRY }),
  ]
  const send = (body: unknown) => pops.client.request(RequestCode.BATCH_ACK_MESSAGE, {}, { body })
  expect((await send({ acks, brokerName: 'tandemmq' })).code).toBe(0)
  expect([pops.committed(), pops.committed(RETRY), pops.rooms.leases.stats().live]).toEqual([3, 1, 1])
  const stale = entry({ b: Buffer.of(0b1000).toString('base64'), r: '0', so: 0, t: 'orders', pt: 1 })
  expect((await send({ acks: [stale] })).code).toBe(ResponseCode.NO_MESSAGE)
  const half = await send({ acks: [entry({ b: Buffer.of(0b1101).toString('base64'), r: '0', so: 1, t: 'orders' })] })
  expect([half.code, half.remark]).toEqual([0, undefined])
  expect((await send({ acks: 'none' })).code).toBe(ResponseCode.INVALID_PARAMETER)
  expect((await send('[')).code).toBe(ResponseCode.INVALID_PARAMETER)
  await pops.rooms.close()
})

test('clients with binary headers pop and ack by what is left of the codes; with JSON headers those mean nothing', async () => {
  const pops = await Pops.start()
  await pops.send(['a'])
  const bornTime = pops.rooms.clock.now()
  const fields = {
    ...{ consumerGroup: 'billing', topic: 'orders', queueId: 0, maxMsgNums: 1, invisibleTime: 1_000, pollTime: 0 },
    ...{ bornTime, initMode: 0 },
  }
  expect((await pops.client.request(3442, fields)).code).toBe(ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
  const popped = new Popped(await pops.client.request(3442, fields, { serialization: 1 }))
  expect(popped.bodies).toEqual(['a'])
  const ack = { consumerGroup: 'billing', topic: 'orders', queueId: 0, offset: 0, extraInfo: popped.receipts[0]! }
  expect((await pops.client.request(3443, ack, { serialization: 1 })).code).toBe(0)
  expect(pops.committed()).toBe(1)
  await pops.rooms.close()
})

test('what cannot be served is refused with a code that says why', async () => {
  const pops = await Pops.start()
  await pops.send(['a'])
  const code = async (over: Record<string, string | number | boolean>): Promise<number> => (await pops.pop(over)).code
  expect(await code({ topic: 'nowhere' })).toBe(ResponseCode.TOPIC_NOT_EXIST)
  expect(await code({ queueId: 1 })).toBe(ResponseCode.INVALID_PARAMETER)
  expect(await code({ queueId: -2 })).toBe(ResponseCode.INVALID_PARAMETER)
  expect(await code({ maxMsgNums: 33 })).toBe(ResponseCode.INVALID_PARAMETER)
  expect(await code({ invisibleTime: 0 })).toBe(ResponseCode.INVALID_PARAMETER)
  expect(await code({ invisibleTime: 86_400_001 })).toBe(ResponseCode.INVALID_PARAMETER)
  expect(await code({ invisibleTime: 'soon' })).toBe(ResponseCode.INVALID_PARAMETER)
  expect(await code({ consumerGroup: 'no group!' })).toBe(ResponseCode.INVALID_PARAMETER)
  expect(await code({ bornTime: pops.rooms.clock.now() - 1_000 })).toBe(ResponseCode.POLLING_TIMEOUT)
  expect(pops.rooms.leases.stats().live).toBe(0)
  const [receipt] = (await pops.pop()).receipts
  expect((await pops.ack(receipt!, { offset: 1000 })).code).toBe(ResponseCode.NO_MESSAGE)
  expect((await pops.ack(receipt!, { offset: -1 })).code).toBe(ResponseCode.NO_MESSAGE)
  expect((await pops.ack(receipt!, { queueId: 7 })).code).toBe(ResponseCode.MESSAGE_ILLEGAL)
  expect((await pops.ack(receipt!, { topic: 'nowhere' })).code).toBe(ResponseCode.TOPIC_NOT_EXIST)
  expect((await pops.ack(receipt!, { extraInfo: 'nonsense' })).code).toBe(ResponseCode.INVALID_PARAMETER)
  expect((await pops.ack(receipt!, { consumerGroup: 'other' })).code).toBe(ResponseCode.NO_MESSAGE)
  expect((await pops.hide(receipt!, -1)).code).toBe(ResponseCode.INVALID_PARAMETER)
  expect((await pops.ack(receipt!)).code).toBe(0)
  await pops.rooms.close()
})

test('a thousand pops may wait for one queue, the next one is told that it is full', async () => {
  const pops = await Pops.start()
  const asked = Array.from({ length: 1024 }, () => pops.askPop({ pollTime: 1_000 }))
  await pops.rooms.settle(50)
  const full = await pops.pop({ pollTime: 1_000 })
  expect(full).toMatchObject({ code: ResponseCode.POLLING_FULL, fields: { restNum: '0' } })
  const info = { consumerGroup: 'billing', topic: 'orders', queueId: -1 }
  const { extFields } = await pops.client.request(RequestCode.POLLING_INFO, info)
  expect(extFields).toEqual({ pollingNum: '1024' })
  const codes = new Set((await pops.rooms.clock.run(Promise.all(asked))).map(({ code }) => code))
  expect([...codes]).toEqual([ResponseCode.POLLING_TIMEOUT])
  await pops.rooms.close()
})

test('a peek shows messages and leases none; a notification waits and takes none', async () => {
  const pops = await Pops.start()
  const base = { consumerGroup: 'billing', topic: 'orders', queueId: -1 }
  const ask = { ...base, pollTime: 5_000, bornTime: pops.rooms.clock.now() }
  const peek = () => pops.client.request(RequestCode.PEEK_MESSAGE, { ...base, maxMsgNums: 1 })
  expect((await peek()).code).toBe(ResponseCode.PULL_NOT_FOUND)
  const notified = pops.client.ask(RequestCode.NOTIFICATION, ask)
  await pops.rooms.settle()
  await pops.send(['a'])
  expect((await pops.rooms.clock.run(notified)).extFields).toEqual({ hasMsg: 'true', pollingFull: 'false' })
  const peeked = await peek()
  expect(peeked.extFields).toEqual({ invisibleTime: '0', restNum: '1', popTime: '0', reviveQid: '0' })
  expect([peeked.code, peeked.remark]).toEqual([0, 'FOUND'])
  expect((await pops.pop()).bodies).toEqual(['a'])
  expect((await peek()).code).toBe(ResponseCode.PULL_NOT_FOUND)
  const { extFields } = await pops.client.request(RequestCode.NOTIFICATION, { ...ask, pollTime: 0 })
  expect(extFields).toEqual({ hasMsg: 'false', pollingFull: 'false' })
  await pops.rooms.close()
})

test('the retry topics of two pairs whose names run together are two', async () => {
  const pops = await Pops.start()
  for (const topic of ['c', 'b_c']) {
    pops.rooms.topics.create({ name: topic, readQueues: 1, writeQueues: 1 })
    pops.rooms.append(topic, 0, { body: `of ${topic}` })
  }
  await pops.rooms.settle()
  const both = [
    { topic: 'c', consumerGroup: 'a_b' },
    { topic: 'b_c', consumerGroup: 'a' },
  ] as const
  for (const pair of both) await pops.pop({ ...pair, invisibleTime: 100 })
  await pops.rooms.clock.advance(200)
  const again: string[][] = []
  for (const pair of both) {
    const popped = new Popped(await pops.client.request(RequestCode.POP_MESSAGE, popOf(pops, pair)), pair.topic)
    again.push([...popped.bodies, popped.fields['startOffsetInfo']!])
    const extraInfo = popped.receipts[0]!
    const flag = extraInfo.split(' ')[4]
    const topic =
      flag === '1' ? `%RETRY%${pair.consumerGroup}_${pair.topic}` : `%RETRY%${pair.consumerGroup}+${pair.topic}`
    expect((await pops.ack(extraInfo, { ...pair, topic })).code).toBe(0)
  }
  expect(again).toEqual([
    ['of c', '1 0 0'],
    ['of b_c', '2 0 0'],
  ])
  await pops.rooms.close()
})

test('names of any length have their retry topic', async () => {
  const pops = await Pops.start()
  const topic = 't'.repeat(127)
  const consumerGroup = 'g'.repeat(255)
  pops.rooms.topics.create({ name: topic, readQueues: 1, writeQueues: 1 })
  pops.rooms.append(topic, 0, { body: 'long' })
  await pops.rooms.settle()
  await pops.client.request(RequestCode.POP_MESSAGE, popOf(pops, { topic, consumerGroup, invisibleTime: 100 }))
  await pops.rooms.clock.advance(200)
  const again = await pops.client.request(RequestCode.POP_MESSAGE, popOf(pops, { topic, consumerGroup }))
  expect(new Popped(again, topic).messages[0]).toMatchObject({ topic, reconsumeTimes: 1 })
  await pops.rooms.close()
})

test('the end of a queue that lost its first messages is its last message, and retries come before a long backlog', async () => {
  const pops = await Pops.start()
  await pops.send(numbered(50))
  const queue = pops.rooms.topics.find('orders')!.queues[0]!
  queue.minOffset = 10
  expect((await pops.pop({ initMode: 1, consumerGroup: 'late' })).bodies).toEqual(['49'])
  expect((await pops.pop({ initMode: 0, maxMsgNums: 1, invisibleTime: 100 })).bodies).toEqual(['10'])
  await pops.rooms.clock.advance(200)
  const popped: string[] = []
  for (let i = 0; i < 5; i++) popped.push(...(await pops.pop({ maxMsgNums: 1 })).bodies)
  expect(popped).toContain('10')
  await pops.rooms.close()
})

test('what is leased is pinned in the log until it is settled', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b'])
  const queue = pops.rooms.topics.find('orders')!.queues[0]!
  expect(pops.rooms.leases.earliestPinned()).toBe(Infinity)
  const [a, b] = (await pops.pop()).receipts
  await pops.ack(a!)
  expect(pops.rooms.leases.earliestPinned()).toBe(queue.physicalOffset(1))
  await pops.ack(b!)
  expect(pops.rooms.leases.earliestPinned()).toBe(Infinity)
  await pops.rooms.close()
})

test('a copy that cannot be stored is tried again, and until then the holder may still acknowledge', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b'])
  const { receipts } = await pops.pop({ invisibleTime: 1_000 })
  const { store } = pops.rooms
  const append = store.append.bind(store)
  store.append = () => {
    throw new Error('no room')
  }
  await pops.rooms.clock.advance(1_500)
  expect((await pops.ack(receipts[0]!)).code).toBe(0)
  store.append = append
  await pops.rooms.clock.advance(2_000)
  expect(pops.bodiesOf(RETRY)).toEqual(['b'])
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 0, expired: 2, acked: 1, retried: 1 })
  await pops.rooms.close()
})

test('whoever waits is told when the topic goes, and a closed connection waits no longer', async () => {
  const pops = await Pops.start()
  const waiting = pops.askPop({ pollTime: 5_000 })
  const other = pops.rooms.client()
  const gone = other.ask(RequestCode.NOTIFICATION, {
    ...{ consumerGroup: 'billing', topic: 'orders', queueId: 0, pollTime: 9_000, bornTime: pops.rooms.clock.now() },
  })
  gone.catch(() => {})
  await pops.rooms.settle()
  expect(pops.rooms.leases.stats().waiting).toBe(2)
  ;(await other.connection()).destroy()
  await pops.rooms.settle()
  expect(pops.rooms.leases.stats().waiting).toBe(1)
  await pops.rooms.clock.run(pops.rooms.topics.delete('orders'))
  expect((await pops.rooms.clock.run(waiting)).code).toBe(ResponseCode.TOPIC_NOT_EXIST)
  await pops.rooms.close()
})

test('a group that may not consume pops nothing, and one that is deleted holds nothing', async () => {
  const pops = await Pops.start()
  await pops.client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody() })
  await pops.send(['a'])
  const [receipt] = (await pops.pop()).receipts
  const { config } = pops.rooms.groups.require('billing')
  pops.rooms.groups.configure({ ...config, consumeEnable: false })
  expect((await pops.pop()).code).toBe(ResponseCode.NO_PERMISSION)
  const deletion = { groupName: 'billing', cleanOffset: true }
  expect((await pops.client.request(RequestCode.DELETE_SUBSCRIPTIONGROUP, deletion)).code).toBe(0)
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 0, queues: 0 })
  expect((await pops.ack(receipt!)).code).toBe(ResponseCode.NO_MESSAGE)
  await pops.rooms.close()
})

function popOf(pops: Pops, over: Record<string, string | number>): Record<string, string | number> {
  return {
    ...{ queueId: -1, maxMsgNums: 32, invisibleTime: 10_000, pollTime: 0, initMode: 0 },
    bornTime: pops.rooms.clock.now(),
    ...over,
  }
}
