import { expect, test } from 'vitest'
import { BatchReader, decodeBatch, encodeBatch } from './batch.ts'
import { ProtocolError } from './errors.ts'
import { encodeProperties } from './properties.ts'

// Computed independently of this code and decoded with the Java classes (remoting.md 7.6).
const published = Buffer.from(
  '0000004B00000000000000000000000000000001610034554E49515F4B45590137463030303030313030303131333546' +
    '424141343030303030303041303030310257414954017472756502000000560000000000000000000000000000000262' +
    '63003E554E49515F4B455901374630303030303130303031313335464241413430303030303030413030303202574149' +
    '5401747275650254414753015461674102',
  'hex',
)

const entries = [
  {
    flag: 0,
    body: Buffer.from('a'),
    properties: encodeProperties({ UNIQ_KEY: '7F0000010001135FBAA40000000A0001', WAIT: 'true' }),
  },
  {
    flag: 0,
    body: Buffer.from('bc'),
    properties: encodeProperties({ UNIQ_KEY: '7F0000010001135FBAA40000000A0002', WAIT: 'true', TAGS: 'TagA' }),
  },
]

test('the published batch is written byte for byte', () => {
  expect(encodeBatch(entries)).toEqual(published)
})

test('a batch inside other bytes is read entry by entry', () => {
  const bytes = Buffer.concat([Buffer.from('??'), published, Buffer.from('??')])
  const decoded = decodeBatch(bytes, 2, bytes.length - 2)
  expect(
    decoded.map(({ flag, bodyStart, bodyEnd, propertiesStart, propertiesEnd }) => ({
      flag,
      body: bytes.subarray(bodyStart, bodyEnd),
      properties: bytes.subarray(propertiesStart, propertiesEnd),
    })),
  ).toEqual(entries)
  expect(decodeBatch(Buffer.alloc(0))).toEqual([])
})

test('flags, empty bodies and empty properties come back', () => {
  const bytes = encodeBatch([{ flag: -3, body: Buffer.alloc(0), properties: Buffer.alloc(0) }])
  expect(decodeBatch(bytes)).toEqual([{ flag: -3, bodyStart: 20, bodyEnd: 20, propertiesStart: 22, propertiesEnd: 22 }])
})

test('a cut batch is refused unless the cut is between entries', () => {
  for (let length = 1; length < published.length; length++) {
    if (length === 0x4b) continue
    expect(() => decodeBatch(published.subarray(0, length))).toThrow(/RECORD_INVALID/)
  }
})

test('bit flips raise nothing but RECORD_INVALID and never lead outside the batch', () => {
  for (let bit = 0; bit < published.length * 8; bit++) {
    const flipped = Buffer.from(published)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    try {
      for (const { bodyStart, bodyEnd, propertiesStart, propertiesEnd } of decodeBatch(flipped)) {
        expect(bodyStart <= bodyEnd && bodyEnd < propertiesStart && propertiesEnd <= flipped.length).toBe(true)
      }
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError)
    }
  }
})

test('a reader starts over when opened again', () => {
  const reader = new BatchReader()
  for (let round = 0; round < 2; round++) {
    reader.open(published, 0, published.length)
    expect([reader.next(), reader.next(), reader.next()]).toEqual([true, true, false])
  }
})

test('a property string that does not fit its length field is refused', () => {
  const entry = (length: number) => ({ flag: 0, body: Buffer.alloc(0), properties: Buffer.alloc(length) })
  expect(decodeBatch(encodeBatch([entry(32_767)]))).toHaveLength(1)
  expect(() => encodeBatch([entry(32_768)])).toThrow(/RECORD_INVALID/)
})
