import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { FaultDisk } from '../../store/fault-disk.ts'
import { Pops, RETRY } from './lease-test-kit.ts'
import { FAIR_EVERY } from './priorities.ts'

async function withPriorities(queues: number): Promise<Pops> {
  const clock = new VirtualClock({ seed: 1 })
  const disk = new FaultDisk({ seed: 1, soon: (work) => clock.soon(work) })
  const pops = await Pops.start({ clock, disk }, queues)
  pops.rooms.topics.create({ name: 'orders', attributes: { 'message.type': 'PRIORITY' } })
  return pops
}

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`)

test('what is visible is handed out from the highest queue down, each in the order it came', async () => {
  const pops = await withPriorities(3)
  await pops.send(['low0', 'low1'], 0)
  await pops.send(['high0', 'high1'], 2)
  await pops.send(['middle0'], 1)
  expect((await pops.pop()).bodies).toEqual(['high0', 'high1', 'middle0', 'low0', 'low1'])
  await pops.rooms.close()
})

test('a message of a higher priority overtakes those that wait, not those that were handed out', async () => {
  const pops = await withPriorities(2)
  await pops.send(names('low', 4), 0)
  expect((await pops.pop({ maxMsgNums: 2 })).bodies).toEqual(['low0', 'low1'])
  await pops.send(['high0'], 1)
  expect((await pops.pop({ maxMsgNums: 2 })).bodies).toEqual(['high0', 'low2'])
  await pops.rooms.close()
})

test('with more urgent messages than anybody can handle, every priority has its turn', async () => {
  const pops = await withPriorities(3)
  await pops.send(names('low', 3), 0)
  await pops.send(names('middle', 3), 1)
  const seen: string[] = []
  for (let n = 0; n < FAIR_EVERY * 3; n++) {
    await pops.send([`high${n}`, `urgent${n}`], 2)
    const { bodies, receipts } = await pops.pop({ maxMsgNums: 1 })
    seen.push(...bodies)
    await pops.ack(receipts[0]!)
  }
  expect(seen.filter((body) => body.startsWith('low'))).toEqual(['low0'])
  expect(seen.filter((body) => body.startsWith('middle'))).toEqual(['middle0'])
  // All others went to the highest.
  expect(seen.filter((body) => /high|urgent/.test(body))).toHaveLength(FAIR_EVERY * 3 - 2)
  await pops.rooms.close()
})

test('what comes again keeps its priority', async () => {
  const pops = await withPriorities(3)
  await pops.send(['high'], 2)
  await pops.send(['low'], 0)
  expect((await pops.pop({ invisibleTime: 1_000 })).bodies).toEqual(['high', 'low'])
  await pops.rooms.clock.advance(1_100)
  await pops.send(['newLow'], 0)
  await pops.send(['middle'], 1)
  const again = await pops.pop({ maxMsgNums: 2, invisibleTime: 1_000 })
  expect(again.bodies).toEqual(['high', 'middle'])
  expect(again.messages[0]).toMatchObject({ reconsumeTimes: 1, queueId: 2 })
  // Twice, and its receipt is good.
  await pops.rooms.clock.advance(1_100)
  const third = await pops.pop({ maxMsgNums: 1 })
  expect(third.bodies).toEqual(['high'])
  expect((await pops.ack(third.receipts[0]!)).code).toBe(0)
  expect(new Set((await pops.pop()).bodies)).toEqual(new Set(['middle', 'low', 'newLow']))
  await pops.rooms.close()
})

test('priorities, and what waits to be tried again, survive a kill', async () => {
  const pops = await withPriorities(3)
  await pops.send(['low'], 0)
  await pops.send(['high'], 2)
  await pops.pop({ invisibleTime: 1_000 })
  await pops.rooms.clock.advance(1_100)
  expect(pops.rooms.topics.find(RETRY)?.queues).toHaveLength(3)
  const next = await pops.restarted('killed')
  expect((await next.pop()).bodies).toEqual(['high', 'low'])
  await next.rooms.close()
})

test('a topic that gets its priorities late, or loses them, keeps what is to be retried', async () => {
  const pops = await Pops.start({}, 2)
  const type = (value: string): unknown =>
    pops.rooms.topics.create({ name: 'orders', attributes: { 'message.type': value } })
  await pops.send(['a'], 1)
  await pops.pop({ invisibleTime: 1_000 })
  await pops.rooms.clock.advance(1_100)
  expect(pops.rooms.topics.find(RETRY)?.queues).toHaveLength(1)
  type('PRIORITY')
  await pops.send(['b'], 1)
  expect((await pops.pop({ invisibleTime: 1_000 })).bodies).toEqual(['b', 'a'])
  await pops.rooms.clock.advance(1_100)
  type('NORMAL')
  expect((await pops.pop()).bodies.toSorted()).toEqual(['a', 'b'])
  await pops.rooms.close()
})

test('a topic of no such type goes round its queues, and who names a queue or wants order gets it', async () => {
  const pops = await Pops.start({}, 2)
  await pops.send(['low'], 0)
  await pops.send(['high'], 1)
  expect((await pops.pop()).bodies).toEqual(['low', 'high'])
  const other = await withPriorities(2)
  await other.send(['low'], 0)
  await other.send(['high'], 1)
  expect((await other.pop({ queueId: 0 })).bodies).toEqual(['low'])
  const inOrder = (consumerGroup: string) => other.pop({ order: true, consumerGroup, maxMsgNums: 1 })
  const first = [(await inOrder('g1')).bodies, (await inOrder('g2')).bodies]
  expect(first.toSorted()).toEqual([['high'], ['low']])
  await pops.rooms.close()
  await other.rooms.close()
})
