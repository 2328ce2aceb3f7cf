import { PropertyName } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { FaultDisk } from '../../store/fault-disk.ts'
import { Pops } from './lease-test-kit.ts'

const KEYED = { order: true, orderByKey: true }

/** `a1 b1 a2`: message a1 of key a, … */
async function sent(pops: Pops, text: string): Promise<void> {
  for (const body of text.split(' ')) {
    const properties = { [PropertyName.SHARDING_KEY]: body.slice(0, 1) }
    pops.rooms.append('orders', 0, { body, uniqueKey: `id-${body}`, properties })
  }
  await pops.rooms.settle()
}

async function started(text: string, disk?: FaultDisk): Promise<Pops> {
  const pops = await Pops.start(disk === undefined ? {} : { disk })
  await sent(pops, text)
  return pops
}

test('one message of each key is out at a time; a key that waits holds up no other of its queue', async () => {
  const pops = await started('a1 a2 b1 a3 b2 c1')
  const first = await pops.pop(KEYED)
  expect(first.bodies).toEqual(['a1', 'b1', 'c1'])
  expect((await pops.pop(KEYED)).bodies).toEqual([])
  await pops.ack(first.receipts[1]!)
  const second = await pops.pop(KEYED)
  expect(second.bodies).toEqual(['b2'])
  expect(pops.committed()).toBe(0)
  await pops.ack(second.receipts[0]!)
  await sent(pops, 'b3 a4 d1')
  expect((await pops.pop(KEYED)).bodies).toEqual(['b3', 'd1'])
  await pops.ack(first.receipts[0]!)
  expect(pops.committed()).toBe(1)
  expect((await pops.pop(KEYED)).bodies).toEqual(['a2'])
})

test('a waiting pop is answered when the message before is acknowledged', async () => {
  const pops = await started('a1 a2')
  const { receipts } = await pops.pop(KEYED)
  const waiting = pops.askPop({ ...KEYED, pollTime: 10_000 })
  await pops.rooms.clock.advance(100)
  await pops.ack(receipts[0]!)
  expect((await pops.rooms.clock.run(waiting)).body.includes('a2')).toBe(true)
})

test('a lease that ran out brings the same message again before those behind it, and its old receipt is over', async () => {
  const pops = await started('a1 a2 b1')
  const first = await pops.pop({ ...KEYED, invisibleTime: 2_000 })
  await pops.ack(first.receipts[1]!)
  await pops.rooms.clock.advance(2_001)
  const again = await pops.pop(KEYED)
  expect(again.bodies).toEqual(['a1'])
  expect(again.fields['orderCountInfo']).toContain('0 qo0%0 1')
  expect((await pops.ack(first.receipts[0]!)).code).not.toBe(0)
  expect((await pops.pop(KEYED)).bodies).toEqual([])
  await pops.hide(again.receipts[0]!, 500)
  await pops.rooms.clock.advance(499)
  expect((await pops.pop(KEYED)).bodies).toEqual([])
  await pops.rooms.clock.advance(2)
  expect((await pops.pop(KEYED)).bodies).toEqual(['a1'])
  expect(pops.bodiesOf('%RETRY%billing_orders')).toEqual([])
})

test('a message that had all its deliveries is a dead letter, and its key goes on behind it', async () => {
  const pops = await started('a1 a2')
  pops.rooms.groups.configure({ ...pops.rooms.groups.ensure('billing').config, retryMaxTimes: 1 })
  for (let n = 0; n < 2; n++) {
    expect((await pops.pop({ ...KEYED, invisibleTime: 1_000 })).bodies).toEqual(['a1'])
    await pops.rooms.clock.advance(1_001)
    await pops.rooms.settle()
  }
  expect(pops.messagesOf('%DLQ%billing')).toMatchObject([{ reconsumeTimes: 2 }])
  const next = await pops.pop(KEYED)
  expect(next.bodies).toEqual(['a2'])
  expect((await pops.hide(next.receipts[0]!, 1_000, { deadLetter: 'bad' })).extFields['buried']).toBe('true')
  expect(pops.bodiesOf('%DLQ%billing')).toEqual(['a1', 'a2'])
  expect(pops.committed()).toBe(2)
})

test.each(['killed', 'powerCut'] as const)('order and positions survive a broker that was %s', async (how) => {
  const before = await started('a1 a2 b1 a3 b2', new FaultDisk({ seed: 1 }))
  const first = await before.pop({ ...KEYED, invisibleTime: 5_000 })
  expect(first.bodies).toEqual(['a1', 'b1'])
  await before.ack(first.receipts[1]!)
  await before.rooms.settle()
  const pops = await before.restarted(how, 100)
  await pops.rooms.clock.advance(5_001)
  const seen: string[] = []
  for (let n = 0; n < 4; n++) {
    const { bodies, receipts } = await pops.pop(KEYED)
    seen.push(...bodies)
    for (const receipt of receipts) await pops.ack(receipt)
  }
  expect(seen.filter((body) => body.startsWith('a'))).toEqual(['a1', 'a2', 'a3'])
  // What was acknowledged a moment before the power went may come again.
  expect(seen.filter((body) => body.startsWith('b'))).toEqual(seen.includes('b1') ? ['b1', 'b2'] : ['b2'])
  if (how === 'killed') expect(seen).not.toContain('b1')
  expect(pops.committed()).toBe(5)
})

test('who asks without keys, or for whole queues, waits until no key is open', async () => {
  const pops = await started('a1 a2')
  const { receipts } = await pops.pop(KEYED)
  expect((await pops.pop()).bodies).toEqual([])
  expect((await pops.pop({ order: true })).bodies).toEqual([])
  await pops.ack(receipts[0]!)
  const last = await pops.pop(KEYED)
  await pops.ack(last.receipts[0]!)
  await sent(pops, 'a3')
  const plain = await pops.pop()
  expect(plain.bodies).toEqual(['a3'])
  await sent(pops, 'b1')
  expect((await pops.pop(KEYED)).bodies).toEqual([])
  await pops.ack(plain.receipts[0]!)
  expect((await pops.pop(KEYED)).bodies).toEqual(['b1'])
})

test('a key with more messages than the queue may have leases stops the queue there, and it goes on with the acks', async () => {
  const pops = await Pops.start({ leasesPerQueueMax: 4 })
  await sent(pops, 'a1 a2 a3 a4 a5 b1')
  const seen: string[] = []
  for (let n = 0; n < 6; n++) {
    const { bodies, receipts } = await pops.pop(KEYED)
    seen.push(...bodies)
    for (const receipt of receipts) await pops.ack(receipt)
  }
  expect(seen.filter((body) => body.startsWith('a'))).toEqual(['a1', 'a2', 'a3', 'a4', 'a5'])
  expect(seen).toContain('b1')
})
