import { expect, test } from 'vitest'
import {
  bodiesOf,
  fieldsOf,
  mirrored,
  OffsetMirror,
  offsetsOf,
  openStore,
  turns,
  virtualClock,
} from '../../../test/kit/store-kit.ts'
import type { Disk } from './disk.ts'
import { FaultDisk } from './fault-disk.ts'
import { IndexEntry } from '../index-entry.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { MessageStore } from './message-store.ts'
import type { StoreOptions } from './store-options.ts'

const QUEUES = 3
const ALWAYS = Number.MAX_SAFE_INTEGER

/** A key of each message is the number its body starts with. */
const keyed: Partial<StoreOptions> = {
  segmentBytes: 8192,
  describe(record, bytes, entry) {
    entry.begin(-record.queueOffset)
    entry.addKey(Number.parseInt(bytes.toString('latin1', record.bodyStart, record.bodyEnd), 10))
  },
}

/** Stores messages in bursts, so that segments are sealed and indexed beside them. */
async function fill(
  store: MessageStore,
  clock: ReturnType<typeof virtualClock>,
  count: number,
  from = 0,
  mirror?: OffsetMirror,
): Promise<void> {
  for (let n = from; n < from + count; n++) {
    const queue = store.queue('orders', n % QUEUES)
    const entry = new IndexEntry()
    entry.begin(-queue.nextOffset)
    entry.addKey(n % 50)
    store.append(queue, fieldsOf('orders', `${n % 50} message ${n} `.padEnd(60 + ((n * 37) % 300), '.')), entry)
    mirror?.offsets.add(queue.physicalOffset(queue.nextOffset - 1))
    if (n % 10 === 9) {
      await clock.advance(6)
      await turns()
    }
  }
  await clock.advance(60)
  await turns()
  await clock.advance(60)
}

function keysFound(store: MessageStore, key: number, begin = 0, end = ALWAYS): string[] {
  const found = [...store.findByKey(key, begin, end)]
  return found.map((offset) => {
    const record = store.read(offset)
    return record === undefined ? 'gone' : (/message \d+/.exec(record.toString('latin1'))?.[0] ?? 'no body')
  })
}

function files(disk: Disk, folder: string): string[] {
  return disk.list(`data/${folder}`)
}

function allBodies(store: MessageStore): (string | undefined)[][] {
  return Array.from({ length: QUEUES }, (_, id) => bodiesOf(store, store.findQueue('orders', id)))
}

function flip(disk: Disk, path: string, at: number): void {
  const file = disk.open(path, 'write')
  const byte = Buffer.alloc(1)
  file.read(byte, 0, 1, at)
  byte[0] = (byte[0] as number) ^ 4
  file.write(byte, 0, 1, at)
  file.syncNow()
  file.close()
}

test('units of sealed segments leave the memory and are the same in the files, before and after a restart', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, keyed)
  await fill(store, clock, 400)
  expect(files(disk, 'index').length).toBeGreaterThan(8)
  expect(files(disk, 'index').length).toBe(
    files(disk, 'commitlog').length - (files(disk, 'commitlog').at(-1) === undefined ? 0 : 2),
  )
  const queue = store.findQueue('orders', 1)
  if (queue === undefined) throw new Error('no queue')
  expect(queue.runs).toBe(files(disk, 'index').length)
  const before = allBodies(store)
  expect(before.flat().length).toBe(400)
  for (let offset = 0; offset < queue.maxOffset; offset++)
    expect(queue.tagsCode(offset)).toBe(offset === 0 ? 0 : -offset)
  await store.close()
  const again = openStore(disk, clock, keyed)
  expect(allBodies(again)).toEqual(before)
  expect(again.findQueue('orders', 1)?.tagsCode(70)).toBe(-70)
  await fill(again, clock, 30, 400)
  expect(allBodies(again).flat().length).toBe(430)
})

test('a start reads only what the index and the newest checkpoint do not say', async () => {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const options = { ...keyed, checkpointBytes: 30_000 }
  const kept = new OffsetMirror()
  const store = openStore(disk, clock, { ...options, ...mirrored(kept) })
  await fill(store, clock, 600, 0, kept)
  expect(store.stats().checkpoints).toBeGreaterThan(2)
  expect(files(disk, 'checkpoint').length).toBe(2)
  const after = disk.powerCut({ seed: 1 })
  const mirror = new OffsetMirror()
  const again = openStore(after, clock, { ...options, ...mirrored(mirror) })
  expect(again.recovery.from).toBeGreaterThan(store.endOffset / 2)
  expect(again.recovery.records).toBeLessThan(300)
  expect([...mirror.offsets].toSorted((a, b) => a - b)).toEqual(
    offsetsOf([0, 1, 2].map((id) => again.findQueue('orders', id))),
  )
  expect(allBodies(again).flat().length).toBe(600)
})

