import { decodeRecord } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { append, mirrored, OffsetMirror, openStore, virtualClock } from '../../../test/kit/store-kit.ts'
import { FaultDisk, seededChance } from './fault-disk.ts'
import type { MessageStore } from './message-store.ts'
import { StoreError } from './store-error.ts'

const SEGMENT_BYTES = 8_192
const QUEUES = 3
const options = { segmentBytes: SEGMENT_BYTES, checkpointBytes: SEGMENT_BYTES }
const FOLDERS = ['data', 'data/commitlog', 'data/journal', 'data/index', 'data/checkpoint']

interface World {
  disk: FaultDisk
  /** Body -> place, of everything acknowledged. */
  places: Map<string, string>
  offsets: string[]
  /** Path -> bytes, and those of an earlier clean end. */
  files: Map<string, Buffer>
  older: Map<string, Buffer>
}

/** Two lives of a store, each ended cleanly: every kind of file exists. */
async function whole(): Promise<World> {
  const clock = virtualClock()
  let disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const made: World = { disk, places: new Map(), offsets: [], files: new Map(), older: new Map() }
  for (let life = 0; life < 2; life++) {
    const mirror = new OffsetMirror()
    const store = openStore(disk, clock, { ...options, ...mirrored(mirror) })
    store.journal.register('offsets', { apply: () => {}, snapshot: () => made.offsets })
    for (let index = 0; index < 40; index++) {
      const body = `${life}-${index} ${'x'.repeat(200 + ((index * 7919) % 900))}`
      const queue = store.queue('orders', index % QUEUES)
      made.places.set(body, `${queue.queueId}/${queue.nextOffset}`)
      append(store, 'orders', body, index % QUEUES)
      store.journal.append('offsets', `${life}-${index}`)
      made.offsets.push(`${life}-${index}`)
      store.commitTurn()
      await clock.advance(400)
    }
    await Promise.all([store.close(), clock.advance(10)])
    const files = life === 0 ? made.older : made.files
    for (const path of pathsOf(disk)) files.set(path, bytesOf(disk, path))
    made.disk = disk
    if (life === 0) disk = disk.killed()
  }
  return made
}

function pathsOf(disk: FaultDisk): string[] {
  return FOLDERS.flatMap((folder) => disk.list(folder).map((name) => `${folder}/${name}`)).filter(
    (path) => !FOLDERS.includes(path),
  )
}

function bytesOf(disk: FaultDisk, path: string): Buffer {
  const file = disk.open(path, 'read')
  const bytes = Buffer.alloc(file.size())
  file.read(bytes, 0, bytes.length, 0)
  return bytes
}

type Verdict = 'as if nothing' | 'some unreadable' | 'older state' | 'refused'

/** @throws {Error} when anything false is served, or anything is missing and nobody says so */
async function judge(disk: FaultDisk, { places, offsets }: World): Promise<Verdict> {
  const mirror = new OffsetMirror()
  const found: unknown[] = []
  let store: MessageStore
  try {
    store = openStore(disk, virtualClock(), { ...options, ...mirrored(mirror) })
  } catch (error) {
    if (error instanceof StoreError && /LOG_DAMAGED|FORMAT_VERSION_UNKNOWN/.test(error.code)) return 'refused'
    throw error
  }
  store.journal.register('offsets', { apply: (entry) => void found.push(entry), snapshot: () => [] })
  // A journal cut behind an entry reads as that of a killed process: what it says is true, and was all once.
  expect(found).toEqual(offsets.slice(0, found.length))
  let unreadable = 0
  const served = new Map<string, string>()
  for (let queueId = 0; queueId < QUEUES; queueId++) {
    const queue = store.findQueue('orders', queueId)
    for (let offset = queue?.minOffset ?? 0; offset < (queue?.maxOffset ?? 0); offset++) {
      try {
        const size = queue!.size(offset)
        const target = Buffer.alloc(size)
        expect(store.readInto(queue!.physicalOffset(offset), size, target, 0)).toBe(true)
        served.set(decodeRecord(target).body.toString(), `${queueId}/${offset}`)
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'LOG_DAMAGED') throw error
        unreadable++
      }
    }
  }
  for (const [body, place] of served) expect(places.get(body)).toBe(place)
  expect(served.size + unreadable).toBe(places.size)
  await store.close()
  if (found.length < offsets.length) return 'older state'
  return unreadable > 0 ? 'some unreadable' : 'as if nothing'
}

/** Kind of file -> how often which verdict. */
class Tally {
  readonly counts: Record<string, Partial<Record<Verdict, number>>> = {}
  readonly wrong: string[] = []

