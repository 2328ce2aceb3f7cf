import { expect, test } from 'vitest'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { TransactionService } from '../transaction/index.ts'
import { DedupWindow, type DedupWindowOptions } from './index.ts'

const bytesOf = (key: string) => Buffer.from(`..${key}..`)

function setUp(options: Partial<DedupWindowOptions> = {}, log = new ScriptLog(testClock())) {
  const { clock } = log
  const window = new DedupWindow({ clock, read: (at) => log.read(at), ...options })
  const find = (topic: string, key: string) => {
    const bytes = bytesOf(key)
    return window.find(Buffer.from(topic), bytes, 2, bytes.length - 2)
  }
  const send = (topic: string, key: string, properties: Record<string, string> = { UNIQ_KEY: key }) => {
    const { fields } = message(topic, 'x', properties)
    log.append(topic, 0, fields)
    const bytes = bytesOf(key)
    window.add(Buffer.from(topic), bytes, 2, bytes.length - 2, fields.physicalOffset, fields.storeTimestamp)
    return fields.physicalOffset
  }
  return { clock, log, window, find, send }
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
  expect(window.stats()).toEqual({ entries: 3, hits: 2, evictedEarly: 0 })
})

test('a message without a key has no earlier one', () => {
  const { window } = setUp()
  window.add(Buffer.from('orders'), Buffer.alloc(4), -1, -1, 0, 0)
  expect(window.find(Buffer.from('orders'), Buffer.alloc(4), -1, -1)).toBe(-1)
  expect(window.stats().entries).toBe(0)
})

test('the dedup key of the application counts before the unique key', () => {
  const { find, send } = setUp()
  const at = send('orders', 'payment-42', { UNIQ_KEY: 'u1', DEDUP_KEY: 'payment-42' })
  expect(find('orders', 'payment-42')).toBe(at)
  expect(find('orders', 'u1')).toBe(-1)
})

test('a fingerprint alone proves nothing: the stored record decides', () => {
  const { log, window } = setUp()
  const { fields } = message('orders', 'x', { UNIQ_KEY: 'another' })
  log.append('orders', 0, fields)
  const key = Buffer.from('wanted')
  // The entry claims `wanted` lies where the record of `another` is, as two colliding fingerprints would.
  window.add(Buffer.from('orders'), key, 0, key.length, fields.physicalOffset, fields.storeTimestamp)
  expect(window.find(Buffer.from('orders'), key, 0, key.length)).toBe(-1)
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

test('more keys than allowed push out the oldest, counted each time and told once', () => {
  let told = 0
  const { find, send, window } = setUp({ entriesMax: 3_000, onEvictedEarly: () => told++ })
  for (let n = 0; n < 30_000; n++) send('orders', `k${n}`)
  expect(window.stats()).toMatchObject({ entries: 3_000, evictedEarly: 27_000 })
  expect(told).toBe(1)
  expect(find('orders', 'k29999')).toBeGreaterThan(0)
  expect(find('orders', 'k27000')).toBeGreaterThan(0)
  expect(find('orders', 'k26999')).toBe(-1)
})

test('a record that retention removed cannot be answered with', () => {
  const { find, send, log } = setUp()
  send('orders', 'k1')
  log.read = () => undefined
  expect(find('orders', 'k1')).toBe(-1)
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

test('a checkpoint of a window that has gone round its memory gives the same window', () => {
  const { log, send, window } = setUp({ entriesMax: 1_000 })
  const places = Array.from({ length: 1_700 }, (_, n) => send('orders', `k${n}`))
  log.flush()
  log.takeCheckpoint(window)
  const restored = setUp({ entriesMax: 1_000 }, log.prefix(log.entries.length))
  restored.log.replayInto(restored.window)
  expect(restored.window.stats().entries).toBe(1_000)
  for (const n of [700, 701, 1_023, 1_024, 1_025, 1_699]) expect(restored.find('orders', `k${n}`)).toBe(places[n])
  expect(restored.find('orders', 'k699')).toBe(-1)
})