test('after a clean end nothing but the last marker is read', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const kept = new OffsetMirror()
  const store = openStore(disk, clock, { ...keyed, ...mirrored(kept) })
  await fill(store, clock, 200, 0, kept)
  await store.close()
  const mirror = new OffsetMirror()
  const again = openStore(disk, clock, { ...keyed, ...mirrored(mirror) })
  expect(mirror.restored).toBe(200)
  // The queues of the last, unsealed segment are read again.
  expect(again.recovery.records).toBeLessThan(40)
})

test.each(['index', 'checkpoint'])('without the folder %s everything is there again, from the log', async (folder) => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const options = { ...keyed, checkpointBytes: 30_000 }
  const kept = new OffsetMirror()
  const store = openStore(disk, clock, { ...options, ...mirrored(kept) })
  await fill(store, clock, 400, 0, kept)
  const before = allBodies(store)
  await store.close()
  for (const name of files(disk, folder)) disk.remove(`data/${folder}/${name}`)
  const mirror = new OffsetMirror()
  const again = openStore(disk, clock, { ...options, ...mirrored(mirror) })
  expect(allBodies(again)).toEqual(before)
  expect(mirror.offsets.size).toBe(400)
  expect(again.recovery.from).toBe(0)
  expect(keysFound(again, 7)).toEqual([
    'message 357',
    'message 307',
    'message 257',
    'message 207',
    'message 157',
    'message 107',
    'message 57',
    'message 7',
  ])
  await again.close()
  expect(files(disk, folder).length).toBeGreaterThan(0)
})

test('F16: no flipped bit of an index file is served: the file is made anew from the log', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, keyed)
  await fill(store, clock, 400)
  const before = allBodies(store)
  const keys = Array.from({ length: 50 }, (_, key) => keysFound(store, key))
  await store.close()
  const path = `data/index/${files(disk, 'index')[3] ?? ''}`
  const whole = bytesOf(disk, path)
  let rebuilt = 0
  for (let at = 0; at < whole.length; at += 97) {
    flip(disk, path, at)
    const again = openStore(disk, clock, keyed)
    expect(allBodies(again), `byte ${at}`).toEqual(before)
    expect(
      Array.from({ length: 50 }, (_, key) => keysFound(again, key)),
      `byte ${at}`,
    ).toEqual(keys)
    rebuilt += again.stats().indexRebuilt
    await again.close()
    expect(bytesOf(disk, path).equals(whole), `byte ${at}`).toBe(true)
  }
  expect(rebuilt).toBeGreaterThan(10)
}, 60_000)

test('F16 F17: a damaged or cut checkpoint is not used, an older one or the log is', async () => {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const options = { ...keyed, checkpointBytes: 30_000 }
  const kept = new OffsetMirror()
  const store = openStore(disk, clock, { ...options, ...mirrored(kept) })
  await fill(store, clock, 400, 0, kept)
  const [older, newer] = files(disk, 'checkpoint')
  flip(disk, `data/checkpoint/${newer ?? ''}`, 100)
  const left = disk.powerCut({ seed: 1 })
  const first = new OffsetMirror()
  const again = openStore(left, clock, { ...options, ...mirrored(first) })
  expect(again.recovery.from).toBe(Number(older))
  expect(first.offsets.size).toBe(400)
  const file = left.open(`data/checkpoint/${older ?? ''}`, 'write')
  file.truncate(file.size() - 1)
  file.syncNow()
  file.close()
  const second = new OffsetMirror()
  const third = openStore(left.powerCut({ seed: 1 }), clock, { ...options, ...mirrored(second) })
  expect(third.recovery.from).toBe(0)
  expect(second.offsets.size).toBe(400)
})

test('a checkpoint is not used by a program that keeps a table it does not hold', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, { ...keyed, ...mirrored(new OffsetMirror()) })
  await fill(store, clock, 100)
  await store.close()
  const mirror = new OffsetMirror()
  const other = new OffsetMirror()
  const derived = new Map([
    ['mirror', mirror],
    ['other', other],
  ])
  openStore(disk, clock, { ...keyed, ...mirrored(mirror), derived })
  expect(mirror.offsets.size).toBe(100)
  expect(mirror.restored).toBe(0)
})

