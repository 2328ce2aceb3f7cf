import type { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import {
  append,
  bodiesOf,
  mirrored,
  OffsetMirror,
  openStore,
  RESERVE_BYTES,
  virtualClock,
} from '../../../test/kit/store-kit.ts'
import { FaultDisk } from './fault-disk.ts'
import type { MessageStore } from './message-store.ts'
import type { StoreOptions } from './store-options.ts'
import { StoreState } from './store-state.ts'

const SEGMENT_BYTES = 8_192
const retained = { segmentBytes: SEGMENT_BYTES, retentionBytes: 2 * SEGMENT_BYTES }

interface World {
  clock: VirtualClock
  disk: FaultDisk
  store: MessageStore
  /** Bodies of queue 0 of `orders`, oldest first. */
  sent: string[]
}

function world(options: Partial<StoreOptions> = {}): World {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  return { clock, disk, store: openStore(disk, clock, { ...retained, ...options }), sent: [] }
}

async function send({ store, clock, sent }: World, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const body = `${sent.length} ${'x'.repeat(1_000)}`
    append(store, 'orders', body)
    sent.push(body)
    store.commitTurn()
    await clock.advance(10)
  }
}

function bytesOf(disk: FaultDisk): number {
  const files = ['commitlog', 'journal', 'index', 'checkpoint'].flatMap((folder) =>
    disk.list(`data/${folder}`).map((name) => `data/${folder}/${name}`),
  )
  return [...files, 'data/format', 'data/reserve']
    .filter((path) => disk.exists(path))
    .reduce((sum, path) => sum + disk.open(path, 'read').size(), 0)
}

/** Five segments, then no byte more: one message waits, and the journal has entries that it cannot write. */
async function fill(full: World): Promise<void> {
  append(full.store, 'rare', 'the only one')
  await send(full, 35)
  full.disk.capacityBytes = bytesOf(full.disk)
  // What was filled ahead is used first.
  while (!full.store.stats().isFull) await send(full, 1)
  for (let index = 0; index < 300; index++) full.store.journal.append('offsets', ['group', index])
  await full.clock.advance(5_000)
  expect(full.store.stats()).toMatchObject({ isFull: true, isFenced: false, pending: 1 })
  expect(() => append(full.store, 'orders', 'no')).toThrow(/DISK_FULL/)
}

/** What the queue of `orders` holds is the end of what was sent, and where it was. */
function expectTail(store: MessageStore, sent: readonly string[]): void {
  const queue = store.findQueue('orders', 0)
  expect(queue?.maxOffset).toBe(sent.length)
  expect(bodiesOf(store, queue)).toEqual(sent.slice(queue?.minOffset))
}

test('F12: retention frees a full disk, and sending goes on without a restart', async () => {
  const full = world()
  const { clock, disk, store, sent } = full
  await fill(full)
  expectTail(store, sent.slice(0, -1))
  const { removed } = store.retain(() => store.endOffset)
  expect(removed).toBeGreaterThan(2 * SEGMENT_BYTES)
  await clock.advance(3_000)
  expect(store.stats()).toMatchObject({ isFull: false, isFenced: false, firstOffset: removed })
  await send(full, 3)
  expectTail(store, sent)
  expect(disk.open('data/reserve', 'read').size()).toBe(RESERVE_BYTES)
  const offsets: unknown[] = []
  const again = openStore(disk.powerCut({ seed: 3 }), clock, retained)
  expectTail(again, sent)
  again.journal.register('offsets', { apply: (entry) => void offsets.push(entry), snapshot: () => [] })
  expect(offsets.length).toBe(300)
  expect(again.queue('rare', 0).nextOffset).toBe(1)
})

test('F12: no power cut while a full disk is freed takes a message or gives an offset twice', async () => {
  const play = async (crashAt: number): Promise<World & { known: number }> => {
    const full = world()
    await fill(full)
    const disk = full.disk.killed({ capacityBytes: full.disk.capacityBytes, crashAt })
    full.sent.pop()
    const next = { ...full, disk, known: full.sent.length }
    try {
      next.store = openStore(disk, next.clock, retained)
      next.store.retain(() => next.store.endOffset)
      await next.clock.advance(3_000)
      await send(next, 2)
    } catch (error) {
      if (!disk.isDead) throw error
    }
    return next
  }
  let survived = false
  for (let crashAt = 1; !survived; crashAt++) {
    const { disk, clock, sent, known } = await play(crashAt)
    survived = !disk.isDead
    const again = openStore(disk.powerCut({ seed: crashAt }), clock, retained)
    const queue = again.findQueue('orders', 0)
    expect(queue?.maxOffset, `crash at ${crashAt}`).toBeGreaterThanOrEqual(known)
    const bodies = bodiesOf(again, queue)
    expect(bodies, `crash at ${crashAt}`).toEqual(sent.slice(queue?.minOffset, queue?.maxOffset))
    expect(again.queue('rare', 0).nextOffset).toBe(1)
    expect(crashAt).toBeLessThan(500)
  }
})

