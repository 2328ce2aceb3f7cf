import { expect, test } from 'vitest'
import { append, bodiesOf, openStore, turns, virtualClock } from '../../../test/kit/store-kit.ts'
import { FaultDisk } from './fault-disk.ts'
import { MemoryDisk } from './memory-disk.ts'

const LOG = 'data/commitlog/00000000000000000000'

/** A log of `count` acknowledged messages, one sync each; closed cleanly unless `kill`. */
async function logOf(count: number, kill = false, segmentBytes = 1 << 20): Promise<FaultDisk> {
  const disk = new FaultDisk({ seed: 1 })
  const store = openStore(disk, virtualClock(), { segmentBytes })
  for (let index = 0; index < count; index++) {
    append(store, 'orders', `body ${index}`.padEnd(300, '.'))
    store.commitTurn()
    await turns(3)
  }
  if (kill) return disk.killed()
  await store.close()
  return disk
}

test('a killed process loses nothing that was written', async () => {
  const store = openStore(await logOf(20, true), virtualClock())
  expect(bodiesOf(store, store.findQueue('orders', 0)).length).toBe(20)
  expect(store.recovery.cut).toBeUndefined()
})

test('a file that was only filled ahead is not reported as cut', async () => {
  const disk = await logOf(20, true, 8_192)
  expect(disk.list('data/commitlog').length).toBeGreaterThan(1)
  const ahead = disk.open(`data/commitlog/${'24576'.padStart(20, '0')}`, 'create')
  ahead.write(Buffer.alloc(8_192), 0, 8_192, 0)
  const clean = openStore(disk, virtualClock(), { segmentBytes: 8_192 })
  expect([clean.endOffset < 24_576, clean.recovery.cut]).toEqual([true, undefined])
  const next = disk.killed()
  const used = next.open(`data/commitlog/${'24576'.padStart(20, '0')}`, 'write')
  used.write(Buffer.of(7), 0, 1, 99)
  const cut = openStore(next, virtualClock(), { segmentBytes: 8_192 }).recovery.cut
  expect(cut?.to).toBe(24_576 + 100)
})

test('what a killed process left unsynced is on the disk before it is served again', async () => {
  for (let seed = 0; seed < 8; seed++) {
    const disk = new FaultDisk({ seed })
    const store = openStore(disk, virtualClock(), { flush: 'async' })
    append(store, 'orders', 'seen')
    store.commitTurn()
    const killed = disk.killed()
    expect(openStore(killed, virtualClock()).queue('orders', 0).maxOffset).toBe(1)
    const after = openStore(killed.powerCut({ seed }), virtualClock())
    expect(bodiesOf(after, after.findQueue('orders', 0))).toEqual(['seen'])
  }
})

test('F06: a record torn anywhere is cut, the ones before it stay, and its bytes never come back', async () => {
  const size = 300 + 6 + 91 + 4
  for (let kept = 0; kept < size; kept += 13) {
    const disk = new FaultDisk({ seed: 1 })
    const store = openStore(disk, virtualClock(), { flush: 'async' })
    append(store, 'orders', 'first')
    append(store, 'orders', 'second'.padEnd(300, '.'))
    store.commitTurn()
    const end = store.endOffset
    const killed = disk.killed()
    killed.open(LOG, 'write').truncate(end - size + kept)
    const again = openStore(killed, virtualClock())
    expect(bodiesOf(again, again.findQueue('orders', 0))).toEqual(['first'])
    expect(again.recovery.cut !== undefined).toBe(kept > 0)
    const twice = openStore(killed.killed(), virtualClock())
    expect([twice.recovery.records, twice.recovery.cut]).toEqual([1, undefined])
  }
})

test('whole records behind a hole nobody was promised are cut too, and reported', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const store = openStore(disk, virtualClock(), { flush: 'async' })
  for (const body of ['a', 'b', 'c']) append(store, 'orders', body)
  store.commitTurn()
  const second = store.queue('orders', 0).physicalOffset(1)
  const killed = disk.killed()
  killed.flipBit(LOG, (second + 90) * 8)
  const again = openStore(killed, virtualClock())
  expect(bodiesOf(again, again.findQueue('orders', 0))).toEqual(['a'])
  expect(again.recovery.cut).toEqual({ from: second, to: expect.any(Number) })
  // The third record would fit exactly behind a new second one.
  append(again, 'orders', 'B')
  again.commitTurn()
  await turns()
  const last = openStore(killed.killed(), virtualClock())
  expect(bodiesOf(last, last.findQueue('orders', 0))).toEqual(['a', 'B'])
})

