import { expect, test } from 'vitest'
import { append, bodiesOf, openStore, turns, virtualClock } from '../../../test/kit/store-kit.ts'
import type { Outcome } from '../../../test/kit/store-kit.ts'
import { FaultDisk } from './fault-disk.ts'
import type { MessageStore } from './message-store.ts'

const options = { segmentBytes: 8192, retentionMs: 50 }

type Flush = 'sync' | 'async'

interface History {
  /** queue -> bodies in the order of their appends, with what became of each. */
  sent: Map<number, { body: string; outcome: Outcome }[]>
  /** Journal entries that were durable before the crash. */
  durableEntries: number
  appendedEntries: number
  /** The store that died: it remembers where its messages were and what was synced. */
  store: MessageStore | undefined
}

const newHistory = (): History => ({ sent: new Map(), durableEntries: 0, appendedEntries: 0, store: undefined })

/** The scripted history: appends of many sizes, segment changes, journal entries, retention. Ends with the disk. */
async function play(store: MessageStore, clock: ReturnType<typeof virtualClock>, history: History): Promise<void> {
  const entries: number[] = []
  history.store = store
  store.journal.register('test', { apply: () => {}, snapshot: () => entries })
  for (let turn = 0; turn < 40 && !store.isFenced; turn++) {
    for (let index = 0; index <= turn % 4; index++) {
      const queueId = (turn + index) % 3
      const body = `${turn}.${index}.`.padEnd(20 + ((turn * 131 + index * 977) % 1500), 'x')
      try {
        const outcome = append(store, 'orders', body, queueId)
        const list = history.sent.get(queueId) ?? []
        history.sent.set(queueId, [...list, { body, outcome }])
      } catch {
        break
      }
    }
    if (turn % 5 === 0) {
      entries.push(++history.appendedEntries)
      const entry = history.appendedEntries
      store.journal.appendDurable('test', entry).then(
        () => void (history.durableEntries = entry),
        () => {},
      )
    }
    store.commitTurn()
    if (turn % 3 !== 0) await turns(turn % 7)
    await clock.advance(10)
    if (turn % 9 === 8) store.retain(() => Infinity)
  }
  await turns()
}

/** @returns what is wrong after recovery, or undefined */
function judge(store: MessageStore, history: History, entries: number[], flush: Flush): string | undefined {
  for (const [queueId, list] of history.sent) {
    const queue = store.findQueue('orders', queueId)
    const found = bodiesOf(store, queue)
    const min = queue?.minOffset ?? 0
    const max = queue?.maxOffset ?? 0
    for (const [index, { body, outcome }] of list.entries()) {
      if (index >= min && index < max && found[index - min] !== body) return `queue ${queueId} offset ${index} changed`
      const promised = outcome.state === 'stored' && (flush === 'sync' || isSynced(history, queueId, index))
      if (promised && index >= max) return `queue ${queueId} offset ${index} was stored and is lost`
    }
    if (max > list.length) return `queue ${queueId} has ${max - list.length} messages nobody sent`
  }
  if (entries.some((entry, index) => entry !== index + 1)) return `journal entries ${entries.join()}`
  if (entries.length < history.durableEntries) return `journal entry ${history.durableEntries} was durable and is lost`
  return undefined
}

/** True when the store that died had synced the message. */
function isSynced({ store }: History, queueId: number, index: number): boolean {
  const queue = store?.findQueue('orders', queueId)
  if (store === undefined || queue === undefined || index < queue.minOffset || index >= queue.nextOffset) return false
  return queue.physicalOffset(index) + queue.size(index) < store.syncedOffset
}

/** A message that is there while one before it in the log is not: the tail may be lost, and nothing else. */
function holesIn(store: MessageStore, { store: before }: History): string | undefined {
  let firstLost = Infinity
  let lastFound = -1
  for (let queueId = 0; queueId < 3; queueId++) {
    const was = before?.findQueue('orders', queueId)
    const end = store.findQueue('orders', queueId)?.maxOffset ?? 0
    if (was === undefined) continue
    for (let index = was.minOffset; index < was.nextOffset; index++) {
      if (index < end) lastFound = Math.max(lastFound, was.physicalOffset(index))
      else firstLost = Math.min(firstLost, was.physicalOffset(index))
    }
  }
  return lastFound > firstLost ? `message at ${lastFound} is there and the one at ${firstLost} is not` : undefined
}

