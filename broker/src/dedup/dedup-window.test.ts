import { expect, test } from 'vitest'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { TransactionService } from '../transaction/index.ts'
import { DedupWindow, type DedupWindowOptions } from './index.ts'

const bytesOf = (key: string) => Buffer.from(`..${key}..`)

interface Settings extends Partial<DedupWindowOptions> {
  /** dedupWindowMs of topics, -1 for those not named. */
  topics?: Record<string, number>
}

function setUp({ topics = {}, ...options }: Settings = {}, log = new ScriptLog(testClock())) {
  const { clock } = log
  const of = (name: string): number => topics[name] ?? -1
  const window = new DedupWindow({
    clock,
    read: (at) => log.read(at),
    windowOf: (bytes, start, end) => of(bytes.toString('utf8', start, end)),
    ...options,
  })
  const look = (topic: string, key: string, isOwn: boolean) => {
    const bytes = bytesOf(key)
    return window.find({ nameBytes: Buffer.from(topic), dedupWindowMs: of(topic) }, bytes, 2, bytes.length - 2, isOwn)
  }
  const find = (topic: string, key: string) => look(topic, key, false)
  const findOwn = (topic: string, key: string) => look(topic, key, true)
  const send = (topic: string, key: string, properties: Record<string, string> = { UNIQ_KEY: key }) => {
    const isOwn = 'DEDUP_KEY' in properties
    look(topic, key, isOwn)
    if (isOwn) window.admit(1)
    const { fields } = message(topic, 'x', properties)
    log.append(topic, 0, fields)
    window.add(fields.physicalOffset, fields.storeTimestamp)
    return fields.physicalOffset
  }
  const sendOwn = (topic: string, key: string) => send(topic, key, { UNIQ_KEY: `u-${key}`, DEDUP_KEY: key })
  return { clock, log, window, find, findOwn, send, sendOwn }
}

test('a key is found with the place of its first message, per topic', () => {
  const { find, send, window } = setUp()
  send('orders', 'k0')
  const first = send('orders', 'k1')
  const other = send('payments', 'k1')
  expect(find('orders', 'k1')).toBe(first)
  expect(find('payments', 'k1')).toBe(other)
  expect(find('stock', 'k1')).toBe(-1)
  expect(find('orders', 'k')).toBe(-1)
  expect(find('orders', '')).toBe(-1)
  expect(window.stats()).toMatchObject({ entries: 3, ownKeys: 0, hits: 2, evictedEarly: 0 })
})

test('a message without a key has no earlier one', () => {
  const { window, send } = setUp()
  send('orders', '')
  const topic = { nameBytes: Buffer.from('orders'), dedupWindowMs: -1 }
  expect(window.find(topic, Buffer.alloc(4), -1, -1, false)).toBe(-1)
  window.add(0, 0)
  expect(window.stats().entries).toBe(0)
})

test('the dedup key of the application counts before the unique key', () => {
  const { find, findOwn, send } = setUp()
  const at = send('orders', 'payment-42', { UNIQ_KEY: 'u1', DEDUP_KEY: 'payment-42' })
  expect(findOwn('orders', 'payment-42')).toBe(at)
  expect(find('orders', 'payment-42')).toBe(-1)
  expect(find('orders', 'u1')).toBe(-1)
})

test('a fingerprint alone proves nothing: the stored record decides', () => {
  const { log, window, find } = setUp()
  const { fields } = message('orders', 'x', { UNIQ_KEY: 'another' })
  log.append('orders', 0, fields)
  // The entry claims `wanted` lies where the record of `another` is, as two colliding fingerprints would.
  expect(find('orders', 'wanted')).toBe(-1)
  window.add(fields.physicalOffset, fields.storeTimestamp)
  expect(find('orders', 'wanted')).toBe(-1)
})

