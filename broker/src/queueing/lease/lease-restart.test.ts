import { ResponseCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { FaultDisk } from '../../store/fault-disk.ts'
import { Pops, RETRY } from './lease-test-kit.ts'

const disk = (): FaultDisk => new FaultDisk({ seed: 1 })

test('after kill -9 held messages stay with who holds them, and acknowledged ones never come again', async () => {
  const before = await Pops.start({ disk: disk() })
  await before.send(['a', 'b', 'c', 'd'])
  const held = await before.pop({ maxMsgNums: 3, invisibleTime: 10_000 })
  expect((await before.ack(held.receipts[0]!)).code).toBe(0)
  expect((await before.ack(held.receipts[2]!)).code).toBe(0)
  const after = await before.restarted('killed', 4_000)
  expect(after.rooms.leases.stats()).toMatchObject({ live: 1 })
  expect((await after.pop()).bodies).toEqual(['d'])
  expect((await after.pop()).code).toBe(ResponseCode.POLLING_TIMEOUT)
  expect(after.committed()).toBe(1)
  expect((await after.ack(held.receipts[1]!)).code).toBe(0)
  expect(after.committed()).toBe(3)
  expect((await after.ack(held.receipts[1]!)).code).toBe(0)
  await after.rooms.close()
})

test('a lease ends at its time by the wall clock, also when the broker was down then', async () => {
  const before = await Pops.start({ disk: disk() })
  await before.send(['a'])
  await before.pop({ invisibleTime: 10_000 })
  const early = await before.restarted('killed', 9_000)
  await early.rooms.clock.advance(900)
  expect(early.rooms.leases.stats()).toMatchObject({ live: 1, expired: 0 })
  await early.rooms.clock.advance(200)
  expect((await early.pop({ invisibleTime: 60_000 })).messages[0]).toMatchObject({ reconsumeTimes: 1 })
  const late = await early.restarted('killed', 70_000)
  await late.rooms.settle(50)
  expect((await late.pop()).messages[0]).toMatchObject({ reconsumeTimes: 2 })
  await late.rooms.close()
})

test('an extended lease is still extended after a restart, and a moved one moved', async () => {
  const before = await Pops.start({ disk: disk() })
  await before.send(['a', 'b'])
  const [a, b] = (await before.pop({ invisibleTime: 1_000 })).receipts
  await before.hide(a!, 60_000)
  await before.hide(b!, 5_000)
  const after = await before.restarted('killed', 6_000)
  await after.rooms.settle(50)
  expect((await after.pop()).bodies).toEqual(['b'])
  expect(after.rooms.leases.stats()).toMatchObject({ live: 2, expired: 1 })
  await after.rooms.close()
})

test('a copy that was stored before the broker died is not made a second time', async () => {
  const before = await Pops.start({ disk: disk() })
  await before.send(['a', 'b'])
  await before.pop({ invisibleTime: 1_000 })
  // The copies are in the log; what the journal is to say of them dies with the process.
  const { store } = before.rooms
  const append = store.journal.append.bind(store.journal)
  store.journal.append = (table, entry) => {
    if (table !== 'leases') append(table, entry)
  }
  await before.rooms.clock.advance(2_000)
  expect(before.bodiesOf(RETRY)).toEqual(['a', 'b'])
  const after = await before.restarted('killed', 500_000)
  await after.rooms.clock.advance(1_000)
  expect(after.bodiesOf(RETRY)).toEqual(['a', 'b'])
  expect(after.rooms.leases.stats()).toMatchObject({ live: 0, expired: 2, retried: 0 })
  expect(after.committed()).toBe(2)
  await after.rooms.close()
})

test('a power cut takes no message with it', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const before = await Pops.start({ disk: new FaultDisk({ seed }) })
    await before.send(['a', 'b', 'c', 'd', 'e'])
    const held = await before.pop({ maxMsgNums: 4, invisibleTime: 1_000 })
    await before.ack(held.receipts[1]!)
    await before.rooms.clock.advance(seed * 150)
    const after = await before.restarted('powerCut')
    const got = new Set<string>()
    for (let i = 0; i < 4; i++) {
      const popped = await after.pop({ invisibleTime: 600_000 })
      for (const body of popped.bodies) got.add(body)
      await after.rooms.clock.advance(1_000)
    }
    got.delete('b')
    expect([seed, [...got].toSorted()]).toEqual([seed, ['a', 'c', 'd', 'e']])
    await after.rooms.close()
  }
})

test('an ordered batch is still blocked after a restart until its time', async () => {
  const before = await Pops.start({ disk: disk() })
  await before.send(['a', 'b', 'c'])
  const order = { order: true, queueId: 0, invisibleTime: 10_000 }
  const [a, b] = (await before.pop({ ...order, maxMsgNums: 2, attemptId: 'one' })).receipts
  await before.ack(a!)
  const after = await before.restarted('killed', 5_000)
  expect((await after.pop(order)).code).toBe(ResponseCode.POLLING_TIMEOUT)
  expect((await after.pop({ ...order, maxMsgNums: 1, attemptId: 'one' })).bodies).toEqual(['b'])
  expect((await after.ack(b!)).code).toBe(ResponseCode.NO_MESSAGE)
  const again = await after.restarted('killed', 20_000)
  const popped = await again.pop(order)
  expect(popped.bodies).toEqual(['b', 'c'])
  expect(popped.fields['orderCountInfo']).toBe('0 qo0%1 1;0 0 0')
  for (const receipt of popped.receipts) expect((await again.ack(receipt)).code).toBe(0)
  expect(again.committed()).toBe(3)
  await again.rooms.close()
})

test('retry topics keep their names, and queues forgotten with their topic stay forgotten', async () => {
  const before = await Pops.start({ disk: disk() })
  before.rooms.groups.ensure('billing_orders')
  await before.send(['a'])
  await before.pop({ invisibleTime: 100 })
  await before.rooms.clock.advance(200)
  const after = await before.restarted('killed')
  expect((await after.pop()).fields['startOffsetInfo']).toBe('2 0 0')
  await after.rooms.clock.run(after.rooms.topics.delete('orders'))
  const again = await after.restarted('killed')
  expect(again.rooms.leases.stats()).toMatchObject({ live: 1, queues: 1 })
  await again.rooms.close()
})