test('F16: a bit flipped anywhere in acknowledged records stops the start with the range, or is skipped on request', async () => {
  const sample = await logOf(12)
  const bits = sample.open(LOG, 'read').size() * 8
  let refused = 0
  for (let bit = 5; bit < bits; bit += 997) {
    const disk = await logOf(12)
    disk.flipBit(LOG, bit)
    let message = ''
    try {
      const store = openStore(disk, virtualClock())
      expect(bodiesOf(store, store.findQueue('orders', 0)).length).toBe(12)
    } catch (error) {
      message = String(error)
    }
    if (message === '') continue
    refused++
    const range = /LOG_DAMAGED.*bytes (\d+) to (\d+) of the log/.exec(message)
    expect(Number(range?.[1])).toBeLessThanOrEqual(bit / 8)
    expect(Number(range?.[2])).toBeGreaterThan(bit / 8)
    const accepting = openStore(disk, virtualClock(), { acceptDamage: true })
    const bodies = bodiesOf(accepting, accepting.findQueue('orders', 0))
    expect(bodies.filter((body) => body !== undefined).length).toBeGreaterThanOrEqual(11)
    const { minOffset } = accepting.queue('orders', 0)
    for (const [index, body] of bodies.entries()) {
      if (body !== undefined) expect(body).toBe(`body ${minOffset + index}`.padEnd(300, '.'))
    }
    append(accepting, 'orders', 'more')
    await accepting.close()
    const again = openStore(disk, virtualClock())
    expect(again.recovery.damage).toEqual([])
    expect(bodiesOf(again, again.findQueue('orders', 0)).filter((body) => body === 'more').length).toBe(1)
  }
  expect(refused).toBeGreaterThan(30)
})

test('damage in acknowledged records is told from a torn tail after a kill too, long before the journal knows', async () => {
  const disk = await logOf(12, true)
  const store = openStore(disk.killed(), virtualClock())
  const queue = store.queue('orders', 0)
  const end = store.endOffset
  for (const [offset, refused] of [
    [4, true],
    [11, false],
  ] as const) {
    const killed = await logOf(12, true)
    killed.flipBit(LOG, (queue.physicalOffset(offset) + 150) * 8)
    const open = () => openStore(killed, virtualClock())
    if (refused) expect(open).toThrow(new RegExp(`bytes ${queue.physicalOffset(4)} to \\d+ of the log`))
    else expect(open().recovery.cut).toEqual({ from: queue.physicalOffset(11), to: end })
  }
})

test('two quiet seconds after the last message even damage in that one is told from a torn tail', async () => {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const store = openStore(disk, clock)
  for (const body of ['first', 'last']) {
    append(store, 'orders', body)
    store.commitTurn()
    await clock.advance(10)
  }
  await clock.advance(2500)
  const cut = disk.powerCut({ seed: 2 })
  cut.flipBit(LOG, (store.queue('orders', 0).physicalOffset(1) + 60) * 8)
  expect(() => openStore(cut, clock)).toThrow(/LOG_DAMAGED/)
})

test('F07: a message lost while its sync ran is a cut, not damage, even when a later write reached the disk', async () => {
  let holes = 0
  for (let seed = 0; seed < 60; seed++) {
    const disk = new FaultDisk({ seed })
    const store = openStore(disk, virtualClock())
    disk.holdSyncs = true
    const outcomes = ['first', 'second', 'third'].map((body) => {
      const outcome = append(store, 'orders', body)
      store.commitTurn()
      // Of the first alone: the second is in the file by then, and the third follows with a marker.
      if (body === 'second') disk.releaseSyncs()
      return outcome.state
    })
    expect(outcomes).toEqual(['waiting', 'waiting', 'waiting'])
    const again = openStore(disk.powerCut({ seed }), virtualClock())
    expect(bodiesOf(again, again.findQueue('orders', 0))[0]).toBe('first')
    if (again.recovery.cut !== undefined) holes++
  }
  expect(holes).toBeGreaterThan(3)
})

