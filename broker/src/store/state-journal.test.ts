import { expect, test } from 'vitest'
import { turns, virtualClock } from '../../../test/kit/store-kit.ts'
import type { Disk } from './disk.ts'
import { RoomReserve } from './room-reserve.ts'
import { FaultDisk } from './fault-disk.ts'
import { MemoryDisk } from './memory-disk.ts'
import { StateJournal } from './state-journal.ts'
import type { JournalOptions } from './journal-options.ts'

const DIRECTORY = 'data/journal'

function open(disk: Disk, options: Partial<JournalOptions> = {}): StateJournal {
  const base = { disk, clock: virtualClock(), directory: DIRECTORY, acceptDamage: false, isNew: true }
  return new StateJournal({ ...base, onBroken: () => {}, ...options })
}

/** A table whose last entry per key wins, as topics and offsets are. */
function table(journal: StateJournal, name = 'offsets'): Map<string, number> {
  const map = new Map<string, number>()
  journal.register(name, {
    apply: (entry) => void map.set(...(entry as [string, number])),
    snapshot: () => [...map],
  })
  return map
}

function pathOf(disk: Disk): string {
  return `${DIRECTORY}/${disk.list(DIRECTORY).at(-1)}`
}

async function play(disk: FaultDisk, durable: { count: number }): Promise<void> {
  const journal = open(disk)
  const map = table(journal)
  for (let index = 1; index <= 60; index++) {
    map.set('n', index)
    map.set(`${index % 5}${'y'.repeat(60_000)}`, index)
    journal.append('offsets', [`${index % 5}${'y'.repeat(60_000)}`, index])
    journal.appendDurable('offsets', ['n', index]).then(
      () => (durable.count = index),
      () => {},
    )
    journal.commit()
    await turns(index % 4)
  }
  await turns()
}

async function closedJournal(): Promise<FaultDisk> {
  const disk = new FaultDisk({ seed: 1 })
  const journal = open(disk)
  for (let index = 0; index < 20; index++) journal.append('offsets', [`k${index}`, index])
  await journal.close()
  return disk
}

test('entries come back in order, also to a table that registers late', async () => {
  const disk = new MemoryDisk()
  const journal = open(disk)
  table(journal)
  journal.append('offsets', ['a', 1])
  journal.append('topics', { name: 'ü' })
  journal.append('offsets', ['a', 2])
  await journal.close()
  const again = open(disk)
  expect([...table(again)]).toEqual([['a', 2]])
  const topics: unknown[] = []
  again.register('topics', { apply: (entry) => void topics.push(entry), snapshot: () => topics })
  expect(topics).toEqual([{ name: 'ü' }])
})

test('an entry nobody asked to be durable is written within 100 ms and synced about a second later', async () => {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const journal = open(disk, { clock })
  const before = disk.operations
  journal.append('offsets', ['a', 1])
  await clock.advance(99)
  expect(disk.operations).toBe(before)
  await clock.advance(1)
  expect(disk.operations).toBe(before + 1)
  await clock.advance(1000)
  expect([...table(open(disk.powerCut({ seed: 1 })))]).toEqual([['a', 1]])
})

test('appendDurable resolves after its sync only, and entries of one moment share it', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const journal = open(disk)
  disk.holdSyncs = true
  let resolved = 0
  for (const key of ['a', 'b', 'c'])
    journal.appendDurable('offsets', [key, 1]).then(
      () => resolved++,
      () => {},
    )
  const before = disk.operations
  journal.commit()
  await turns()
  expect([resolved, disk.operations - before]).toEqual([0, 2])
  disk.releaseSyncs()
  await turns()
  expect(resolved).toBe(3)
  expect([...table(open(disk.powerCut({ seed: 5 })))].length).toBe(3)
})

test('it rewrites itself when it has outgrown its snapshot, and keeps tables nobody registered', async () => {
  const disk = new MemoryDisk()
  const clock = virtualClock()
  const journal = open(disk, { clock })
  journal.append('unknown', ['kept', 1])
  const map = table(journal)
  const filler = 'x'.repeat(1000)
  for (let index = 0; index < 3000; index++) {
    map.set(`${filler}${index % 10}`, index)
    journal.append('offsets', [`${filler}${index % 10}`, index])
    if (index % 20 !== 0) continue
    journal.commit()
    await clock.advance(5)
  }
  expect(journal.generation).toBeGreaterThan(2)
  expect(journal.bytes).toBeLessThan(1_200_000)
  await journal.close()
  expect(disk.list(DIRECTORY).length).toBe(1)
  const again = open(disk)
  expect(table(again)).toEqual(map)
  expect([...table(again, 'unknown')]).toEqual([['kept', 1]])
})

test('a power cut in any operation of writing, syncing and compacting keeps every durable entry, in order', async () => {
  const wrong: string[] = []
  const whole = new FaultDisk({ seed: 1 })
  await play(whole, { count: 0 })
  expect(whole.list(DIRECTORY)[0]).not.toMatch(/1$/)
  for (let at = 1; at < whole.operations; at++) {
    const disk = new FaultDisk({ seed: at, crashAt: at })
    const durable = { count: 0 }
    await play(disk, durable).catch((error: unknown) => {
      if (!disk.isDead) throw error
    })
    try {
      const found = table(open(disk.powerCut({ seed: at }))).get('n') ?? 0
      if (found < durable.count) wrong.push(`operation ${at}: ${found} of ${durable.count}`)
    } catch (error) {
      wrong.push(`operation ${at}: ${String(error)}`)
    }
  }
  expect(wrong).toEqual([])
})

