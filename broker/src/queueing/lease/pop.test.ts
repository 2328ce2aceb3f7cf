import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { heartbeatBody } from '../../../../test/kit/broker-rooms.ts'
import { StoreError } from '../../store/store-error.ts'
import { Popped, Pops, RETRY } from './lease-test-kit.ts'

test('a pop leases messages, acks settle them, and the committed offset follows the first that is open', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b', 'c', 'd'])
  const first = await pops.pop({ maxMsgNums: 3 })
  expect(first.code).toBe(ResponseCode.SUCCESS)
  expect(first.bodies).toEqual(['a', 'b', 'c'])
  expect(first.fields).toMatchObject({
    ...{ invisibleTime: '10000', restNum: '1', startOffsetInfo: '0 0 0', msgOffsetInfo: '0 0 0,1,2' },
  })
  expect(pops.rooms.clock.now() - Number(first.fields['popTime'])).toBeLessThan(10)
  expect(first.fields['orderCountInfo']).toBeUndefined()
  expect((await pops.pop()).bodies).toEqual(['d'])
  expect(await pops.pop()).toMatchObject({ code: ResponseCode.POLLING_TIMEOUT, fields: { restNum: '0' } })
  const [a, b, c] = first.receipts
  expect((await pops.ack(b!)).code).toBe(0)
  expect(pops.committed()).toBe(0)
  expect((await pops.ack(a!)).code).toBe(0)
  expect(pops.committed()).toBe(2)
  expect((await pops.ack(a!)).code).toBe(0)
  expect((await pops.ack(c!)).code).toBe(0)
  expect(pops.committed()).toBe(3)
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 1, popped: 4, acked: 3, expired: 0, stale: 0, queues: 1 })
  await pops.rooms.close()
})

test('what is not acknowledged in time comes again from the retry topic, counted, with its first pop time', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b'])
  const first = await pops.pop({ invisibleTime: 1000 })
  await pops.ack(first.receipts[1]!)
  await pops.rooms.clock.advance(990)
  expect((await pops.pop()).code).toBe(ResponseCode.POLLING_TIMEOUT)
  await pops.rooms.clock.advance(20)
  expect(pops.bodiesOf(RETRY)).toEqual(['a'])
  expect(pops.committed()).toBe(2)
  const again = await pops.pop()
  expect(again.fields).toMatchObject({ startOffsetInfo: '1 0 0', msgOffsetInfo: '1 0 0' })
  const [message] = again.messages
  expect(message).toMatchObject({ topic: 'orders', queueId: 0, reconsumeTimes: 1 })
  expect(message!.properties).toMatchObject({ '1ST_POP_TIME': first.fields['popTime'], UNIQ_KEY: 'id-a' })
  const { popTime, reviveQid } = again.fields
  expect(again.receipts).toEqual([`0 ${popTime} 10000 ${reviveQid} 1 tandemmq 0 0`])
  const late = await pops.ack(first.receipts[0]!)
  expect(late.code).toBe(ResponseCode.NO_MESSAGE)
  expect((await pops.ack(again.receipts[0]!)).code).toBe(0)
  expect(pops.committed(RETRY)).toBe(1)
  await pops.rooms.clock.advance(60_000)
  expect((await pops.pop()).code).toBe(ResponseCode.POLLING_TIMEOUT)
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 0, expired: 1, retried: 1, acked: 2, stale: 1 })
  await pops.rooms.close()
})

