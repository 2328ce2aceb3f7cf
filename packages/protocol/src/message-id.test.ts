import { expect, test } from 'vitest'
import { addressText, hostBytes, hostText } from './host.ts'
import { offsetMessageId, parseOffsetMessageId } from './message-id.ts'
import { UniqueIdGenerator } from './unique-id.ts'

test('addresses become bytes and text again', () => {
  for (const [address, text] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '0:0:0:0:0:0:0:1'],
    ['::', '0:0:0:0:0:0:0:0'],
    ['fd00::2', 'fd00:0:0:0:0:0:0:2'],
    ['[2001:db8::8a2e:370:7334]', '2001:db8:0:0:0:8a2e:370:7334'],
    ['fe80::1%eth0', 'fe80:0:0:0:0:0:0:1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
  ] as const) {
    const bytes = hostBytes(address, 10911)
    expect(addressText(bytes, 0, bytes.length - 4)).toBe(text)
    expect(hostText(bytes)).toBe(text.includes(':') ? `[${text}]:10911` : `${text}:10911`)
  }
})

test('what is no address or port is refused', () => {
  const wrong = [
    '',
    '1.2.3',
    '1.2.3.256',
    '1.2.3.4.5',
    '01.2.3.4',
    'a.b.c.d',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'g::',
  ]
  for (const address of wrong) expect(() => hostBytes(address, 1), address).toThrow(/FIELD_INVALID/)
  for (const port of [-1, 65_536, 1.5, Number.NaN]) expect(() => hostBytes('127.0.0.1', port)).toThrow(/FIELD_INVALID/)
  expect(hostBytes('127.0.0.1', 65_535).toString('hex')).toBe('7f0000010000ffff')
})

test('an offset message id is read back, anything else is refused', () => {
  const id = offsetMessageId(hostBytes('192.168.0.10', 10911), 123456)
  expect(id).toBe('C0A8000A00002A9F000000000001E240')
  expect(parseOffsetMessageId(id)).toEqual({ host: '192.168.0.10', port: 10911, physicalOffset: 123456n })
  for (const wrong of ['', id.slice(1), `${id}00`, `${id.slice(0, -2)}ZZ`, 'x'.repeat(56)]) {
    expect(() => parseOffsetMessageId(wrong)).toThrow(/FIELD_INVALID/)
  }
})

const start = new Date(2026, 4, 1).getTime()

test('a unique id holds address, process, seed, time in the local month and a counter', () => {
  const generator = new UniqueIdGenerator(Buffer.of(127, 0, 0, 1), 0x12345, 0xdeadbeef)
  expect(generator.next(start + 0xabc)).toBe('7F0000012345DEADBEEF00000ABC0000')
  expect(generator.next(start + 0xabd)).toBe('7F0000012345DEADBEEF00000ABD0001')
  expect(new UniqueIdGenerator(Buffer.alloc(16, 1), 1, 2).next(start)).toHaveLength(56)
})

test('no two unique ids are equal, however many a millisecond needs and when the clock goes back', () => {
  const generator = new UniqueIdGenerator(Buffer.of(10, 0, 0, 1), 1, 1)
  const seen = new Set<string>()
  let made = 0
  const make = (count: number, now: number) => {
    for (let at = 0; at < count; at++, made++) seen.add(generator.next(now))
  }
  make(200_000, start + 5_000)
  make(70_000, start + 4_000)
  make(70_000, start + 5_001)
  make(10, start + 5_004)
  expect(seen.size).toBe(made)
})

test('the time in a unique id starts again with the month', () => {
  const generator = new UniqueIdGenerator(Buffer.of(10, 0, 0, 1), 1, 1)
  const june = new Date(2026, 5, 1).getTime()
  expect(generator.next(june - 1).slice(20, 28)).toBe((june - 1 - start).toString(16).toUpperCase().padStart(8, '0'))
  expect(generator.next(june).slice(20, 28)).toBe('00000000')
  expect(generator.next(june - 1).slice(20, 28)).toBe('00000000')
})
