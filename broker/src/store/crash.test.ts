import { expect, test } from 'vitest'
import {
  append,
  bodiesOf,
  mirrored,
  OffsetMirror,
  offsetsOf,
  openStore,
  turns,
  virtualClock,
} from '../../../test/kit/store-kit.ts'
import type { Outcome } from '../../../test/kit/store-kit.ts'
import { FaultDisk } from './fault-disk.ts'
import type { MessageStore } from './message-store.ts'

const options = { segmentBytes: 8192, checkpointBytes: 10_000, retentionMs: 50 }

type Flush = 'sync' | 'async'

interface Sent {
  body: string
  outcome: Outcome
  /** Log offset of the record, and of what follows it. */
  from: number
  to: number
}

interface History {
  /** queue -> bodies in the order of their appends, with what became of each. */
  sent: Map<number, Sent[]>
  /** Journal entries that were durable before the crash. */
  durableEntries: number
  appendedEntries: number
  /** The store that died: it remembers where its messages were and what was synced. */
  store: MessageStore | undefined
  /** A table that follows from the log. */
  mirror: OffsetMirror
}

const newHistory = (): History => ({
  sent: new Map(),
  durableEntries: 0,
  appendedEntries: 0,
  store: undefined,
  mirror: new OffsetMirror(),
})

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
        const queue = store.queue('orders', queueId)
        const from = queue.physicalOffset(queue.nextOffset - 1)
        history.mirror.offsets.add(from)
        const sent = { body, outcome, from, to: from + queue.size(queue.nextOffset - 1) }
        history.sent.set(queueId, [...(history.sent.get(queueId) ?? []), sent])
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
    for (const [index, { body, outcome, to }] of list.entries()) {
      if (index >= min && index < max && found[index - min] !== body) return `queue ${queueId} offset ${index} changed`
      const promised = outcome.state === 'stored' && (flush === 'sync' || to < (history.store?.syncedOffset ?? 0))
      if (promised && index >= max) return `queue ${queueId} offset ${index} was stored and is lost`
    }
    if (max > list.length) return `queue ${queueId} has ${max - list.length} messages nobody sent`
  }
  if (entries.some((entry, index) => entry !== index + 1)) return `journal entries ${entries.join()}`
  if (entries.length < history.durableEntries) return `journal entry ${history.durableEntries} was durable and is lost`
  return undefined
}

/** A message that is there while one before it in the log is not: the tail may be lost, and nothing else. */
function holesIn(store: MessageStore, { sent, store: before }: History): string | undefined {
  let firstLost = Infinity
  let lastFound = -1
  for (let queueId = 0; queueId < 3; queueId++) {
    const was = before?.findQueue('orders', queueId)
    const end = store.findQueue('orders', queueId)?.maxOffset ?? 0
    for (const [index, { from }] of (sent.get(queueId) ?? []).entries()) {
      if (index < (was?.minOffset ?? 0)) continue
      if (index < end) lastFound = Math.max(lastFound, from)
      else firstLost = Math.min(firstLost, from)
    }
  }
  return lastFound > firstLost ? `message at ${lastFound} is there and the one at ${firstLost} is not` : undefined
}

/** The table of the checkpoint and what was replayed say the same as the queues. */
function differs(mirror: OffsetMirror, store: MessageStore): string | undefined {
  const found = offsetsOf([0, 1, 2].map((queueId) => store.findQueue('orders', queueId)))
  const known = [...mirror.offsets].filter((offset) => offset >= store.firstOffset).toSorted((a, b) => a - b)
  return found.join() === known.join() ? undefined : `queues hold ${found.join()}, the table ${known.join()}`
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
    await play(openStore(disk, clock, { ...options, flush, ...mirrored(history.mirror) }), clock, history)
  } catch (error) {
    if (!disk.isDead) throw error
  }
  if (!disk.isDead) return 'the history ended before the crash'
  let after = disk.powerCut({ seed })
  for (let round = 0; round < 2; round++) {
    const entries: number[] = []
    const mirror = new OffsetMirror()
    const store = openStore(after, clock, { ...options, ...mirrored(mirror) })
    store.journal.register('test', { apply: (entry) => void entries.push(entry as number), snapshot: () => entries })
    const wrong =
      judge(store, history, entries, flush) ??
      (round === 0 ? holesIn(store, history) : undefined) ??
      differs(mirror, store)
    if (wrong !== undefined) return `${wrong} (restart ${round + 1})`
    for (let queueId = 0; queueId < 3; queueId++) {
      const queue = store.queue('orders', queueId)
      const list = (history.sent.get(queueId) ?? []).slice(0, queue.maxOffset)
      const body = `after ${round}`
      const from = store.endOffset
      const outcome = append(store, 'orders', body, queueId)
      history.sent.set(queueId, [...list, { body, outcome, from, to: store.endOffset }])
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
  const store = openStore(disk, clock, { ...options, flush, ...mirrored(history.mirror) })
  await play(store, clock, history)
  expect(store.firstOffset).toBeGreaterThan(0)
  expect(store.stats()).toMatchObject({ checkpoints: expect.any(Number), indexFailures: 0 })
  expect(store.stats().checkpoints).toBeGreaterThan(0)
  if (flush === 'sync') expect(store.stats().indexFiles).toBeGreaterThan(1)
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