test('after the redeliveries of its group a message is a dead letter that names its origin', async () => {
  const pops = await Pops.start()
  await pops.client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody() })
  const group = pops.rooms.groups.require('billing')
  pops.rooms.groups.configure({ ...group.config, retryMaxTimes: 2 })
  await pops.send(['a'])
  const times: number[] = []
  for (let i = 0; i < 4; i++) {
    const popped = await pops.pop({ invisibleTime: 100 })
    times.push(...popped.messages.map(({ reconsumeTimes }) => reconsumeTimes))
    await pops.rooms.clock.advance(200)
  }
  expect(times).toEqual([0, 1, 2])
  const [dead] = pops.messagesOf('%DLQ%billing')
  expect(dead!.body.toString()).toBe('a')
  expect(dead!.properties).toMatchObject({
    ...{ UNIQ_KEY: 'id-a', DLQ_ORIGIN_TOPIC: 'orders', RETRY_TOPIC: 'orders', DLQ_REASON: '3 deliveries failed' },
    DLQ_ORIGIN_MESSAGE_ID: pops.messagesOf('orders')[0]!.offsetMessageId,
  })
  expect(pops.committed(RETRY)).toBe(2)
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 0, expired: 3, retried: 2, deadLettered: 1 })
  await pops.rooms.close()
})

test('a new invisible time counts from now and ends the old receipt', async () => {
  const pops = await Pops.start()
  await pops.send(['a'])
  const [receipt] = (await pops.pop({ invisibleTime: 1000 })).receipts
  await pops.rooms.clock.advance(500)
  const hidden = await pops.hide(receipt!, 2000)
  expect(hidden).toMatchObject({
    code: 0,
    extFields: { invisibleTime: '2000', popTime: String(pops.rooms.clock.now()) },
  })
  expect((await pops.ack(receipt!)).code).toBe(ResponseCode.NO_MESSAGE)
  expect((await pops.hide(receipt!, 5000)).code).toBe(ResponseCode.NO_MESSAGE)
  await pops.rooms.clock.advance(1900)
  expect(pops.rooms.leases.stats()).toMatchObject({ live: 1, expired: 0 })
  const { popTime, reviveQid } = hidden.extFields
  const next = await pops.hide(`0 ${popTime} 2000 ${reviveQid} 0 tandemmq 0 0`, 0)
  expect(next.code).toBe(0)
  await pops.rooms.settle()
  expect((await pops.pop()).messages[0]).toMatchObject({ reconsumeTimes: 1 })
  await pops.rooms.close()
})

test('a pop waits for a message, one message wakes one of them, and at its time it is told that there is none', async () => {
  const pops = await Pops.start({}, 2)
  const early = pops.askPop({ pollTime: 5000 })
  const late = pops.askPop({ pollTime: 5000, queueId: 1 })
  await pops.rooms.settle()
  expect(pops.rooms.leases.stats().waiting).toBe(2)
  await pops.send(['a'], 1)
  expect(new Popped(await pops.rooms.clock.run(early)).bodies).toEqual(['a'])
  expect(pops.rooms.leases.stats().waiting).toBe(1)
  const before = pops.rooms.clock.now()
  const nothing = new Popped(await pops.rooms.clock.run(late))
  expect(nothing).toMatchObject({
    code: ResponseCode.POLLING_TIMEOUT,
    fields: { startOffsetInfo: '', msgOffsetInfo: '' },
  })
  expect(pops.rooms.clock.now() - before).toBeGreaterThanOrEqual(4900)
  await pops.rooms.close()
})

test('F15: a damaged record is told, and hides none that stands before it or in another queue', async () => {
  const pops = await Pops.start({}, 2)
  await pops.send(['a', 'b'])
  await pops.send(['c'], 1)
  const { store, topics } = pops.rooms
  const damaged = topics.find('orders')!.queues[0]!.physicalOffset(1)
  const readInto = store.readInto.bind(store)
  store.readInto = (physicalOffset, size, target, at) => {
    if (physicalOffset === damaged) throw new StoreError('LOG_DAMAGED', `bytes ${damaged} of the log are damaged`)
    return readInto(physicalOffset, size, target, at)
  }
  const seen: string[] = []
  let told = ''
  for (let n = 0; n < 6; n++) {
    const popped = await pops.rooms.clock.run(pops.askPop())
    told += popped.remark ?? ''
    if (popped.code === 0) seen.push(...new Popped(popped).bodies)
  }
  expect(seen.toSorted()).toEqual(['a', 'c'])
  expect(told).toContain('LOG_DAMAGED')
  await pops.rooms.close()
})
