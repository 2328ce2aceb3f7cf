import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { crc32Combine, crc32Of } from './crc32.ts'
import { ProtocolError } from './errors.ts'
import { hostBytes } from './host.ts'
import { encodeProperties } from './properties.ts'
import { RECORD_MAGIC_V1, RECORD_MAGIC_V2 } from './record-layout.ts'
import { encodeRecord, lastRecordChecksum, type RecordFields, recordSize, writeRecord } from './record.ts'
import { RecordView } from './record-view.ts'
import { decodeRecord, decodeRecords } from './stored-message.ts'
import { SysFlag } from './sys-flag.ts'

// Computed independently of this code and decoded with the Java classes (remoting.md 7.5).
const published = Buffer.from(
  '000000A8DAA320A73610A6860000000300000000000000000000002A000000000001E240000000000000018BCFE56800' +
    '7F0000010000C3500000018BCFE5687BC0A8000A00002A9F0000000000000000000000000000000568656C6C6F09546F' +
    '70696354657374003F4B455953016B31206B3202554E49515F4B45590137463030303030313030303131333546424141' +
    '343030303030303041303030310254414753015461674102',
  'hex',
)

function fields(change: Partial<RecordFields> = {}): RecordFields {
  const body = change.body ?? Buffer.from('hello')
  const properties =
    change.properties ?? encodeProperties({ KEYS: 'k1 k2', UNIQ_KEY: '7F0000010001135FBAA40000000A0001', TAGS: 'TagA' })
  return {
    topic: Buffer.from('TopicTest'),
    queueId: 3,
    queueOffset: 42,
    physicalOffset: 123456,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1700000000000,
    bornHost: hostBytes('127.0.0.1', 50000),
    storeTimestamp: 1700000000123,
    storeHost: hostBytes('192.168.0.10', 10911),
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body,
    bodyStart: 0,
    bodyEnd: body.length,
    properties,
    propertiesStart: 0,
    propertiesEnd: properties.length,
    ...change,
  }
}

test('the published record is written byte for byte and read back', () => {
  expect(encodeRecord(fields())).toEqual(published)
  expect(recordSize(fields())).toBe(168)
  expect(decodeRecord(published)).toEqual({
    totalSize: 168,
    magic: RECORD_MAGIC_V1,
    bodyCrc: 0x3610a686,
    queueId: 3,
    flag: 0,
    queueOffset: 42n,
    physicalOffset: 123456n,
    sysFlag: 0,
    bornTimestamp: 1700000000000,
    bornHost: '127.0.0.1:50000',
    storeTimestamp: 1700000000123,
    storeHost: '192.168.0.10:10911',
    reconsumeTimes: 0,
    preparedTransactionOffset: 0n,
    body: Buffer.from('hello'),
    topic: 'TopicTest',
    properties: { KEYS: 'k1 k2', UNIQ_KEY: '7F0000010001135FBAA40000000A0001', TAGS: 'TagA' },
    offsetMessageId: 'C0A8000A00002A9F000000000001E240',
  })
})

test('a record written into the middle of a buffer touches nothing around it', () => {
  const target = Buffer.alloc(published.length + 20, 0xee)
  const window = new DataView(target.buffer, target.byteOffset, target.length)
  expect(writeRecord(target, window, 10, fields())).toBe(published.length)
  expect(target.subarray(10, -10)).toEqual(published)
  expect([...target.subarray(0, 10), ...target.subarray(-10)]).toEqual(Array.from({ length: 20 }, () => 0xee))
})

test('large and negative fixed fields come back', () => {
  const extreme = {
    queueOffset: Number.MAX_SAFE_INTEGER,
    physicalOffset: -1,
    flag: -2147483648,
    queueId: 2147483647,
    reconsumeTimes: -1,
    preparedTransactionOffset: 2 ** 32 + 5,
    bornTimestamp: 0,
    storeTimestamp: Number.MIN_SAFE_INTEGER,
  }
  const view = new RecordView()
  expect(view.at(encodeRecord(fields(extreme)), 0)).toBe(true)
  expect(view).toMatchObject(extreme)
})

test('IPv6 hosts move what lies behind them and set their bit, whatever the caller set', () => {
  const v4 = hostBytes('10.0.0.1', 1)
  const v6 = hostBytes('fd00::5', 65535)
  for (const [bornHost, storeHost, bits] of [
    [v4, v4, 0],
    [v6, v4, SysFlag.BORN_HOST_V6],
    [v4, v6, SysFlag.STORE_HOST_V6],
    [v6, v6, SysFlag.BORN_HOST_V6 | SysFlag.STORE_HOST_V6],
  ] as const) {
    const record = encodeRecord(fields({ bornHost, storeHost, sysFlag: 0x35, reconsumeTimes: 7 }))
    const view = new RecordView()
    expect(view.at(record, 0) && view.validate()).toBe(true)
    expect(view.sysFlag).toBe(0x05 | bits)
    expect([view.storeTimestamp, view.reconsumeTimes, view.topic()]).toEqual([1700000000123, 7, 'TopicTest'])
    expect(record.subarray(view.bornHostStart, view.bornHostEnd)).toEqual(bornHost)
    expect(record.subarray(view.storeHostStart, view.storeHostEnd)).toEqual(storeHost)
    expect(decodeRecord(record).offsetMessageId).toHaveLength(storeHost === v6 ? 56 : 32)
  }
})