test('a key is forgotten at the end of the window and not before, with or without traffic', async () => {
  const { clock, find, send } = setUp({ windowMs: 20_000 })
  const at = send('orders', 'k1')
  await clock.advance(19_999)
  expect(find('orders', 'k1')).toBe(at)
  await clock.advance(1)
  expect(find('orders', 'k1')).toBe(-1)
  const again = send('orders', 'k1')
  expect(find('orders', 'k1')).toBe(again)
})

test('old entries leave as new ones come, and the window survives the wall clock', async () => {
  const { clock, find, send, window } = setUp({ windowMs: 10_000 })
  for (let n = 0; n < 5_000; n++) {
    send('orders', `k${n}`)
    await clock.advance(10)
  }
  expect(window.stats().entries).toBeLessThan(1_300)
  expect(find('orders', 'k4999')).toBeGreaterThan(0)
  expect(find('orders', 'k3000')).toBe(-1)
  clock.jumpWall(-3_600_000)
  const at = send('orders', 'later')
  expect(find('orders', 'later')).toBe(at)
})

test('more unique ids than allowed push out the oldest, each counted, and it is said once a minute', async () => {
  const told: string[] = []
  const { clock, find, send, window } = setUp({ entriesMax: 3_000, log: (line) => told.push(line) })
  for (let n = 0; n < 30_000; n++) send('orders', `k${n}`)
  const { entries, evictedEarly } = window.stats()
  expect(entries + evictedEarly).toBe(30_000)
  // They leave in blocks of at most a sixteenth.
  expect(entries).toBeGreaterThan(3_000 - 3_000 / 16)
  expect(entries).toBeLessThanOrEqual(3_000)
  expect(told).toHaveLength(1)
  expect(told[0]).toContain('3000')
  for (let n = evictedEarly; n < 30_000; n++) expect(find('orders', `k${n}`)).toBeGreaterThan(0)
  expect(find('orders', `k${evictedEarly - 1}`)).toBe(-1)
  await clock.advance(60_000)
  for (let n = 0; n < 3_000; n++) send('orders', `l${n}`)
  expect(told).toHaveLength(2)
})

test('no flood of unique ids makes a key of an application leave before its time', () => {
  const { findOwn, send, sendOwn, window } = setUp({ entriesMax: 1_000, ownKeysMax: 1_000 })
  const at = sendOwn('payments', 'payment-42')
  for (let n = 0; n < 20_000; n++) send('payments', `k${n}`)
  expect(window.stats().evictedEarly).toBeGreaterThan(18_000)
  expect(findOwn('payments', 'payment-42')).toBe(at)
})

test('the last key of an application there is room for is taken, one more is refused until one had its time', async () => {
  const told: string[] = []
  const { clock, findOwn, send, sendOwn, window } = setUp({ ownKeysMax: 16, log: (line) => told.push(line) })
  const places = Array.from({ length: 16 }, (_, n) => sendOwn('payments', `p${n}`))
  expect(() => sendOwn('payments', 'p16')).toThrow(expect.objectContaining({ code: 'SYSTEM_BUSY' }))
  expect(() => sendOwn('payments', 'p17')).toThrow('dedupOwnKeysMax is 16')
  expect(told).toHaveLength(1)
  expect(window.stats()).toMatchObject({ ownKeys: 16, refused: 2, evictedEarly: 0 })
  places.forEach((at, n) => expect(findOwn('payments', `p${n}`)).toBe(at))
  // Others go on meanwhile.
  send('payments', 'u1')
  await clock.advance(602_000)
  expect(sendOwn('payments', 'p16')).toBeGreaterThan(0)
  expect(window.stats().ownKeys).toBe(1)
})