test('F16: a bit that flips while the store runs is never served', async () => {
  const disk = await logOf(12)
  const store = openStore(disk, virtualClock())
  const queue = store.queue('orders', 0)
  disk.flipBit(LOG, (queue.physicalOffset(3) + 200) * 8)
  const target = Buffer.alloc(1000)
  expect(() => store.readInto(queue.physicalOffset(3), queue.size(3), target, 0)).toThrow(/LOG_DAMAGED/)
  expect(store.readInto(queue.physicalOffset(4), queue.size(4), target, 0)).toBe(true)
})

test('F15: a read error fails that read and no other', async () => {
  const disk = await logOf(12)
  const store = openStore(disk, virtualClock())
  const queue = store.queue('orders', 0)
  const fault = disk.fail({ operation: 'read', code: 'EIO' })
  expect(() => store.read(queue.physicalOffset(3))).toThrow(/LOG_DAMAGED.*EIO/)
  fault.stop()
  expect(store.read(queue.physicalOffset(3))).toBeDefined()
  expect(store.isFenced).toBe(false)
})

test('F17: a log file truncated, emptied, missing or replaced is reported, never taken for a shorter log', async () => {
  const segmentBytes = 2000
  const paths = (await logOf(30, false, segmentBytes)).list('data/commitlog').map((name) => `data/commitlog/${name}`)
  expect(paths.length).toBeGreaterThan(4)
  for (const path of paths) {
    for (const harm of ['truncate', 'empty', 'remove'] as const) {
      const disk = await logOf(30, false, segmentBytes)
      if (disk.open(path, 'read').size() === 0) continue
      if (harm === 'remove') disk.remove(path)
      else disk.open(path, 'write').truncate(harm === 'empty' ? 0 : 150)
      // A file that was only filled ahead may be missing.
      const isAhead = path === paths.at(-1) && openStoreQuietly(await logOf(30, false, segmentBytes), segmentBytes)
      if (isAhead) continue
      expect(() => openStore(disk, virtualClock(), { segmentBytes }), `${harm} ${path}`).toThrow(/LOG_DAMAGED/)
      const accepting = openStore(disk, virtualClock(), { segmentBytes, acceptDamage: true })
      append(accepting, 'orders', 'more')
      await accepting.close()
      const again = openStore(disk, virtualClock(), { segmentBytes })
      expect(bodiesOf(again, again.findQueue('orders', 0)).at(-1), `${harm} ${path}`).toBe('more')
    }
  }
})

/** True when the newest file holds no record. */
function openStoreQuietly(disk: FaultDisk, segmentBytes: number): boolean {
  const newest = Number(disk.list('data/commitlog').at(-1))
  return openStore(disk, virtualClock(), { segmentBytes }).endOffset <= newest
}

test('a perfect record of another place is not a record', async () => {
  const disk = await logOf(3)
  const store = openStore(disk, virtualClock())
  const queue = store.queue('orders', 0)
  const record = store.read(queue.physicalOffset(1)) ?? Buffer.alloc(0)
  const end = store.endOffset
  await store.close()
  const file = disk.open(LOG, 'write')
  const bytes = Buffer.alloc(record.length + 4)
  file.read(bytes, 0, bytes.length, queue.physicalOffset(1))
  const size = file.size()
  file.write(bytes, 0, bytes.length, size)
  const again = openStore(disk, virtualClock())
  expect(again.recovery.records).toBe(3)
  expect(again.recovery.cut).toEqual({ from: size, to: size + bytes.length })
  expect(end).toBeLessThanOrEqual(size)
})

test('F19: a second store on the directory is refused, and may have it after the first closed', async () => {
  const disk = new MemoryDisk()
  const store = openStore(disk, virtualClock())
  expect(() => openStore(disk, virtualClock())).toThrow(/DIRECTORY_LOCKED/)
  await store.close()
  await openStore(disk, virtualClock()).close()
})

test('F20: an unknown format is refused by its number, and a log without a format file too', async () => {
  const disk = await logOf(1)
  const format = disk.open('data/format', 'write')
  const text = Buffer.from('TandemMQ store format 2\n')
  format.write(text, 0, text.length, 0)
  expect(() => openStore(disk, virtualClock())).toThrow(/FORMAT_VERSION_UNKNOWN.*format 2.*format 1/)
  disk.remove('data/format')
  expect(() => openStore(disk, virtualClock())).toThrow(/FORMAT_VERSION_UNKNOWN/)
})