test('F12: retention frees a full disk although the journal gave its buffer up', async () => {
  const full = world()
  const { clock, disk, store } = full
  const group = { offset: 0 }
  store.journal.register('group', { apply: () => {}, snapshot: () => [group.offset] })
  await fill(full)
  for (group.offset = 1; group.offset < 200; group.offset++) {
    store.journal.append('group', 'z'.repeat(60_000))
    await clock.advance(20)
  }
  store.retain(() => store.endOffset)
  await clock.advance(3_000)
  expect(store.stats()).toMatchObject({ isFull: false, isFenced: false })
  await send(full, 3)
  const found: unknown[] = []
  const again = openStore(disk.powerCut({ seed: 3 }), clock, retained)
  again.journal.register('group', { apply: (entry) => void found.push(entry), snapshot: () => [] })
  expect(found.at(-1)).toBe(200)
  expectTail(again, full.sent)
})

test('entries of the store mean the same in any order, for some overtake others on a full disk', () => {
  const entries = [
    { kind: 'base', topic: 'a', queueId: 0, offset: 5 },
    { kind: 'base', topic: 'a', queueId: 0, offset: 9 },
    { kind: 'first', offset: 100 },
    { kind: 'first', offset: 200 },
    { kind: 'durable', offset: 150 },
    { kind: 'durable', offset: 250 },
    { kind: 'deleted', topic: 'b', before: 220 },
    { kind: 'deleted', topic: 'b', before: 240 },
  ]
  const tables = [entries, entries.toReversed()].map((order) => {
    const state = new StoreState()
    for (const entry of order) state.apply(entry)
    return [...state.snapshot()]
  })
  expect(tables[0]).toEqual(tables[1])
  expect(tables[0]).toContainEqual({ kind: 'base', topic: 'a', queueId: 0, offset: 9 })
})

test('F12: a topic is deleted for good on a full disk', async () => {
  const full = world()
  await fill(full)
  let deleted = false
  void full.store.deleteTopic('orders').then(() => (deleted = true))
  await full.clock.advance(100)
  expect(deleted).toBe(true)
  const { capacityBytes } = full.disk
  const again = openStore(full.disk.powerCut({ seed: 1, capacityBytes }), full.clock, retained)
  expect(bodiesOf(again, again.findQueue('orders', 0))).toEqual([])
  expect(again.queue('orders', 0).nextOffset).toBe(full.sent.length)
})

test('F12: a store starts on a full disk, serves, frees it by retention, and takes messages again', async () => {
  const full = world()
  await fill(full)
  const { clock, sent } = full
  sent.pop()
  const { capacityBytes } = full.disk
  // Somebody else took the room of the reserve: the store serves, and takes nothing.
  const robbed = full.disk.killed({ capacityBytes: capacityBytes - RESERVE_BYTES })
  robbed.remove('data/reserve')
  const poor = openStore(robbed, clock, retained)
  expect(bodiesOf(poor, poor.findQueue('orders', 0))).toEqual(sent)
  await clock.advance(3_000)
  expect(() => append(poor, 'orders', 'no')).toThrow(/DISK_FULL/)
  robbed.capacityBytes = capacityBytes
  await clock.advance(3_000)
  const disk = robbed.killed({ capacityBytes })
  expect(disk.open('data/reserve', 'read').size()).toBe(RESERVE_BYTES)
  const store = openStore(disk, clock, retained)
  expect(bodiesOf(store, store.findQueue('orders', 0))).toEqual(sent)
  store.retain(() => store.endOffset)
  await clock.advance(3_000)
  const next = { clock, disk, store, sent }
  await send(next, 3)
  expectTail(store, next.sent)
  expect(store.firstOffset).toBeGreaterThan(2 * SEGMENT_BYTES)
})

