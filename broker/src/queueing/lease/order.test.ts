import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { heartbeatBody } from '../../../../test/kit/broker-rooms.ts'
import { Popped, Pops } from './lease-test-kit.ts'

const order = { order: true, queueId: 0 }

test('in order one batch of a queue is out at a time, and an ack that frees the queue wakes who waits', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b', 'c'])
  const first = await pops.pop({ ...order, maxMsgNums: 2, attemptId: 'attempt-1' })
  expect(first.bodies).toEqual(['a', 'b'])
  expect(first.fields).toMatchObject({
    reviveQid: '999',
    restNum: '1',
    orderCountInfo: '0 0 0',
    startOffsetInfo: '0 0 0',
  })
  const blocked = await pops.pop({ ...order, attemptId: 'attempt-2' })
  expect(blocked).toMatchObject({
    code: ResponseCode.POLLING_TIMEOUT,
    fields: { restNum: '0', orderCountInfo: '', reviveQid: '999' },
  })
  const waiting = pops.askPop({ ...order, pollTime: 5_000 })
  await pops.rooms.settle()
  expect((await pops.ack(first.receipts[1]!)).code).toBe(0)
  expect(pops.committed()).toBe(0)
  expect(pops.rooms.leases.stats().waiting).toBe(1)
  expect((await pops.ack(first.receipts[0]!)).code).toBe(0)
  expect(new Popped(await pops.rooms.clock.run(waiting)).bodies).toEqual(['c'])
  expect(pops.committed()).toBe(2)
  await pops.rooms.close()
})

test('the same attempt gets its batch again at once without counting, and its earlier receipts end', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b', 'c'])
  const first = await pops.pop({ ...order, maxMsgNums: 2, attemptId: 'attempt-1' })
  const again = await pops.pop({ ...order, maxMsgNums: 2, attemptId: 'attempt-1' })
  expect(again.bodies).toEqual(['a', 'b'])
  expect(again.fields).toMatchObject({ orderCountInfo: '0 0 0', restNum: '1' })
  expect((await pops.ack(first.receipts[0]!)).code).toBe(ResponseCode.NO_MESSAGE)
  expect((await pops.ack(again.receipts[0]!)).code).toBe(0)
  await pops.rooms.close()
})

test('what was not acknowledged in time comes again with what followed it, counted one by one', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b', 'c', 'd'])
  const first = await pops.pop({ ...order, maxMsgNums: 3, invisibleTime: 1_000 })
  await pops.ack(first.receipts[0]!)
  await pops.ack(first.receipts[2]!)
  expect(pops.committed()).toBe(1)
  const waiting = pops.askPop({ ...order, pollTime: 5_000 })
  await pops.rooms.clock.advance(900)
  expect(pops.rooms.leases.stats().waiting).toBe(1)
  const again = new Popped(await pops.rooms.clock.run(waiting))
  expect(again.bodies).toEqual(['b', 'c', 'd'])
  expect(again.fields['orderCountInfo']).toBe('0 qo0%1 1;0 qo0%2 1;0 0 0')
  expect(pops.messagesOf('%RETRY%billing_orders')).toEqual([])
  await pops.rooms.close()
})

test('a receipt of another batch acknowledges nothing, and a message that is not of the batch is refused', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b', 'c'])
  const first = await pops.pop({ ...order, maxMsgNums: 2 })
  const foreign = await pops.ack(first.receipts[0]!, { offset: 2 })
  expect(foreign.code).toBe(ResponseCode.MESSAGE_ILLEGAL)
  const [start, popTime, ...rest] = first.receipts[0]!.split(' ')
  const older = [start, Number(popTime) - 1, ...rest].join(' ')
  expect((await pops.ack(older)).code).toBe(ResponseCode.NO_MESSAGE)
  expect(pops.committed()).toBe(0)
  await pops.rooms.close()
})

test('a message of an ordered batch can be hidden longer, and the batch waits for it', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b'])
  const first = await pops.pop({ ...order, invisibleTime: 1_000 })
  const hidden = await pops.hide(first.receipts[0]!, 5_000)
  expect(hidden).toMatchObject({ code: 0, extFields: { popTime: first.fields['popTime'], reviveQid: '999' } })
  await pops.ack(first.receipts[1]!)
  await pops.rooms.clock.advance(4_000)
  expect((await pops.pop(order)).code).toBe(ResponseCode.POLLING_TIMEOUT)
  await pops.rooms.clock.advance(1_100)
  expect((await pops.pop(order)).bodies).toEqual(['a', 'b'])
  await pops.rooms.close()
})

test('an ordered message that had all its redeliveries is a dead letter and the queue goes on', async () => {
  const pops = await Pops.start()
  await pops.client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody() })
  pops.rooms.groups.configure({ ...pops.rooms.groups.require('billing').config, retryMaxTimes: 2 })
  await pops.send(['a', 'b'])
  const counts: string[] = []
  for (let i = 0; i < 3; i++) {
    const popped = await pops.pop({ ...order, maxMsgNums: 1, invisibleTime: 100 })
    counts.push(popped.fields['orderCountInfo']!)
    await pops.rooms.clock.advance(200)
  }
  expect(counts).toEqual(['0 0 0', '0 qo0%0 1;0 0 1', '0 qo0%0 2;0 0 2'])
  expect((await pops.pop({ ...order, maxMsgNums: 1, pollTime: 1_000 })).bodies).toEqual(['b'])
  expect(pops.bodiesOf('%DLQ%billing')).toEqual(['a'])
  expect(pops.committed()).toBe(1)
  await pops.rooms.close()
})

test('leases in order and not in order do not share a queue at the same time', async () => {
  const pops = await Pops.start()
  await pops.send(['a', 'b'])
  const plain = await pops.pop({ maxMsgNums: 1 })
  expect((await pops.pop(order)).code).toBe(ResponseCode.POLLING_TIMEOUT)
  await pops.ack(plain.receipts[0]!)
  const ordered = await pops.pop(order)
  expect(ordered.bodies).toEqual(['b'])
  await pops.send(['c'])
  expect((await pops.pop()).code).toBe(ResponseCode.POLLING_TIMEOUT)
  await pops.ack(ordered.receipts[0]!)
  expect((await pops.pop()).bodies).toEqual(['c'])
  await pops.rooms.close()
})

test('a notification is true for the holder of the batch alone', async () => {
  const pops = await Pops.start()
  await pops.send(['a'])
  await pops.pop({ ...order, attemptId: 'mine' })
  const notify = async (attemptId: string): Promise<Record<string, string>> => {
    const bornTime = pops.rooms.clock.now()
    const fields = {
      consumerGroup: 'billing',
      topic: 'orders',
      queueId: 0,
      pollTime: 100,
      bornTime,
      order: true,
      attemptId,
    }
    return (await pops.client.request(RequestCode.NOTIFICATION, fields)).extFields
  }
  expect(await notify('mine')).toEqual({ hasMsg: 'true', pollingFull: 'false' })
  expect(await notify('other')).toEqual({ hasMsg: 'false', pollingFull: 'false' })
  await pops.rooms.close()
})
