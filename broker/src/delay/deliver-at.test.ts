import { DEFAULT_DELAY_LEVELS, encodeProperties, PropertyScan } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { deliverAtOf } from './deliver-at.ts'
import { parseRecallHandle, recallHandle } from './recall-handle.ts'

const NOW = 1_700_000_000_000
const rules = { levels: [1_000, 5_000], horizonMs: 86_400_000 }

function deliverAt(properties: Record<string, string>): number {
  const bytes = encodeProperties(properties)
  const scan = new PropertyScan()
  scan.scan(bytes, 0, bytes.length)
  return deliverAtOf(scan, bytes, NOW, rules)
}

test('a level wins, then seconds, then milliseconds, then the instant', () => {
  const all = { TIMER_DELIVER_MS: `${NOW + 1}`, TIMER_DELAY_MS: '2', TIMER_DELAY_SEC: '3', DELAY: '2' }
  expect(deliverAt(all)).toBe(NOW + 5_000)
  expect(deliverAt({ ...all, DELAY: '0' })).toBe(NOW + 3_000)
  expect(deliverAt({ TIMER_DELIVER_MS: `${NOW + 1}`, TIMER_DELAY_MS: '2' })).toBe(NOW + 2)
  expect(deliverAt({ TIMER_DELIVER_MS: `${NOW + 1}` })).toBe(NOW + 1)
  expect(deliverAt({ TAGS: 'a' })).toBe(0)
})

test('what is due already is not delayed, a level above the highest is the highest, one below 1 is none', () => {
  expect(deliverAt({ TIMER_DELIVER_MS: `${NOW}` })).toBe(0)
  expect(deliverAt({ TIMER_DELAY_SEC: '0' })).toBe(0)
  expect(deliverAt({ DELAY: '19' })).toBe(NOW + 5_000)
  expect(deliverAt({ DELAY: '-1' })).toBe(0)
})

test.each([
  { DELAY: 'soon' },
  { DELAY: '-' },
  { TIMER_DELAY_SEC: '1.5' },
  { TIMER_DELAY_MS: '-1' },
  { TIMER_DELAY_MS: '99999999999999999999' },
  { TIMER_DELIVER_MS: '1e9' },
  { TIMER_DELAY_MS: '86400001' },
  { TIMER_DELIVER_MS: `${NOW + 86_400_001}` },
])('%o is refused', (properties) => {
  expect(() => deliverAt(properties)).toThrow('MESSAGE_ILLEGAL')
})

test.each([
  ['TIMER_DELAY_SEC', (ms: number) => `${ms / 1_000}`, 1_000],
  ['TIMER_DELAY_MS', (ms: number) => `${ms}`, 1],
  ['TIMER_DELIVER_MS', (ms: number) => `${NOW + ms}`, 1],
])('%s reaches to the horizon, one step below and not one beyond', (name, valueOf, step) => {
  const { horizonMs } = rules
  for (const ms of [step, horizonMs - step, horizonMs]) expect(deliverAt({ [name]: valueOf(ms) })).toBe(NOW + ms)
  expect(() => deliverAt({ [name]: valueOf(horizonMs + step) })).toThrow('MESSAGE_ILLEGAL')
})

test('the 18 levels are those of RocketMQ, also when they reach beyond the horizon', () => {
  const seconds = [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200]
  for (const [n, delay] of seconds.entries()) {
    const bytes = encodeProperties({ DELAY: `${n + 1}` })
    const scan = new PropertyScan()
    scan.scan(bytes, 0, bytes.length)
    const limits = { levels: DEFAULT_DELAY_LEVELS, horizonMs: 1_000 }
    expect(deliverAtOf(scan, bytes, NOW, limits), `level ${n + 1}`).toBe(NOW + delay * 1_000)
  }
  expect(DEFAULT_DELAY_LEVELS).toHaveLength(18)
})

test('a recall handle is the one of RocketMQ 5.3.3', () => {
  // golden recording recall.5.3.3
  const golden = 'djEgcmVjYWxsIGJyb2tlci1hIDE3OTUyMjIyNzMwMDEgQzAwMDAyMDIzOUI1NEUwRTJGMkE2NzJERkM4NTAwMDA='
  const handle = {
    topic: 'recall',
    brokerName: 'broker-a',
    deliverAt: 1_795_222_273_001,
    uniqueKey: 'C000020239B54E0E2F2A672DFC850000',
  }
  expect(parseRecallHandle(golden)).toEqual(handle)
  expect(recallHandle(handle.topic, handle.brokerName, handle.deliverAt, handle.uniqueKey)).toBe(golden)
})

test.each([
  '',
  'x',
  '%%%',
  Buffer.from('v1 a b 1').toString('base64url'),
  Buffer.from('v2 a b 1 k').toString('base64url'),
])('"%s" is no recall handle', (text) => {
  expect(parseRecallHandle(text)).toBeUndefined()
})
