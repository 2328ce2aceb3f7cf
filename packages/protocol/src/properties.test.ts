import { expect, test } from 'vitest'
import { decodeProperties, encodeProperties } from './properties.ts'
import { PropertyName } from './property-names.ts'
import { PropertyScan, ScannedProperty } from './property-scan.ts'

function scanned(bytes: Buffer, start = 0, end = bytes.length): Record<string, string> {
  const scan = new PropertyScan()
  scan.scan(bytes, start, end)
  const found: Record<string, string> = {}
  for (const [key, slot] of Object.entries(ScannedProperty) as [keyof typeof ScannedProperty, ScannedProperty][]) {
    const text = scan.text(slot)
    if (text !== undefined) found[PropertyName[key]] = text
    expect(scan.start(slot) < 0).toBe(text === undefined)
    expect(scan.end(slot) < 0).toBe(text === undefined)
  }
  return found
}

test('properties come back in order, without a prototype', () => {
  const properties = { TAGS: 'paid', __proto__x: 'y', schlüssel: '漢字 😀' }
  const decoded = decodeProperties(encodeProperties(properties))
  expect(Object.entries(decoded)).toEqual(Object.entries(properties))
  expect(Object.getPrototypeOf(decoded)).toBeNull()
  expect(Object.keys(decodeProperties(Buffer.from('__proto__\u0001x\u0002')))).toEqual(['__proto__'])
})

test('a name or value that would become other properties is refused', () => {
  for (const properties of [
    { a: 'x\u0002DELAY\u00013' },
    { 'a\u0001': 'x' },
    { 'a\u0002b': 'x' },
    { a: '\u0001' },
    { '': 'x' },
  ]) {
    expect(() => encodeProperties(properties as Record<string, string>)).toThrow(/FIELD_INVALID/)
  }
})

test('the scan finds every property it knows, in any order', () => {
  const all = Object.fromEntries(
    Object.keys(ScannedProperty).map((key, at) => [PropertyName[key as keyof typeof ScannedProperty], `value-${at}`]),
  )
  expect(scanned(encodeProperties(all))).toEqual(all)
  expect(scanned(encodeProperties(Object.fromEntries(Object.entries(all).toReversed())))).toEqual(all)
})

test('the named positions are those of their property', () => {
  const bytes = encodeProperties({
    TAGS: 'a',
    KEYS: 'b',
    UNIQ_KEY: 'c',
    DELAY: 'd',
    TIMER_DELAY_SEC: 'e',
    TIMER_DELAY_MS: 'f',
    TIMER_DELIVER_MS: 'g',
    TRAN_MSG: 'h',
    PGROUP: 'i',
    DEDUP_KEY: 'j',
    POP_CK: 'k',
  })
  const scan = new PropertyScan()
  scan.scan(bytes, 0, bytes.length)
  const values = [
    [scan.tagsStart, scan.tagsEnd],
    [scan.keysStart, scan.keysEnd],
    [scan.uniqKeyStart, scan.uniqKeyEnd],
    [scan.delayStart, scan.delayEnd],
    [scan.timerDelaySecStart, scan.timerDelaySecEnd],
    [scan.timerDelayMsStart, scan.timerDelayMsEnd],
    [scan.timerDeliverMsStart, scan.timerDeliverMsEnd],
    [scan.tranMsgStart, scan.tranMsgEnd],
    [scan.pgroupStart, scan.pgroupEnd],
    [scan.dedupKeyStart, scan.dedupKeyEnd],
    [scan.popCkStart, scan.popCkEnd],
  ].map(([start, end]) => bytes.toString('utf8', start, end))
  expect(values.join('')).toBe('abcdefghijk')
  scan.scan(bytes, 0, 0)
  expect([scan.tagsStart, scan.popCkEnd]).toEqual([-1, -1])
})

test('the scan and the decoder agree on odd property strings', () => {
  const names = ['TAGS', 'KEYS', 'TAG', 'TAGSX', 'x', '', 'DELAY', '\u0000', 'DELA\u0000', 'ü']
  const pieces = [...names, '\u0001', '\u0001', '\u0002', '\u0002', 'v', '漢', '\u0000']
  let state = 1
  const next = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % below
  }
  for (let round = 0; round < 4_000; round++) {
    const text = Array.from({ length: next(14) }, () => pieces[next(pieces.length)]).join('')
    const decoded = decodeProperties(Buffer.from(text))
    const known = Object.entries(decoded).filter(([name]) => name in ScannedProperty)
    const padded = Buffer.from(`TAGS\u0001before\u0002${text}KEYS\u0001after\u0002`)
    expect(scanned(padded, 12, padded.length - 11), JSON.stringify(text)).toEqual(Object.fromEntries(known))
  }
})