test('a topic has a window of its own, exact to the millisecond of store time', async () => {
  const { clock, findOwn, sendOwn } = setUp({ windowMs: 600_000, topics: { short: 1_000, long: 86_400_000 } })
  const short = sendOwn('short', 'k')
  const long = sendOwn('long', 'k')
  const usual = sendOwn('usual', 'k')
  await clock.advance(999)
  expect(findOwn('short', 'k')).toBe(short)
  await clock.advance(1)
  expect(findOwn('short', 'k')).toBe(-1)
  await clock.advance(598_999)
  expect(findOwn('usual', 'k')).toBe(usual)
  await clock.advance(1)
  expect(findOwn('usual', 'k')).toBe(-1)
  sendOwn('usual', 'other')
  await clock.advance(86_400_000 - 600_001)
  sendOwn('long', 'other')
  expect(findOwn('long', 'k')).toBe(long)
  await clock.advance(1)
  expect(findOwn('long', 'k')).toBe(-1)
})

test('a topic whose window is 0 has none, and one that has a window needs none of the broker', () => {
  const { find, send, window } = setUp({ topics: { off: 0 } })
  send('off', 'k')
  expect(find('off', 'k')).toBe(-1)
  expect(window.stats().entries).toBe(0)
  const other = setUp({ windowMs: 0, topics: { on: 1_000 } })
  expect(other.find('on', 'k')).toBe(-1)
  const at = other.send('on', 'k')
  other.send('usual', 'k')
  expect(other.find('on', 'k')).toBe(at)
  expect(other.find('usual', 'k')).toBe(-1)
})

test('a window that gets longer or shorter finds the keys that were put in before', async () => {
  const topics = { orders: 600_000 }
  const { clock, findOwn, sendOwn, window } = setUp({ topics })
  const at = sendOwn('orders', 'k')
  topics.orders = 7 * 86_400_000
  expect(findOwn('orders', 'k')).toBe(at)
  const kept = sendOwn('orders', 'l')
  await clock.advance(300_000)
  topics.orders = 300_001
  expect(findOwn('orders', 'k')).toBe(at)
  topics.orders = 300_000
  expect(findOwn('orders', 'k')).toBe(-1)
  topics.orders = 7 * 86_400_000
  await clock.advance(6 * 86_400_000)
  window.expire()
  expect(findOwn('orders', 'l')).toBe(kept)
})

test('a message that was deleted with its topic is no first one of anything, and none that retention took', () => {
  const deleted = new Map<string, number>()
  const { log, window, findOwn, sendOwn } = setUp({ deletedBefore: (topic) => deleted.get(topic) ?? 0 })
  const at = sendOwn('orders', 'k')
  deleted.set('orders', at)
  expect(findOwn('orders', 'k')).toBe(at)
  deleted.set('orders', log.durableOffset + 1_000)
  log.entries.length = 0
  expect(findOwn('orders', 'k')).toBe(-1)
  expect(window.stats().unverified).toBe(0)
})

test('records of keys of applications are pinned for their time, those of unique ids are not', async () => {
  const { clock, window, send, sendOwn } = setUp()
  send('orders', 'u1')
  expect(window.earliestPinned()).toBe(Number.POSITIVE_INFINITY)
  const at = sendOwn('orders', 'k1')
  expect(window.earliestPinned()).toBe(at)
  await clock.advance(602_000)
  expect(window.earliestPinned()).toBe(Number.POSITIVE_INFINITY)
})

test('a key stored late in a second is known to the end of its window, also after what had its time was let go', async () => {
  const { clock, window, findOwn, sendOwn } = setUp({ windowMs: 20_000 })
  await clock.advance(1_529 - (clock.now() % 1_000))
  const at = sendOwn('orders', 'k1')
  await clock.advance(19_650)
  window.expire()
  expect(window.earliestPinned()).toBe(at)
  expect(findOwn('orders', 'k1')).toBe(at)
})

test('memory follows the number of keys, and goes back when they had their time', async () => {
  const { clock, send, window } = setUp({ windowMs: 60_000 })
  expect(window.stats().bytes).toBe(0)
  for (let n = 0; n < 200_000; n++) send('orders', `k${n}`)
  expect(window.stats().bytes / 200_000).toBeLessThan(32)
  await clock.advance(62_000)
  window.expire()
  expect(window.stats()).toMatchObject({ entries: 0, bytes: 0 })
})