test('F16: any flipped bit is met with an error, or cuts what no later entry vouches for; nothing false is read', async () => {
  const first = await closedJournal()
  const bits = first.open(pathOf(first), 'read').size() * 8
  let refused = 0
  for (let bit = 0; bit < bits; bit += 3) {
    const disk = await closedJournal()
    disk.flipBit(pathOf(disk), bit)
    try {
      const map = table(open(disk, { isNew: false }))
      // Only the closing word itself may go unnoticed: it says nothing but that the rest is whole.
      expect([...map].map(([key, value]) => `${key}=${value}`)).toEqual(
        Array.from({ length: 20 }, (_, n) => `k${n}=${n}`),
      )
    } catch (error) {
      expect(String(error)).toMatch(/LOG_DAMAGED.*bytes \d+ to \d+ of/)
      refused++
    }
  }
  expect(refused).toBeGreaterThan(bits / 3 / 2)
})

test('with acceptDamage everything but the damaged entry is read, and the next start is clean', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const journal = open(disk)
  for (let index = 0; index < 20; index++) journal.append('offsets', [`k${index}`, index])
  await journal.close()
  disk.flipBit(pathOf(disk), 8 * 250)
  const accepting = open(disk, { acceptDamage: true, isNew: false })
  expect(accepting.damage.length).toBe(1)
  expect(table(accepting).size).toBe(19)
  await accepting.close()
  expect(table(open(disk, { isNew: false })).size).toBe(19)
})

test('F17: a missing journal beside an existing store is an error, not an empty table', () => {
  expect(() => open(new MemoryDisk(), { isNew: false })).toThrow(/LOG_DAMAGED.*missing/)
})

test('after a failed sync it is fenced: who waits is told and nothing is synced again', async () => {
  const disk = new FaultDisk({ seed: 1 })
  let broken = 0
  const journal = open(disk, { onBroken: () => broken++ })
  disk.fail({ operation: 'sync', code: 'EIO', times: 1 })
  const result = journal.appendDurable('offsets', ['a', 1])
  journal.commit()
  await expect(result).rejects.toThrow(/STORE_FENCED/)
  const operations = disk.operations
  expect(() => journal.append('offsets', ['a', 2])).toThrow(/STORE_FENCED/)
  await journal.close()
  expect([broken, disk.operations]).toEqual([1, operations])
})

test('F12: on a full disk it keeps a bounded buffer and writes a snapshot when there is room again', async () => {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const journal = open(disk, { clock })
  const map = table(journal)
  disk.capacityBytes = 100_000
  let durable = false
  for (let index = 0; index < 200; index++) {
    map.set(`k${index % 7}`, index)
    journal.append('offsets', [`k${index % 7}`, index])
    journal.append('ignored', 'z'.repeat(40_000))
    if (index % 10 === 0) journal.commit()
  }
  journal.appendDurable('offsets', ['last', 1]).then(
    () => (durable = true),
    () => {},
  )
  map.set('last', 1)
  journal.commit()
  await clock.advance(5000)
  expect(durable).toBe(false)
  disk.capacityBytes = Infinity
  await clock.advance(5000)
  expect(durable).toBe(true)
  expect(table(open(disk.powerCut({ seed: 2 })))).toEqual(map)
})

test('F12: entries that free room, written during a rewrite or not, take no other entry with them', async () => {
  for (let pause = 0; pause < 12; pause++) {
    const clock = virtualClock()
    const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
    const reserve = new RoomReserve({
      disk,
      path: 'data/reserve',
      bytes: 4_096,
      onBroken: (error) => expect.fail(String(error)),
    })
    const journal = open(disk, { clock, reserve })
    const map = table(journal)
    const put = (key: string, value: number): void => {
      map.set(key, value)
      journal.append('offsets', [key, value])
    }
    for (let index = 0; index < 1_200; index++) put(`${'x'.repeat(1_000)}${index % 900}`, index)
    journal.commit()
    put('begins the rewrite', 1)
    if (pause % 2 === 0) disk.capacityBytes = 1_000_000
    journal.commit()
    for (let turn = 0; turn < pause; turn++) await (turn % 3 === 2 ? clock.advance(2) : turns(1))
    disk.capacityBytes = 1_000_000
    put('waits', pause)
    journal.commit()
    map.set('frees', 1)
    let freed = false
    void journal.appendFreeing('offsets', [['frees', 1]]).then(() => (freed = true))
    journal.commit()
    await clock.advance(500)
    put('later', pause)
    disk.capacityBytes = Infinity
    await clock.advance(10_000)
    expect(freed, `after ${pause}`).toBe(true)
    put('last', pause)
    journal.commit()
    await clock.advance(5_000)
    expect(table(open(disk.powerCut({ seed: 2 }))), `after ${pause}`).toEqual(map)
  }
})

test('closed at any moment of a rewrite it keeps everything that was appended', async () => {
  for (let pause = 0; pause < 12; pause++) {
    const clock = virtualClock()
    const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
    const journal = open(disk, { clock })
    const map = table(journal)
    const put = (key: string, value: number): void => {
      map.set(key, value)
      journal.append('offsets', [key, value])
    }
    for (let index = 0; index < 1_200; index++) put(`${'x'.repeat(1_000)}${index % 900}`, index)
    journal.commit()
    put('begins the rewrite', 1)
    journal.commit()
    for (let turn = 0; turn < pause; turn++) {
      put('during', turn)
      journal.commit()
      await (turn % 3 === 2 ? clock.advance(2) : turns(1))
    }
    put('last', pause)
    await Promise.all([journal.close(), clock.advance(100)])
    expect(table(open(disk.powerCut({ seed: 2 }))), `after ${pause}`).toEqual(map)
  }
})
