import { ResponseCode } from '@tandemmq/protocol'
import type { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { FaultDisk } from '../../store/fault-disk.ts'
import { Pops } from './lease-test-kit.ts'

const HOUR = 3_600_000

test.each([
  ['an hour forward', (clock: VirtualClock) => clock.jumpWall(HOUR)],
  ['an hour back', (clock: VirtualClock) => clock.jumpWall(-HOUR)],
  ['ten times as fast', (clock: VirtualClock) => clock.setWallRate(10)],
  ['a tenth as fast', (clock: VirtualClock) => clock.setWallRate(0.1)],
  ['to 1970', (clock: VirtualClock) => clock.setWall(0)],
  ['to 2106', (clock: VirtualClock) => clock.setWall(4_294_967_296_000)],
])('F38: the wall clock goes %s: a lease holds for its time, its receipt is good until then', async (_, strike) => {
  const pops = await Pops.start()
  const { clock } = pops.rooms
  await pops.send(['a', 'b'])
  const first = await pops.pop({ invisibleTime: 30_000 })
  expect(first.bodies).toEqual(['a', 'b'])
  await clock.advance(5_000)
  strike(clock)
  await clock.advance(24_000)
  expect((await pops.pop({ invisibleTime: 30_000 })).bodies).toEqual([])
  expect((await pops.ack(first.receipts[0] ?? '')).code).toBe(ResponseCode.SUCCESS)
  await clock.advance(2_000)
  const again = await pops.pop({ invisibleTime: 30_000 })
  expect(again.bodies).toEqual(['b'])
})

test.each(['taken', 'hidden'])(
  'F38: messages in order that were %s before a restart, and a clock set back before it, come when their time is over',
  async (how) => {
    const pops = await Pops.start({ disk: new FaultDisk({ seed: 1 }) })
    await pops.send(['a', 'b'])
    pops.rooms.clock.jumpWall(HOUR)
    const first = await pops.pop({ invisibleTime: 10_000, order: true, queueId: 0 })
    expect(first.bodies).toEqual(['a', 'b'])
    for (const receipt of how === 'hidden' ? first.receipts : []) await pops.hide(receipt, 20_000)
    pops.rooms.clock.jumpWall(-HOUR)
    const after = await pops.restarted('killed')
    await after.rooms.clock.advance(how === 'hidden' ? 19_000 : 9_000)
    expect((await after.pop({ order: true, queueId: 0 })).bodies).toEqual([])
    await after.rooms.clock.advance(2_000)
    expect((await after.pop({ order: true, queueId: 0 })).bodies).toEqual(['a', 'b'])
  },
)
test.each([
  ['at will', {}],
  ['in order', { order: true }],
  ['by key', { order: true, orderByKey: true }],
])('leases %s last no longer than they were to when the wall clock is set back over a restart', async (_name, mode) => {
  let pops = await Pops.start({ disk: new FaultDisk({ seed: 1 }) })
  await pops.send(['a'])
  const { receipts } = await pops.pop({ ...mode, invisibleTime: 1_000 })
  await pops.hide(receipts[0]!, 5_000)
  await pops.rooms.settle()
  pops = await pops.restarted('killed', -3_600_000)
  await pops.rooms.clock.advance(4_500)
  expect((await pops.pop(mode)).bodies).toEqual([])
  await pops.rooms.clock.advance(1_000)
  await pops.rooms.settle()
  expect((await pops.pop(mode)).bodies).toEqual(['a'])
  await pops.rooms.close()
})