test('a record that retention removed cannot be answered with', () => {
  const told: string[] = []
  const { find, send, log, window } = setUp({ log: (line) => told.push(line) })
  send('orders', 'k1')
  log.read = () => undefined
  expect(find('orders', 'k1')).toBe(-1)
  expect(window.stats().unverified).toBe(1)
  expect(told).toHaveLength(1)
})

test('replaying any prefix of the log, or what follows a checkpoint, gives the window that was', async () => {
  const { log, clock, send, find, window } = setUp()
  const service = new TransactionService({ clock, log, ask: () => false })
  const keys = ['k0', 'k1', 'k2', 'half']
  for (const key of keys.slice(0, 3)) send('orders', key)
  const half = message('orders', 'x', { UNIQ_KEY: 'half', PGROUP: 'shop' })
  service.appendHalf(half.fields, half.scan, 'shop', 1)
  const { physicalOffset, queueOffset } = half.fields
  service.end({ group: 'shop', physicalOffset, queueOffset, decision: 'commit', fromCheck: false }, () => {})
  for (const topic of ['%RETRY%billing', '%DLQ%billing']) {
    log.append(topic, 0, message(topic, 'x', { UNIQ_KEY: 'k0' }).fields)
  }
  expect(find('orders', 'k1')).toBeGreaterThan(0)
  for (let left = 0; left <= log.entries.length; left++) {
    const after = setUp({}, log.prefix(left))
    after.log.replayInto(after.window)
    keys.forEach((key, n) => expect(after.find('orders', key)).toBe(n < left ? log.entries[n]?.offset : -1))
    expect(after.find('%RETRY%billing', 'k0')).toBe(-1)
    expect(after.window.stats().entries).toBe(Math.min(left, 4))
  }
  log.flush(3)
  log.takeCheckpoint(window)
  const restored = setUp({}, log.prefix(log.entries.length))
  restored.log.replayInto(restored.window)
  keys.forEach((key, n) => expect(restored.find('orders', key)).toBe(log.entries[n]?.offset))
  expect(restored.window.stats().entries).toBe(4)
  await clock.advance(601_000)
  const later = setUp({}, log.prefix(4))
  later.log.replayInto(later.window)
  expect(later.window.stats().entries).toBe(0)
})

test('a user property called REAL_TOPIC does not move an ordinary message to another topic', () => {
  const { log } = setUp()
  log.append('orders', 0, message('orders', 'x', { UNIQ_KEY: 'k1', REAL_TOPIC: 'payments' }).fields)
  const after = setUp({}, log.prefix(1))
  after.log.replayInto(after.window)
  expect(after.find('orders', 'k1')).toBe(0)
  expect(after.find('payments', 'k1')).toBe(-1)
})

test('a checkpoint of a window whose oldest left gives the same window, of both kinds and all lengths', () => {
  const topics = { long: 86_400_000 }
  const world = setUp({ entriesMax: 1_000, topics })
  const places = Array.from({ length: 1_700 }, (_, n) => world.send('orders', `k${n}`))
  const own = world.sendOwn('orders', 'mine')
  const long = world.sendOwn('long', 'mine')
  world.log.flush()
  world.log.takeCheckpoint(world.window)
  const restored = setUp({ entriesMax: 1_000, topics }, world.log.prefix(world.log.entries.length))
  restored.log.replayInto(restored.window)
  const { entries, evictedEarly } = world.window.stats()
  expect(restored.window.stats()).toMatchObject({ entries, ownKeys: 2 })
  for (let n = evictedEarly; n < 1_700; n++) expect(restored.find('orders', `k${n}`)).toBe(places[n])
  expect(restored.find('orders', `k${evictedEarly - 1}`)).toBe(-1)
  expect(restored.findOwn('orders', 'mine')).toBe(own)
  expect(restored.findOwn('long', 'mine')).toBe(long)
})