test('messages are found by key, newest first, in sealed segments, in the open one and in one being written', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, keyed)
  const expected = (count: number): string[] =>
    Array.from({ length: count }, (_, n) => n)
      .filter((n) => n % 50 === 13)
      .toReversed()
      .map((n) => `message ${n}`)
  for (let n = 0; n < 500; n += 25) {
    await fill(store, clock, 25, n)
    expect(keysFound(store, 13)).toEqual(expected(n + 25))
  }
  const entry = new IndexEntry()
  entry.addKey(13)
  store.append(store.queue('orders', 0), fieldsOf('orders', '13 message 9999'), entry)
  expect(keysFound(store, 13)).toEqual(expected(500))
  store.commitTurn()
  await turns()
  expect(keysFound(store, 13)).toEqual(['message 9999', ...expected(500)])
  expect(keysFound(store, 51)).toEqual([])
})

test('a segment outside the time range is not searched', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, keyed)
  await fill(store, clock, 300)
  const middle = clock.now()
  await clock.advance(10_000)
  await fill(store, clock, 300, 300)
  const old = keysFound(store, 5, 0, middle)
  // The open segment and the last sealed one may hold younger ones as well: the caller looks at each record anyway.
  expect(old).toContain('message 255')
  expect(old.filter((text) => Number(text.slice(8)) >= 400 && Number(text.slice(8)) < 500)).toEqual([])
})

test('index files go with their segments, and a queue without records any more costs nothing', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, { ...keyed, retentionMs: 1_000 })
  await fill(store, clock, 400)
  const before = files(disk, 'index').length
  await clock.advance(5_000)
  store.retain(() => Infinity)
  await clock.advance(100)
  await turns()
  expect(files(disk, 'index').length).toBeLessThan(before)
  expect(files(disk, 'index')).toEqual(files(disk, 'commitlog').slice(0, files(disk, 'index').length))
  for (let id = 0; id < QUEUES; id++)
    expect(bodiesOf(store, store.findQueue('orders', id)).includes(undefined)).toBe(false)
  const queue = store.findQueue('orders', 0)
  expect(queue?.minOffset).toBeGreaterThan(0)
  expect(keysFound(store, 3).includes('gone')).toBe(false)
})

test('a topic deleted and made again shows none of its old messages after any restart', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, keyed)
  await fill(store, clock, 205)
  const ends = Array.from({ length: QUEUES }, (_, id) => store.findQueue('orders', id)?.nextOffset ?? 0)
  await Promise.all([store.deleteTopic('orders'), clock.advance(10)])
  await fill(store, clock, 210, 205)
  const expected = allBodies(store)
  expect(expected.flat().length).toBe(210)
  await store.close()
  const again = openStore(disk, clock, keyed)
  expect(allBodies(again)).toEqual(expected)
  expect(Array.from({ length: QUEUES }, (_, id) => again.findQueue('orders', id)?.minOffset)).toEqual(ends)
})

test('without room the index waits and the messages do not', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, keyed)
  const { open } = disk
  disk.open = (path, mode) => {
    if (path.includes('/index/') && mode === 'create') throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
    return open.call(disk, path, mode)
  }
  await fill(store, clock, 300)
  expect(allBodies(store).flat().length).toBe(300)
  expect(files(disk, 'index')).toEqual([])
  expect(store.stats().indexFailures).toBeGreaterThan(0)
  expect(store.isFenced).toBe(false)
  expect(keysFound(store, 21).length).toBe(6)
  disk.open = open
  await clock.advance(6_000)
  await turns()
  await fill(store, clock, 10, 300)
  expect(files(disk, 'index').length).toBeGreaterThan(5)
  expect(allBodies(store).flat().length).toBe(310)
})

test('a start without room for the index leaves its files to be written when there is some, with the same bytes', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, keyed)
  await fill(store, clock, 300)
  const whole = new Map(files(disk, 'index').map((name) => [name, bytesOf(disk, `data/index/${name}`)]))
  const keys = Array.from({ length: 50 }, (_, key) => keysFound(store, key))
  await store.close()
  for (const name of whole.keys()) disk.remove(`data/index/${name}`)
  const { open } = disk
  disk.open = (path, mode) => {
    if (path.includes('/index/') && mode === 'create') throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
    return open.call(disk, path, mode)
  }
  const again = openStore(disk, clock, keyed)
  expect(Array.from({ length: 50 }, (_, key) => keysFound(again, key))).toEqual(keys)
  expect(files(disk, 'index')).toEqual([])
  disk.open = open
  await fill(again, clock, 100, 300)
  await clock.advance(6_000)
  for (const [name, bytes] of whole) expect(bytesOf(disk, `data/index/${name}`).equals(bytes), name).toBe(true)
  expect(files(disk, 'index').length).toBeGreaterThan(whole.size)
  expect(keysFound(again, 49)).toEqual(['message 399', 'message 349', ...keys[49]!])
})

function bytesOf(disk: MemoryDisk, path: string): Buffer {
  const file = disk.open(path, 'read')
  const bytes = Buffer.alloc(file.size())
  file.read(bytes, 0, bytes.length, 0)
  file.close()
  return bytes
}