/** Plays the history until operation `crashAt`, cuts the power, recovers, appends, cuts again, recovers. */
async function crash(
  crashAt: number,
  seed: number,
  flush: Flush = 'sync',
  sabotage?: (disk: FaultDisk) => void,
): Promise<string | undefined> {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed, crashAt, soon: (callback) => clock.soon(callback) })
  sabotage?.(disk)
  const history = newHistory()
  try {
    await play(openStore(disk, clock, { ...options, flush }), clock, history)
  } catch (error) {
    if (!disk.isDead) throw error
  }
  if (!disk.isDead) return 'the history ended before the crash'
  let after = disk.powerCut({ seed })
  for (let round = 0; round < 2; round++) {
    const entries: number[] = []
    const store = openStore(after, clock, options)
    store.journal.register('test', { apply: (entry) => void entries.push(entry as number), snapshot: () => entries })
    const wrong = judge(store, history, entries, flush) ?? (round === 0 ? holesIn(store, history) : undefined)
    if (wrong !== undefined) return `${wrong} (restart ${round + 1})`
    for (let queueId = 0; queueId < 3; queueId++) {
      const queue = store.queue('orders', queueId)
      const list = (history.sent.get(queueId) ?? []).slice(0, queue.maxOffset)
      const body = `after ${round}`
      history.sent.set(queueId, [...list, { body, outcome: append(store, 'orders', body, queueId) }])
    }
    store.commitTurn()
    await clock.advance(0)
    await turns()
    after = after.powerCut({ seed: seed + round + 1 })
  }
  return undefined
}

async function operationsOfHistory(flush: Flush = 'sync'): Promise<number> {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const history = newHistory()
  const store = openStore(disk, clock, { ...options, flush })
  await play(store, clock, history)
  expect(store.firstOffset).toBeGreaterThan(0)
  expect([...history.sent.values()].flat().every(({ outcome }) => outcome.state === 'stored')).toBe(true)
  return disk.operations
}

test('F05 F06 F07: a power cut in any operation loses, invents and moves nothing that was acknowledged', async () => {
  const operations = await operationsOfHistory()
  expect(operations).toBeGreaterThan(100)
  const wrong: string[] = []
  for (let at = 1; at < operations; at++) {
    for (let seed = 0; seed < 2; seed++) {
      const verdict = await crash(at, at * 31 + seed).catch((error: unknown) => String(error))
      if (verdict !== undefined) wrong.push(`operation ${at} seed ${at * 31 + seed}: ${verdict}`)
    }
  }
  expect(wrong).toEqual([])
}, 120_000)

test('F04: with async flush a power cut loses unsynced messages at the end of the log only', async () => {
  const operations = await operationsOfHistory('async')
  const wrong: string[] = []
  for (let at = 1; at < operations; at++) {
    for (let seed = 0; seed < 2; seed++) {
      const verdict = await crash(at, at * 31 + seed, 'async').catch((error: unknown) => String(error))
      if (verdict !== undefined) wrong.push(`operation ${at} seed ${at * 31 + seed}: ${verdict}`)
    }
  }
  expect(wrong).toEqual([])
}, 120_000)

test('F10: the same harness reports losses when fdatasync or directory fsync lies', async () => {
  const found = { sync: 0, directory: 0 }
  const operations = await operationsOfHistory()
  for (let at = 20; at < operations; at += 3) {
    const lies = await crash(at, at, 'sync', (disk) => void (disk.syncsLie = true)).catch(String)
    const forgets = await crash(at, at, 'sync', (disk) => void (disk.directorySyncsLie = true)).catch(String)
    if (lies !== undefined) found.sync++
    if (forgets !== undefined) found.directory++
  }
  expect(found.sync).toBeGreaterThan(10)
  expect(found.directory).toBeGreaterThan(10)
}, 120_000)
