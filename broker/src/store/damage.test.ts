import { expect, test } from 'vitest'
import {
  append,
  bodiesOf,
  mirrored,
  OffsetMirror,
  openStore,
  turns,
  virtualClock,
} from '../../../test/kit/store-kit.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { StoreError } from './store-error.ts'
import type { DerivedState, StoreOptions } from './store-options.ts'

const options = (): Partial<StoreOptions> => ({
  segmentBytes: 8192,
  describe() {},
  ...mirrored(new OffsetMirror()),
})

/** A closed store of 60 messages whose 20th, in a sealed segment, has one flipped bit: in its body, unless `byte` says where. */
async function damaged(byteInRecord = 200, given = options(), beforeClose = (_queue: ConsumeQueue): void => {}) {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, given)
  for (let n = 0; n < 60; n++) {
    append(store, 'orders', `m${n}`.padEnd(400, '.'))
    if (n % 5 === 4) {
      await clock.advance(10)
      await turns()
    }
  }
  const queue = store.queue('orders', 0)
  const at = queue.physicalOffset(20)
  expect(queue.runs).toBeGreaterThan(2)
  beforeClose(queue)
  await store.close()
  const start = disk.list('data/commitlog').findLast((name) => Number(name) <= at) ?? ''
  const file = disk.open(`data/commitlog/${start}`, 'write')
  const byte = Buffer.alloc(1)
  file.read(byte, 0, 1, at - Number(start) + byteInRecord)
  byte[0] = (byte[0] as number) ^ 8
  file.write(byte, 0, 1, at - Number(start) + byteInRecord)
  file.close()
  return { clock, disk, at }
}

test('F15 F16: a damaged record is never served, told once with its range, and the others are served', async () => {
  const { clock, disk, at } = await damaged()
  const told: StoreError[] = []
  const store = openStore(disk, clock, { ...options(), onDamage: (error) => void told.push(error) })
  const queue = store.queue('orders', 0)
  const target = Buffer.alloc(1_000)
  for (let round = 0; round < 2; round++) {
    for (let offset = 0; offset < 60; offset++) {
      const read = (): boolean => store.readInto(queue.physicalOffset(offset), queue.size(offset), target, 0)
      if (offset === 20) expect(read).toThrow(`LOG_DAMAGED] bytes ${at} to ${at + queue.size(20)} of the log`)
      else expect(read()).toBe(true)
    }
  }
  expect(() => store.read(at)).toThrow('LOG_DAMAGED')
  expect(told.map(({ code }) => code)).toEqual(['LOG_DAMAGED'])
  expect(store.stats().damaged).toBe(1)
  expect(store.isFenced).toBe(false)
})

test('F15: a record known to be somewhere is damaged when nothing there looks like one; an offset made up is none', async () => {
  // In totalSize, the magic, the record's own offset.
  for (const byte of [2, 5, 33]) {
    const { clock, disk, at } = await damaged(byte)
    const told: StoreError[] = []
    const store = openStore(disk, clock, { ...options(), onDamage: (error) => void told.push(error) })
    expect(store.read(at)).toBeUndefined()
    expect(store.read(at + 1)).toBeUndefined()
    expect(told).toEqual([])
    for (let round = 0; round < 2; round++) expect(() => store.read(at, true)).toThrow(`LOG_DAMAGED] bytes ${at} to`)
    expect(told.length).toBe(1)
    expect(store.read(store.endOffset, true)).toBeUndefined()
  }
})

/** A table that keeps places only, and reads the records again at start. */
class Places implements DerivedState {
  offsets: number[] = []
  readonly found: number[] = []

  snapshot(): Buffer[] {
    return [Buffer.from(Float64Array.from(this.offsets).buffer)]
  }

  restore(snapshot: Buffer, _first: number, read: (offset: number) => Buffer | undefined): void {
    for (let at = 0; at < snapshot.length; at += 8) {
      const offset = snapshot.readDoubleLE(at)
      if (read(offset) !== undefined) this.found.push(offset)
    }
  }
}

test('F15: a record the checkpoint needs and nobody can read stops the start with its range', async () => {
  const tables = (places = new Places()): Partial<StoreOptions> => ({
    segmentBytes: 8192,
    derived: new Map([['places', places]]),
    onRecovered: () => {},
  })
  const before = new Places()
  const { clock, disk, at } = await damaged(200, tables(before), (queue) => {
    before.offsets = [19, 20, 21].map((offset) => queue.physicalOffset(offset))
  })
  const [, , next] = before.offsets
  expect(() => openStore(disk, clock, tables())).toThrow(`LOG_DAMAGED] bytes ${at} to ${next} of the log are damaged`)
  const store = openStore(disk, clock, { ...tables(), acceptDamage: true })
  expect(store.recovery.damage).toEqual([{ from: at, to: next }])
  await store.close()
  const after = new Places()
  openStore(disk, clock, tables(after))
  expect(after.found).not.toContain(at)
})

test('acceptDamage reads the whole log, skips the range and says which; later starts know it', async () => {
  const { clock, disk, at } = await damaged()
  const store = openStore(disk, clock, { ...options(), acceptDamage: true })
  const queue = store.queue('orders', 0)
  expect(store.recovery.damage).toEqual([{ from: at, to: queue.physicalOffset(21) }])
  const bodies = bodiesOf(store, queue)
  expect(bodies.length).toBe(60)
  expect(bodies.flatMap((body, offset) => (body === undefined ? [offset] : []))).toEqual([20])
  await store.close()
  const again = openStore(disk, clock, options())
  expect(bodiesOf(again, again.queue('orders', 0))).toEqual(bodies)
  expect(again.recovery.damage).toEqual([])
  expect(again.recovery.from).toBeGreaterThan(0)
})

test('a start that takes long tells how far it is', async () => {
  const clock = virtualClock()
  const disk = new MemoryDisk()
  const store = openStore(disk, clock, options())
  for (let n = 0; n < 5_000; n++) append(store, 'orders', 'x')
  await store.close()
  let now = 0
  const slow = Object.assign(Object.create(clock) as typeof clock, {
    now: () => clock.now(),
    monotonic: () => (now += 400),
  })
  const told: [number, number][] = []
  for (const name of disk.list('data/index')) disk.remove(`data/index/${name}`)
  for (const name of disk.list('data/checkpoint')) disk.remove(`data/checkpoint/${name}`)
  openStore(disk, slow, { ...options(), onProgress: (read, total) => void told.push([read, total]) })
  expect(told.length).toBeGreaterThan(0)
  expect(told.every(([read, total]) => read > 0 && read <= total)).toBe(true)
})