test('F12: a new directory on a full disk is refused by code', () => {
  const disk = new FaultDisk({ seed: 1, capacityBytes: 10 })
  expect(() => openStore(disk, virtualClock())).toThrow(/DISK_FULL.*no room to start in data/)
  disk.capacityBytes = Infinity
  expect(append(openStore(disk, virtualClock()), 'orders', 'now').state).toBe('waiting')
})

test('F12: closed on a full disk it keeps what the journal was told', async () => {
  const full = world()
  await fill(full)
  await Promise.all([full.store.close(), full.clock.advance(1_000)])
  const offsets: unknown[] = []
  const again = openStore(full.disk.powerCut({ seed: 1 }), full.clock, retained)
  again.journal.register('offsets', { apply: (entry) => void offsets.push(entry), snapshot: () => [] })
  expect(offsets.length).toBe(300)
})

test('F12: without room for index and checkpoints messages are taken, and no half-written file stays', async () => {
  const mirror = new OffsetMirror()
  const short = world({ ...mirrored(mirror), checkpointBytes: SEGMENT_BYTES })
  const { disk, clock, store, sent } = short
  const faults = [/index.*tmp$/, /checkpoint.*tmp$/].map((path) =>
    disk.fail({ operation: 'write', code: 'ENOSPC', path, after: 1 }),
  )
  await send(short, 35)
  await clock.advance(5_000)
  expect(store.stats()).toMatchObject({ isFull: false, isFenced: false, indexFiles: 0, checkpoints: 0 })
  expect([...disk.list('data/index'), ...disk.list('data/checkpoint')]).toEqual([])
  for (const fault of faults) fault.stop()
  await send(short, 10)
  await clock.advance(60_000)
  expect(store.stats().indexFiles).toBeGreaterThan(3)
  expectTail(store, sent)
})

test('F12: wherever a write finds the disk full for a while, nothing is fenced, lost or moved', async () => {
  await fullEverywhere('write')
  await fullEverywhere('truncate')
}, 60_000)

test('F13: wherever a file cannot be made or named for a while, nothing is fenced, lost or moved', async () => {
  await fullEverywhere('open')
  await fullEverywhere('rename')
}, 60_000)

/** Once, and until there is room again, from each operation on. */
async function fullEverywhere(operation: 'write' | 'truncate' | 'open' | 'rename'): Promise<void> {
  for (const times of [1, Infinity]) {
    let after = 0
    while (await fullFrom(operation, after, times)) after++
    expect(after, operation).toBeGreaterThan(3)
  }
}

/** @returns false when there were not so many operations */
async function fullFrom(
  operation: 'write' | 'truncate' | 'open' | 'rename',
  after: number,
  times: number,
): Promise<boolean> {
  const mirror = new OffsetMirror()
  const options = {
    ...mirrored(mirror),
    checkpointBytes: 2 * SEGMENT_BYTES,
  }
  const short = world(options)
  const { disk, clock, store } = short
  const label = `${operation} ${after}, ${times} times`
  const path = new CountingExpression('')
  const fault = disk.fail({ operation, code: 'ENOSPC', after, times, path })
  const stored: string[] = []
  for (let index = 0; index < 30; index++) {
    const body = `${index} ${'y'.repeat(1_000)}`
    store.journal.append('offsets', ['group', index])
    try {
      append(store, 'orders', body)
      stored.push(body)
    } catch (error) {
      expect(String(error), label).toMatch(/DISK_FULL/)
    }
    store.commitTurn()
    await clock.advance(30)
    if (index % 10 === 9) store.retain(() => store.endOffset)
  }
  fault.stop()
  await clock.advance(10_000)
  expect(store.stats(), label).toMatchObject({ isFull: false, isFenced: false, pending: 0 })
  append(store, 'orders', 'last')
  await clock.advance(2_000)
  const queue = store.findQueue('orders', 0)
  expect(bodiesOf(store, queue), label).toEqual([...stored, 'last'].slice(queue?.minOffset))
  const again = openStore(disk.powerCut({ seed: after }), clock, { ...retained, ...mirrored(new OffsetMirror()) })
  expect(bodiesOf(again, again.findQueue('orders', 0)), label).toEqual([...stored, 'last'].slice(queue?.minOffset))
  return path.tests > after
}

class CountingExpression extends RegExp {
  tests = 0

  override test(text: string): boolean {
    this.tests++
    return super.test(text)
  }
}