  async add(made: World, disk: FaultDisk, path: string, label: string): Promise<void> {
    try {
      const kind = path.split('/')[1] ?? ''
      const verdict = await judge(disk, made)
      const counts = (this.counts[kind] ??= {})
      counts[verdict] = (counts[verdict] ?? 0) + 1
    } catch (error) {
      this.wrong.push(`${label} ${path}: ${String(error).slice(0, 300)}`)
    }
  }
}

test('F16: a bit flipped in any file of the directory is never served and loses nothing silently', async () => {
  const made = await whole()
  const tally = new Tally()
  const chance = seededChance(5)
  const kindOf = (path: string): string => path.split('/')[1] ?? ''
  const kinds = [...made.files.keys()].map(kindOf)
  for (const [path, bytes] of made.files) {
    const bits = bytes.length * 8
    const flips = Math.ceil(100 / kinds.filter((kind) => kind === kindOf(path)).length)
    for (let flip = 0; flip < flips; flip++) {
      const disk = made.disk.powerCut({ seed: 1 })
      // Heads of files and the rest in equal parts.
      disk.flipBit(path, Math.floor(chance() * (flip % 2 === 0 ? Math.min(bits, 800) : bits)))
      await tally.add(made, disk, path, `flip ${flip}`)
    }
  }
  expect(tally.wrong).toEqual([])
  expect([...new Set(kinds)].toSorted()).toEqual(['checkpoint', 'commitlog', 'format', 'index', 'journal', 'reserve'])
  for (const kind of ['checkpoint', 'index', 'reserve']) {
    expect(Object.keys(tally.counts[kind] ?? {}), kind).toEqual(['as if nothing'])
  }
  expect(tally.counts['format']).toEqual({ refused: 100 })
  expect(tally.counts['journal']?.['older state']).toBe(undefined)
  expect(tally.counts['commitlog']?.['some unreadable'] ?? 0).toBeGreaterThan(10)
}, 120_000)

test('F17: any file of the directory cut, emptied, zeroed, removed or replaced by an older copy is made anew or reported', async () => {
  const made = await whole()
  const tally = new Tally()
  const put = (disk: FaultDisk, path: string, bytes: Buffer): void => {
    const file = disk.open(path, 'write')
    file.truncate(0)
    file.write(bytes, 0, bytes.length, 0)
    file.syncNow()
  }
  for (const [path, bytes] of made.files) {
    const changes: Record<string, (disk: FaultDisk) => void> = {
      removed: (disk) => disk.remove(path),
      emptied: (disk) => put(disk, path, Buffer.alloc(0)),
      zeroed: (disk) => put(disk, path, Buffer.alloc(bytes.length)),
    }
    for (let part = 1; part < 8; part++) {
      const cut = bytes.subarray(0, Math.floor((bytes.length * part) / 8))
      changes[`cut at ${cut.length}`] = (disk) => put(disk, path, cut)
    }
    const older = made.older.get(path)
    // An older journal is a whole journal: nothing in it is wrong, it is only old.
    if (older !== undefined && !path.includes('/journal/')) changes.older = (disk) => put(disk, path, older)
    for (const [label, change] of Object.entries(changes)) {
      const disk = made.disk.powerCut({ seed: 1 })
      change(disk)
      await tally.add(made, disk, path, label)
    }
  }
  expect(tally.wrong).toEqual([])
  const kinds = Object.entries(tally.counts).filter(([, counts]) => counts['older state'] !== undefined)
  expect(kinds.map(([kind]) => kind)).toEqual(['journal'])
  for (const kind of ['checkpoint', 'index', 'reserve']) {
    expect(Object.keys(tally.counts[kind] ?? {}), kind).toEqual(['as if nothing'])
  }
}, 120_000)

test('F17: without its first file the log is refused with the range, and on request starts behind it, from then on always', async () => {
  const made = await whole()
  const disk = made.disk.powerCut({ seed: 1 })
  const [first = '', second = ''] = disk.list('data/commitlog')
  disk.remove(`data/commitlog/${first}`)
  const range = `bytes 0 to ${Number(second)} of the log are missing`
  expect(() => openStore(disk, virtualClock(), options)).toThrow(`LOG_DAMAGED] ${range}`)
  for (const acceptDamage of [true, false]) {
    const store = openStore(disk, virtualClock(), { ...options, acceptDamage })
    const held = [0, 1, 2]
      .map((queueId) => store.queue('orders', queueId))
      .map((queue) => queue.maxOffset - queue.minOffset)
    expect(held.reduce((sum, count) => sum + count, 0)).toBe(70)
    await store.close()
  }
})