test('a topic above 127 bytes makes a V2 record, up to 127 a V1 record', () => {
  for (const length of [1, 126, 127, 128, 255, 300]) {
    const record = encodeRecord(fields({ topic: Buffer.alloc(length, 't') }))
    const message = decodeRecord(record)
    expect(message.topic).toBe('t'.repeat(length))
    expect(message.magic).toBe(length > 127 ? RECORD_MAGIC_V2 : RECORD_MAGIC_V1)
    expect(message.totalSize).toBe(record.length)
  }
})

test('properties of 32,767 bytes fit, one byte more is refused before anything is written', () => {
  const most = fields({ properties: Buffer.alloc(32_767, 'p') })
  expect(decodeRecord(encodeRecord(most)).totalSize).toBe(recordSize(most))
  const target = Buffer.alloc(40_000)
  const tooMany = fields({ properties: Buffer.alloc(32_768, 'p') })
  expect(() => writeRecord(target, new DataView(target.buffer, target.byteOffset), 0, tooMany)).toThrow(
    /RECORD_INVALID/,
  )
  expect(target.every((byte) => byte === 0)).toBe(true)
  expect(() => recordSize(fields({ topic: Buffer.alloc(0) }))).toThrow(/RECORD_INVALID/)
})

test('the checksum left by writeRecord is the CRC-32 of the whole record', () => {
  for (const length of [0, 1, 255, 256, 257, 1024, 65_536, 70_001]) {
    const body = Buffer.alloc(length, 'body ')
    const properties = encodeProperties({ KEYS: 'k'.repeat(length % 1000) })
    const record = encodeRecord(fields({ body, properties }))
    expect(lastRecordChecksum()).toBe(crc32(record))
    const view = new RecordView()
    expect(view.at(record, 0) && view.validate()).toBe(true)
    expect(view.checksum()).toBe(crc32(record))
    expect(view.bodyCrc).toBe(crc32(body) & 0x7fffffff)
  }
})

test('checksums of two runs combine to the checksum of both, and short runs equal zlib', () => {
  const bytes = Buffer.from(Array.from({ length: 3000 }, (_, at) => (at * 7919) >> 3))
  for (const cut of [0, 1, 7, 8, 9, 255, 256, 511, 1024, 1025, 2999, 3000]) {
    const [a, b] = [bytes.subarray(0, cut), bytes.subarray(cut)]
    for (let again = 0; again < 2; again++) expect(crc32Combine(crc32(a), crc32(b), b.length)).toBe(crc32(bytes))
    expect(crc32Of(bytes, 0, cut)).toBe(crc32(a))
    expect(crc32Of(bytes, cut, bytes.length, crc32(a))).toBe(crc32(bytes))
  }
  const zeros = Buffer.alloc(1 << 25)
  expect(crc32Combine(crc32(bytes), crc32(zeros), zeros.length)).toBe(crc32(zeros, crc32(bytes)))
})

test('every truncation of a record is refused, also when other bytes follow', () => {
  const view = new RecordView()
  for (let length = 0; length < published.length; length++) {
    expect(view.at(published.subarray(0, length), 0)).toBe(false)
    expect(() => decodeRecord(published.subarray(0, length))).toThrow(/RECORD_INVALID/)
  }
  expect(view.validate()).toBe(false)
  expect(view.at(published, -1)).toBe(false)
  expect(view.at(published, 1)).toBe(false)
})

test('a record whose parts do not fill its size is refused', () => {
  const longer = Buffer.concat([published, Buffer.alloc(3)])
  longer.writeInt32BE(longer.length, 0)
  expect(new RecordView().at(longer, 0)).toBe(false)
  for (const bodyLength of [-1, 0x7fffffff, published.length]) {
    const lying = Buffer.from(published)
    lying.writeInt32BE(bodyLength, 84)
    expect(new RecordView().at(lying, 0)).toBe(false)
  }
})

test('bit flips raise nothing but RECORD_INVALID, and a flipped body is found by validate', () => {
  const view = new RecordView()
  expect(view.at(published, 0)).toBe(true)
  const { bodyStart, bodyEnd } = view
  for (let bit = 0; bit < published.length * 8; bit++) {
    const flipped = Buffer.from(published)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    try {
      expect(decodeRecord(flipped).totalSize).toBe(published.length)
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError)
      expect((error as ProtocolError).code).toBe('RECORD_INVALID')
    }
    if (bit >> 3 >= bodyStart && bit >> 3 < bodyEnd) expect(view.at(flipped, 0) && view.validate()).toBe(false)
  }
})

test('records in a row are decoded, and anything but whole records is refused', () => {
  const second = encodeRecord(fields({ topic: Buffer.from('second') }))
  expect(decodeRecords(Buffer.concat([published, second])).map(({ topic }) => topic)).toEqual(['TopicTest', 'second'])
  expect(decodeRecords(Buffer.alloc(0))).toEqual([])
  expect(() => decodeRecords(Buffer.concat([published, second.subarray(0, -1)]))).toThrow(/RECORD_INVALID/)
  expect(() => decodeRecords(Buffer.concat([published, Buffer.of(0)]))).toThrow(/RECORD_INVALID/)
})

test('a view moves from record to record and reads each where it lies', () => {
  const second = encodeRecord(fields({ topic: Buffer.from('other'), queueOffset: 43, body: Buffer.from('b2') }))
  const bytes = Buffer.concat([published, second])
  const view = new RecordView()
  expect(view.at(bytes, 0)).toBe(true)
  expect([view.size, view.queueOffset, view.topic()]).toEqual([168, 42, 'TopicTest'])
  expect(view.at(bytes, view.size)).toBe(true)
  expect([view.queueOffset, view.topic(), bytes.toString('utf8', view.bodyStart, view.bodyEnd)]).toEqual([
    43,
    'other',
    'b2',
  ])
})
