import { expect, test } from 'vitest'
import { append, bodiesOf, openStore, turns, virtualClock } from '../../../test/kit/store-kit.ts'
import { FaultDisk } from './fault-disk.ts'
import type { StoreOptions } from './store-options.ts'

const options = { segmentBytes: 4096, retentionMs: 1000 }

async function world(limits: Partial<StoreOptions> = options) {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const store = openStore(disk, clock, limits)
  const fill = async (topic: string, count: number): Promise<void> => {
    for (let index = 0; index < count; index++) append(store, topic, `${topic} ${index}`.padEnd(500, '.'))
    store.commitTurn()
    await clock.advance(10)
  }
  return { clock, disk, store, fill }
}

test('old segments go, the newest and the pinned stay, and queues start where their records start', async () => {
  const { clock, disk, store, fill } = await world()
  await fill('orders', 40)
  expect(store.retain(() => Infinity)).toEqual({ removed: 0, forced: 0 })
  await clock.advance(2000)
  expect(store.retain(() => 9000)).toEqual({ removed: 8192, forced: 0 })
  expect(store.firstOffset).toBe(8192)
  await clock.advance(10)
  expect(disk.list('data/commitlog')[0]).toBe('00000000000000008192')
  const queue = store.queue('orders', 0)
  expect(queue.minOffset).toBeGreaterThan(0)
  expect(queue.physicalOffset(queue.minOffset)).toBeGreaterThanOrEqual(8192)
  expect(queue.physicalOffset(queue.minOffset - 1)).toBeLessThan(8192)
  expect(store.read(0)).toBeUndefined()
  store.retain(() => Infinity)
  await clock.advance(10)
  expect(disk.list('data/commitlog').filter((name) => Number(name) <= store.endOffset).length).toBe(1)
  const min = queue.minOffset
  await store.close()
  const again = openStore(disk, clock, options)
  expect([again.queue('orders', 0).minOffset, again.queue('orders', 0).nextOffset]).toEqual([min, 40])
})

test('a queue whose records are all gone goes on behind its last offset, also after a restart', async () => {
  const { clock, disk, store, fill } = await world()
  await fill('orders', 8)
  await fill('others', 40)
  await clock.advance(2000)
  store.retain(() => Infinity)
  await clock.advance(10)
  const queue = store.queue('orders', 0)
  expect([queue.minOffset, queue.maxOffset, queue.nextOffset]).toEqual([8, 8, 8])
  const after = openStore(disk.powerCut({ seed: 3 }), clock, options)
  expect(after.queue('orders', 0).nextOffset).toBe(8)
  append(after, 'orders', 'ninth')
  after.commitTurn()
  await clock.advance(10)
  expect(bodiesOf(after, after.queue('orders', 0))).toEqual(['ninth'])
  expect(after.queue('orders', 0).maxOffset).toBe(9)
})

test('F63: a deleted topic stays empty after a restart, and a new one of its name shares no offset with it', async () => {
  const { clock, disk, store, fill } = await world()
  await fill('orders', 5)
  const deleted = store.deleteTopic('orders')
  await clock.advance(10)
  await deleted
  expect(store.queue('orders', 0).maxOffset).toBe(5)
  expect(bodiesOf(store, store.queue('orders', 0))).toEqual([])
  const seen: string[] = []
  const after = openStore(disk.powerCut({ seed: 3 }), clock, {
    ...options,
    onRecovered: (record) => void seen.push(record.topic()),
  })
  expect(seen).toEqual([])
  append(after, 'orders', 'new')
  after.commitTurn()
  await clock.advance(10)
  expect(bodiesOf(after, after.queue('orders', 0))).toEqual(['new'])
  expect(after.queue('orders', 0).minOffset).toBe(5)
  const last = openStore(disk.powerCut({ seed: 4 }), clock, options)
  expect(last.queue('orders', 0).minOffset).toBe(5)
})

test('F63: a start that writes the index file of a segment does not bring the deleted messages in it back', async () => {
  const { clock, disk, store, fill } = await world()
  await fill('orders', 14)
  const deleted = store.deleteTopic('orders')
  await clock.advance(10)
  await deleted
  await fill('others', 4)
  await clock.advance(100)
  const left = disk.powerCut({ keeps: 'all' })
  const indexed = left.list('data/index')
  expect(indexed.length).toBe(2)
  // The second file holds deleted messages only.
  left.remove(`data/index/${indexed[1]}`)
  const after = openStore(left, clock, options)
  expect(after.stats().indexFiles).toBe(2)
  expect(bodiesOf(after, after.queue('orders', 0))).toEqual([])
})

test('a deletion while messages are on their way leaves the queue consistent', async () => {
  const { clock, store } = await world()
  append(store, 'orders', 'on its way')
  store.deleteTopic('orders').catch(() => {})
  await clock.advance(10)
  await turns()
  const queue = store.queue('orders', 0)
  expect([queue.minOffset, queue.maxOffset, queue.nextOffset]).toEqual([1, 1, 1])
})

test('above retentionBytes the oldest segments go, as long as nobody needs them', async () => {
  const { store, fill } = await world({ segmentBytes: 4096, retentionBytes: 10_000 })
  await fill('orders', 40)
  expect(store.retain(() => 5000)).toEqual({ removed: 4096, forced: 0 })
  const { removed } = store.retain(() => Infinity)
  expect(store.firstOffset).toBe(4096 + removed)
  expect(store.endOffset - store.firstOffset).toBeLessThanOrEqual(10_000)
  expect(store.endOffset - store.firstOffset).toBeGreaterThan(10_000 - 4096)
  expect(store.retain(() => Infinity)).toEqual({ removed: 0, forced: 0 })
})

test('only a hard limit removes what is needed, and says how much of it was', async () => {
  const limits = { segmentBytes: 4096, retentionBytesMax: 10_000, retentionMs: 1, retentionMsMax: 60_000 }
  const { clock, store, fill } = await world(limits)
  await fill('orders', 40)
  const before = store.endOffset
  const { removed, forced } = store.retain(() => 4096)
  expect(before - removed).toBeLessThanOrEqual(10_000)
  expect(forced).toBe(removed - 4096)
  expect(store.stats().forcedBytes).toBe(forced)
  await clock.advance(59_000)
  expect(store.retain(() => 0)).toEqual({ removed: 0, forced: 0 })
  await clock.advance(1_100)
  expect(store.retain(() => 0).forced).toBeGreaterThan(0)
})
