import { expect, test } from 'vitest'
import { FaultDisk } from './fault-disk.ts'
import { IndexEntry } from '../index-entry.ts'
import { MemoryDisk } from './memory-disk.ts'
import { append, bodiesOf, fieldsOf, openStore, Outcome, turns, virtualClock } from '../../../test/kit/store-kit.ts'

test('sync: a message is neither acknowledged nor visible before its fdatasync is done', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const store = openStore(disk, virtualClock())
  disk.holdSyncs = true
  const outcome = append(store, 'orders', 'one')
  store.commitTurn()
  await turns()
  const queue = store.queue('orders', 0)
  expect([outcome.state, queue.maxOffset, queue.nextOffset]).toEqual(['waiting', 0, 1])
  disk.releaseSyncs()
  await turns()
  expect([outcome.state, queue.maxOffset]).toEqual(['stored', 1])
  expect(store.durableOffset).toBe(store.endOffset)
})

test('async: a message is acknowledged and visible with its write, and synced within the flush interval', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const clock = virtualClock()
  const store = openStore(disk, clock, { flush: 'async', flushIntervalMs: 200 })
  const outcome = append(store, 'orders', 'one')
  expect(outcome.state).toBe('waiting')
  store.commitTurn()
  expect([outcome.state, store.queue('orders', 0).maxOffset, store.syncedOffset]).toEqual(['stored', 1, 0])
  await clock.advance(200)
  expect(store.syncedOffset).toBe(store.endOffset)
})

test('a store nobody commits writes at the end of the turn by itself', async () => {
  const clock = virtualClock()
  const store = openStore(new MemoryDisk(), clock)
  const outcome = append(store, 'orders', 'one')
  await clock.advance(0)
  await turns()
  expect(outcome.state).toBe('stored')
})

test('group commit: what arrives during a sync shares the next one, in log order', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const store = openStore(disk, virtualClock())
  const order: string[] = []
  const add = (body: string): void => {
    const completion = { stored: () => void order.push(body), failed: () => {} }
    store.append(store.queue('orders', body.length % 2), fieldsOf('orders', body), new IndexEntry(), completion)
  }
  const visible: string[] = []
  store.onVisible = (queue) => visible.push(`${queue.queueId}:${queue.maxOffset}`)
  disk.holdSyncs = true
  add('a')
  store.commitTurn()
  const syncsBefore = disk.operations
  for (const body of ['bb', 'c', 'dd', 'e']) {
    add(body)
    store.commitTurn()
  }
  expect(order).toEqual([])
  disk.releaseSyncs()
  expect(order).toEqual(['a'])
  disk.releaseSyncs()
  expect(order).toEqual(['a', 'bb', 'c', 'dd', 'e'])
  expect(visible).toEqual(['1:1', '0:2', '1:3'])
  expect(disk.operations - syncsBefore).toBe(4 + 1)
})

test('records come back after a clean restart, byte for byte, with the same offsets', async () => {
  const disk = new MemoryDisk()
  const clock = virtualClock()
  const store = openStore(disk, clock)
  for (let index = 0; index < 100; index++) append(store, 'orders', `body ${index}`, index % 3)
  store.commitTurn()
  await turns()
  const first = store.read(0)
  const end = store.endOffset
  await store.close()
  const seen: number[] = []
  const again = openStore(disk, clock, { onRecovered: (record) => seen.push(record.queueOffset) })
  expect(seen.length).toBe(100)
  expect(bodiesOf(again, again.findQueue('orders', 1))).toEqual(
    Array.from({ length: 33 }, (_, index) => `body ${index * 3 + 1}`),
  )
  expect(again.read(0)).toEqual(first)
  expect(again.queue('orders', 1).tagsCode(5)).toBe(7)
  expect(again.endOffset).toBeGreaterThanOrEqual(end)
  expect(again.recovery.cut).toBeUndefined()
})

test('a log of many segments is read back in order, and each segment says where it starts', async () => {
  const disk = new MemoryDisk()
  const clock = virtualClock()
  const store = openStore(disk, clock, { segmentBytes: 4096 })
  const bodies = Array.from({ length: 200 }, (_, index) => `${index}`.padEnd(50 + index, '.'))
  for (const body of bodies) {
    append(store, 'orders', body)
    store.commitTurn()
    await turns(2)
  }
  await turns()
  await store.close()
  expect(disk.list('data/commitlog').slice(0, 3)).toEqual(
    [0, 4096, 8192].map((start) => String(start).padStart(20, '0')),
  )
  const again = openStore(disk, clock, { segmentBytes: 4096 })
  expect(bodiesOf(again, again.findQueue('orders', 0))).toEqual(bodies)
  // Another segment size is for new segments only.
  await again.close()
  const larger = openStore(disk, clock, { segmentBytes: 10_000 })
  append(larger, 'orders', 'x'.repeat(5000))
  larger.commitTurn()
  await turns()
  await larger.close()
  const last = openStore(disk, clock, { segmentBytes: 5000 })
  expect(bodiesOf(last, last.findQueue('orders', 0))).toEqual([...bodies, 'x'.repeat(5000)])
})

