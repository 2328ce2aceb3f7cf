import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tandemmq/remoting'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { append, bodiesOf, openStore } from '../../../test/kit/store-kit.ts'
import { systemDisk } from './system-disk.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-store-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

async function stored(count: number): Promise<void> {
  const store = openStore(systemDisk, systemClock, { directory })
  const outcomes = Array.from({ length: count }, (_, index) => append(store, 'orders', `body ${index}`, index % 4))
  await store.close()
  expect(outcomes.every(({ state }) => state === 'stored')).toBe(true)
}

/** A lock file as another process would leave it; fields of our own process where not given. */
function leaveLock(change: {
  boot?: string
  namespace?: string
  pid?: number
  started?: string
  inode?: string
}): string {
  const lock = systemDisk.lock(directory)
  const name = readdirSync(join(directory, 'lock'))[0] ?? ''
  lock.release()
  const [boot, namespace, pid, started, inode] = name.split('.')
  const all = { boot, namespace, pid, started, inode, ...change }
  const path = join(directory, 'lock', [all.boot, all.namespace, all.pid, all.started, all.inode].join('.'))
  writeFileSync(path, '')
  return path
}

test('messages come back from a real directory', async () => {
  await stored(50)
  const store = openStore(systemDisk, systemClock, { directory })
  expect(bodiesOf(store, store.findQueue('orders', 2)).length).toBe(12)
  expect(store.recovery.records).toBe(50)
  await store.close()
})

test('an empty directory takes no time, and no space but its reserve', async () => {
  let fastest = Infinity
  for (let round = 0; round < 5; round++) {
    const before = performance.now()
    const first = openStore(systemDisk, systemClock, { directory: join(directory, `${round}`) })
    fastest = Math.min(fastest, performance.now() - before)
    await first.close()
  }
  // The best of five, because the machine may be busy with others.
  expect(fastest).toBeLessThan(200)
  const store = openStore(systemDisk, systemClock, { directory })
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const isReserve = ({ name }: { name: string }): boolean => name === 'reserve'
  expect(files.filter(isReserve).length).toBe(6)
  const others = files.filter((file) => !isReserve(file))
  const bytes = others.reduce((sum, file) => sum + systemDisk.open(join(file.parentPath, file.name), 'read').size(), 0)
  expect(bytes).toBeLessThan(8192)
  await store.close()
})

test('the next segment is filled ahead once the current one is in use, and its zeros are not taken for records', async () => {
  const segmentBytes = 1 << 20
  const store = openStore(systemDisk, systemClock, { directory, segmentBytes })
  for (let index = 0; index < 60; index++) {
    append(store, 'orders', 'x'.repeat(10_000))
    store.commitTurn()
    await new Promise(setImmediate)
  }
  const next = join(directory, 'commitlog', String(segmentBytes).padStart(20, '0'))
  expect(systemDisk.open(next, 'read').size()).toBeGreaterThan(0)
  for (let index = 0; index < 60; index++) append(store, 'orders', 'y'.repeat(10_000))
  await store.close()
  const again = openStore(systemDisk, systemClock, { directory, segmentBytes })
  expect(again.recovery.records).toBe(120)
  await again.close()
})

test('F19: a directory in use is refused to this process and to any other', async () => {
  const store = openStore(systemDisk, systemClock, { directory })
  expect(() => openStore(systemDisk, systemClock, { directory })).toThrow(/DIRECTORY_LOCKED.*this process/)
  await store.close()
  // The parent of the test lives, and its start is what /proc says of it.
  const stat = spawnSync('cat', [`/proc/${process.ppid}/stat`]).stdout.toString()
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  if (started === '') return
  leaveLock({ pid: process.ppid, started })
  expect(() => openStore(systemDisk, systemClock, { directory })).toThrow(
    new RegExp(`DIRECTORY_LOCKED.*process ${process.ppid}`),
  )
})

test('locks of the dead do not count: ended, restarted with the same pid, before a reboot, or copied with the directory', async () => {
  leaveLock({ pid: 999_999_999 })
  leaveLock({ pid: process.ppid, started: '1' })
  leaveLock({ boot: 'another-boot', pid: process.ppid })
  leaveLock({ pid: process.ppid, inode: '1' })
  const store = openStore(systemDisk, systemClock, { directory })
  expect(readdirSync(join(directory, 'lock')).length).toBe(1)
  const copy = `${directory}-copy`
  cpSync(directory, copy, { recursive: true })
  const copied = openStore(systemDisk, systemClock, { directory: copy })
  await copied.close()
  rmSync(copy, { recursive: true })
  await store.close()
  expect(readdirSync(join(directory, 'lock'))).toEqual([])
})

test('a broker of another container counts as dead after ten seconds of silence', async () => {
  const path = leaveLock({ namespace: '1', pid: 1 })
  expect(() => openStore(systemDisk, systemClock, { directory })).toThrow(/DIRECTORY_LOCKED.*another container/)
  const before = new Date(Date.now() - 11_000)
  utimesSync(path, before, before)
  await openStore(systemDisk, systemClock, { directory }).close()
})

test('a place that cannot be written says so', () => {
  const file = join(directory, 'file')
  writeFileSync(file, 'x')
  expect(() => openStore(systemDisk, systemClock, { directory: join(file, 'data') })).toThrow(/DIRECTORY_NOT_WRITABLE/)
  expect(() => openStore(systemDisk, systemClock, { directory: file })).toThrow(/DIRECTORY_NOT_WRITABLE/)
})

test('F18: a copy made file by file while the store runs starts, or says what is missing', async () => {
  const store = openStore(systemDisk, systemClock, { directory, segmentBytes: 1 << 16 })
  const copy = `${directory}-copy`
  for (const part of ['commitlog', 'journal']) mkdirSync(join(copy, part), { recursive: true })
  let copied = 0
  for (let index = 0; index < 400; index++) {
    append(store, 'orders', 'x'.repeat(1000))
    store.commitTurn()
    await new Promise(setImmediate)
    const names = readdirSync(join(directory, 'commitlog'))
    const name = names[copied]
    if (name !== undefined && index % 40 === 39 && copied++ >= 0) {
      copyFileSync(join(directory, 'commitlog', name), join(copy, 'commitlog', name))
    }
  }
  for (const name of readdirSync(join(directory, 'journal'))) {
    copyFileSync(join(directory, 'journal', name), join(copy, 'journal', name))
  }
  copyFileSync(join(directory, 'format'), join(copy, 'format'))
  await store.close()
  try {
    const restored = openStore(systemDisk, systemClock, { directory: copy, segmentBytes: 1 << 16 })
    for (const body of bodiesOf(restored, restored.findQueue('orders', 0))) expect(body).toBe('x'.repeat(1000))
    await restored.close()
  } catch (error) {
    expect(String(error)).toMatch(/LOG_DAMAGED.*bytes \d+ to \d+/)
  }
  rmSync(copy, { recursive: true })
})