test('records larger than a chunk, and more records than hot memory holds, are read back from memory and file', async () => {
  const store = openStore(new MemoryDisk(), virtualClock(), { hotBytesMax: 1 << 20 })
  const big = 'b'.repeat(3 << 20)
  append(store, 'orders', big)
  const bodies = [big]
  for (let index = 0; index < 40; index++) {
    bodies.push(`${index}`.repeat(50_000))
    append(store, 'orders', bodies.at(-1) ?? '')
    if (index % 7 === 0) store.commitTurn()
  }
  store.commitTurn()
  await turns()
  expect(bodiesOf(store, store.findQueue('orders', 0))).toEqual(bodies)
  expect(store.stats().hotBytes).toBeLessThanOrEqual((1 << 20) + 2 * 100_000 + (1 << 20))
})

test('what is too large for a segment is refused and leaves no trace', () => {
  const store = openStore(new MemoryDisk(), virtualClock(), { segmentBytes: 1000 })
  expect(() => append(store, 'orders', 'x'.repeat(1000))).toThrow(/MESSAGE_TOO_LARGE/)
  expect([store.endOffset, store.queue('orders', 0).nextOffset]).toEqual([0, 0])
})

test('store times never go back, not even when the wall clock does, before and after a restart', async () => {
  const disk = new MemoryDisk()
  const clock = virtualClock()
  const store = openStore(disk, clock)
  const fields = fieldsOf('orders', 'x')
  store.append(store.queue('orders', 0), fields, new IndexEntry())
  store.commitTurn()
  const first = fields.storeTimestamp
  expect(first).toBe(clock.now())
  clock.jumpWall(-3_600_000)
  store.append(store.queue('orders', 0), fields, new IndexEntry())
  expect(fields.storeTimestamp).toBe(first)
  await store.close()
  const again = openStore(disk, clock)
  again.append(again.queue('orders', 0), fields, new IndexEntry())
  expect(fields.storeTimestamp).toBe(first)
})

test('a completion may append and commit, and its message is completed too', () => {
  const store = openStore(new MemoryDisk(), virtualClock(), { flush: 'async' })
  const second = new Outcome()
  const completion = {
    stored() {
      store.append(store.queue('orders', 1), fieldsOf('orders', 'copy'), new IndexEntry(), second)
      store.commitTurn()
    },
    failed() {},
  }
  store.append(store.queue('orders', 0), fieldsOf('orders', 'x'), new IndexEntry(), completion)
  store.commitTurn()
  expect([second.state, store.queue('orders', 1).maxOffset]).toEqual(['stored', 1])
})

test('close completes everything that was appended, and refuses from then on', async () => {
  const disk = new FaultDisk({ seed: 3 })
  const store = openStore(disk, virtualClock())
  const outcome = append(store, 'orders', 'last')
  const closed = store.close()
  expect(() => append(store, 'orders', 'later')).toThrow(/STORE_CLOSED/)
  await closed
  expect(outcome.state).toBe('stored')
  const again = openStore(disk.powerCut({ seed: 9 }), virtualClock())
  expect(bodiesOf(again, again.findQueue('orders', 0))).toEqual(['last'])
})

test('ten thousand queues cost neither files nor noticeable memory', async () => {
  const disk = new MemoryDisk()
  const store = openStore(disk, virtualClock(), { flush: 'async' })
  for (let round = 0; round < 3; round++) {
    for (let queue = 0; queue < 10_000; queue++)
      append(store, `topic-${queue % 2500}`, `${round}`, Math.floor(queue / 2500))
    store.commitTurn()
  }
  expect(store.stats().queues).toBe(10_000)
  expect(store.stats().indexBytes).toBeLessThan(6 << 20)
  await store.close()
  expect(disk.list('data/commitlog').length).toBe(1)
  const again = openStore(disk, virtualClock())
  expect(bodiesOf(again, again.findQueue('topic-2499', 3))).toEqual(['0', '1', '2'])
})

test('read finds records by their offset only, not what a body pretends to be', async () => {
  const store = openStore(new MemoryDisk(), virtualClock(), { flush: 'async', hotBytesMax: 1 })
  append(store, 'orders', 'one')
  const at = store.endOffset
  append(store, 'orders', 'two')
  store.commitTurn()
  expect(store.read(at)?.includes('two')).toBe(true)
  expect([store.read(at + 1), store.read(at - 4), store.read(-5), store.read(1e15)]).toEqual(Array(4).fill(undefined))
})
