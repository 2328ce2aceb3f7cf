import { isUtf8 } from 'node:buffer'
import { expect, test } from 'vitest'
import { commandOf, encodeCommand, type RemotingCommand } from './command.ts'
import { ProtocolError } from './errors.ts'
import { Field, fieldName } from './fields.ts'
import { FALLBACK_BYTES_MAX, readJsonHeader } from './header-fallback.ts'
import { FIELDS_MAX, HeaderSlots } from './header-slots.ts'
import { scanJsonHeader } from './header-json.ts'
import { HeaderView } from './header-view.ts'

function payload(header: string | Buffer, body = '', type = 0): Buffer {
  const bytes = typeof header === 'string' ? Buffer.from(header) : header
  const word = Buffer.alloc(4)
  word.writeUInt32BE(type * 0x01000000 + bytes.length)
  return Buffer.concat([word, bytes, Buffer.from(body)])
}

function viewOf(header: string | Buffer, body = ''): HeaderView {
  const view = new HeaderView()
  const bytes = payload(header, body)
  view.scan(bytes, 0, bytes.length)
  return view
}

function errorOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return error.message
  }
  return 'no error'
}

const sendHeader =
  '{"code":310,"extFields":{"a":"order-producer","b":"orders","c":"TBW102","d":"4","e":"-1","f":"0","g":"1795222098941",' +
  '"i":"UNIQ_KEY\\u0001C0\\u0002WAIT\\u0001true\\u0002","k":"false"},"flag":0,"language":"JAVA","opaque":2,' +
  '"serializeTypeCurrentRPC":"JSON","version":479}'

test('a send header is read by letters, the rest by names', () => {
  const view = viewOf(sendHeader, 'hello')
  expect([view.code, view.flag, view.language, view.opaque, view.version, view.serialization]).toEqual([
    310, 0, 0, 2, 479, 0,
  ])
  expect(view.fieldCount).toBe(9)
  expect(view.text(view.letter(0x61))).toBe('order-producer')
  expect(view.integer(view.letter(0x65))).toBe(-1)
  expect(view.long(view.letter(0x67))).toBe(1795222098941)
  expect(view.flagOf(view.letter(0x6b))).toBe(false)
  expect(view.letter(0x68)).toBe(-1)
  expect(view.find(fieldName('b'))).toBe(view.letter(0x62))
  expect(view.find(Field.topic)).toBe(-1)
  expect(view.bytes.toString('utf8', view.bodyStart, view.bodyEnd)).toBe('hello')
})

test('escapes inside a value are resolved by text and by copyValue, and the raw value is marked', () => {
  const view = viewOf(sendHeader)
  const index = view.letter(0x69)
  expect(view.valueEscaped(index)).toBe(true)
  expect(view.text(index)).toBe('UNIQ_KEY\u0001C0\u0002WAIT\u0001true\u0002')
  const target = Buffer.alloc(view.valueEnd(index) - view.valueStart(index) + 3, '.')
  const length = view.copyValue(index, target, 3)
  expect(target.toString('utf8', 0, 3 + length)).toBe('...UNIQ_KEY\u0001C0\u0002WAIT\u0001true\u0002')
  expect(view.valueEscaped(view.letter(0x61))).toBe(false)
  expect(view.valueBytes(0).toString('utf8', view.valueStart(0), view.valueEnd(0))).toBe('order-producer')
})

test('copyValue gives the same bytes as text and never more than the raw value has', () => {
  const long = 'word '.repeat(30)
  const values = [
    '',
    'x',
    long,
    'größe',
    '漢字 😀',
    'a"b\\c/d\b\f\n\r\t',
    '\u0001\u0002\u001f',
    '\ud83d',
    '\ude00\ud83d',
    `${long}\u0001`,
  ]
  for (const value of values) {
    for (const json of [JSON.stringify(value), escapeAll(value)]) {
      const view = viewOf(`{"code":1,"extFields":{"topic":${json}}}`)
      const room = view.valueEnd(0) - view.valueStart(0)
      const target = Buffer.alloc(room)
      expect(target.subarray(0, view.copyValue(0, target, 0))).toEqual(Buffer.from(value))
      expect(Buffer.from(view.text(0))).toEqual(Buffer.from(value))
    }
  }
})

function escapeAll(text: string): string {
  return `"${[...Array(text.length).keys()].map((at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`
}

test('integers are digits with an optional minus, inside their range, and nothing else', () => {
  const view = (value: string) => viewOf(JSON.stringify({ code: 1, extFields: { queueId: value } }))
  for (const [text, value] of Object.entries({
    '0': 0,
    '-0': 0,
    '007': 7,
    '2147483647': 2147483647,
    '-2147483648': -2147483648,
  })) {
    expect(Object.is(view(text).integer(0), value)).toBe(true)
    expect(Object.is(view(text).long(0), value)).toBe(true)
  }
  for (const text of ['', '-', '+1', ' 1', '1 ', '1e3', '1.0', '0x10', '١', '१', '1_0', '--1', 'abc']) {
    expect(errorOf(() => view(text).integer(0))).toMatch(/FIELD_INVALID.*queueId/)
    expect(errorOf(() => view(text).long(0))).toMatch(/FIELD_INVALID.*queueId/)
    expect(errorOf(() => view(text).longClamped(0))).toMatch(/FIELD_INVALID.*queueId/)
  }
  for (const text of ['2147483648', '-2147483649', '99999999999999999999']) {
    expect(errorOf(() => view(text).integer(0))).toMatch(/FIELD_INVALID.*queueId.*32-bit/)
  }
  expect(view('9007199254740991').long(0)).toBe(Number.MAX_SAFE_INTEGER)
  expect(view('-9007199254740991').long(0)).toBe(-Number.MAX_SAFE_INTEGER)
  for (const text of ['9007199254740992', '-9007199254740992', '9'.repeat(400)]) {
    expect(errorOf(() => view(text).long(0))).toMatch(/FIELD_INVALID.*queueId/)
  }
  expect(view('9223372036854775807').longClamped(0)).toBe(Number.MAX_SAFE_INTEGER)
  expect(errorOf(() => view('9'.repeat(400)).longClamped(0))).toMatch(/FIELD_INVALID/)
  expect(viewOf('{"code":1,"extFields":{"queueId":"\\u0034\\u0032"}}').integer(0)).toBe(42)
})

test('a missing or unreadable field is named in the error', () => {
  const view = viewOf('{"code":11,"extFields":{"topic":"orders","order":"maybe"}}')
  expect(view.requireText(Field.topic)).toBe('orders')
  expect(errorOf(() => view.requireText(Field.consumerGroup))).toMatch(/FIELD_MISSING.*consumerGroup/)
  expect(errorOf(() => view.requireInteger(Field.topic))).toMatch(/FIELD_INVALID.*topic.*"orders"/)
  expect(errorOf(() => view.requireLong(Field.queueOffset))).toMatch(/FIELD_MISSING.*queueOffset/)
  expect(errorOf(() => view.requireFlag(Field.order))).toMatch(/FIELD_INVALID.*order/)
})

test('reading the index of an absent field is FIELD_MISSING, never an empty value', () => {
  const view = viewOf(sendHeader)
  const absent = view.letter(0x7a)
  for (const read of ['text', 'integer', 'long', 'longClamped', 'flagOf'] as const) {
    expect(errorOf(() => view[read](absent))).toMatch(/FIELD_MISSING/)
  }
})

test('flags tell answers and one-way requests apart', () => {
  const of = (flag: number) => viewOf(`{"code":0,"flag":${flag}}`)
  expect([0, 1, 2, 3].map((flag) => of(flag).isResponse)).toEqual([false, true, false, true])
  expect([0, 1, 2, 3].map((flag) => of(flag).isOneway)).toEqual([false, false, true, true])
})

/** Both ways to read a JSON header, as plain values, or the error's code. */
function bothWays(header: Buffer): { scanned: unknown; parsed: unknown; ordinary: boolean } {
  const slots = new HeaderSlots()
  slots.reset(header)
  let ordinary = false
  try {
    ordinary = scanJsonHeader(slots, header, 0, header.length)
  } catch {
    // too many fields: seen below
  }
  const outcome = (read: () => HeaderView): unknown => {
    try {
      const view = read()
      return [view.fieldCount, plain(commandOf(view))]
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return error.code
    }
  }
  const scanned = outcome(() => viewOf(header))
  const parsed = outcome(() => {
    if (!isUtf8(header)) throw new ProtocolError('HEADER_INVALID', 'not UTF-8')
    const view = new HeaderView()
    view.reset(header)
    readJsonHeader(view, header, 0, header.length)
    return view
  })
  return { scanned, parsed, ordinary }
}

function plain(command: RemotingCommand): unknown {
  const { body: _, extFields, ...rest } = command
  return { ...rest, extFields: Object.entries(extFields).toSorted(([a], [b]) => (a < b ? -1 : 1)) }
}

const unusual = [
  '{}',
  '[]',
  'null',
  '',
  '{"code":1}',
  ' { "code" : 1 , "flag" : 2 } ',
  '{"code":1}x',
  '{"code":1,}',
  '{"code":01}',
  '{"code":1e3}',
  '{"code":1.5}',
  '{"code":-0}',
  '{"code":"310"}',
  '{"code":"1e1"}',
  '{"code":2147483648}',
  '{"code":-2147483648}',
  '{"code":99999999999999999999}',
  '{"code":null}',
  '{"code":1,"code":2}',
  '{"code":1,"extFields":{"a":"1","topic":"t"},"extFields":{"b":"2"}}',
  '{"code":1,"remark":"r","remark":null}',
  '{"c\\u006fde":7}',
  '{"code":1,"unknown":{"a":[1,{"b":2}]}}',
  '{"code":1,"language":"KLINGON"}',
  '{"code":1,"language":"GO","version":317}',
  '{"code":1,"language":9}',
  '{"code":1,"language":99}',
  '{"code":1,"language":-1}',
  '{"code":1,"language":1.5}',
  '{"code":1,"language":null}',
  '{"code":1,"remark":""}',
  '{"code":1,"remark":null}',
  '{"code":1,"remark":7}',
  '{"code":1,"remark":"line\\nline \\u00e9 \\ud83d\\ude00 \\ud83d"}',
  '{"code":1,"extFields":null}',
  '{"code":1,"extFields":{}}',
  '{"code":1,"extFields":[]}',
  '{"code":1,"extFields":"x"}',
  '{"code":1,"extFields":{"a":"1","a":"2"}}',
  '{"code":1,"extFields":{"topic":"1","group":"g","topic":"2"}}',
  '{"code":1,"extFields":{"Aa":"1","BB":"2"}}',
  '{"code":1,"extFields":{"":"empty"}}',
  '{"code":1,"extFields":{"A":"1","A":"2"}}',
  '{"code":1,"extFields":{"to\\u0070ic":"1"}}',
  '{"code":1,"extFields":{"schlüssel":"漢字"}}',
  '{"code":1,"extFields":{"a":1,"b":true,"c":null,"d":-1.5,"e":{"x":[1]},"f":[]}}',
  '{"code":1,"extFields":{"a":9007199254740993}}',
  '{"code":1,"extFields":{"__proto__":"x","constructor":"y","toString":"z"}}',
  '{"code":1,"__proto__":{"flag":1},"extFields":{"a":"1"}}',
  '{"code":1,"extFields":{"a":"bad \\x escape"}}',
  '{"code":1,"extFields":{"a":"bad \\u12g4 escape"}}',
  '{"code":1,"extFields":{"a":"cut \\u12',
  '{"code":1,"extFields":{"a":"raw \u0001 control"}}',
  '{"code":1,"extFields":{"a":"raw \n line"}}',
  '{"code":1,"extFields":{"a":"b"',
  '{"code":1,"extFields":{"a":"b"}',
  '{"code":1,"extFields":{"a":"b",}}',
  '{"code":1,"extFields":{"a""b"}}',
  '{"code":1,"extFields":{"a":"b" "c":"d"}}',
  '{"code":1 "flag":1}',
  '\ufeff{"code":1}',
  "{'code':1}",
  '{"code":1,"opaque":-5,"version":-1}',
  '{"code":tru}',
  sendHeader,
]

test('the scanner and JSON.parse see the same in every header, usual or not', () => {
  for (const text of unusual) {
    const { scanned, parsed } = bothWays(Buffer.from(text))
    expect(scanned, text).toEqual(parsed)
  }
  expect(bothWays(Buffer.from(sendHeader)).ordinary).toBe(true)
})

test('ext values that are not text become text as in Java, null is absent, and a rounded number is refused', () => {
  const fieldsOf = (ext: string) => ({ ...commandOf(viewOf(`{"code":1,"extFields":${ext}}`)).extFields })
  expect(fieldsOf('{"a":1,"b":true,"c":null,"d":-1.5,"e":{"x":[1]}}')).toEqual({
    a: '1',
    b: 'true',
    d: '-1.5',
    e: '{"x":[1]}',
  })
  expect(fieldsOf('{"topic":"1","group":"g","topic":"2"}')).toEqual({ topic: '2', group: 'g' })
  expect(fieldsOf('{"a":9007199254740991}')).toEqual({ a: '9007199254740991' })
  expect(errorOf(() => fieldsOf('{"a":9007199254740992}'))).toMatch(/HEADER_INVALID.*a is a number/)
})

/** Small deterministic generator (mulberry32). */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

test('the scanner and JSON.parse see the same in headers damaged at random', () => {
  const random = chance(7)
  const spice = Buffer.from('"\\{}[]:,0-1eE. u0041tnull\u0001\u00e9')
  let ordinary = 0
  let refused = 0
  for (let round = 0; round < 6_000; round++) {
    const source = unusual[Math.floor(random() * unusual.length)] as string
    const header = Buffer.from(random() < 0.5 ? sendHeader : source)
    const damages = Math.floor(random() * 3)
    for (let damage = 0; damage < damages && header.length > 0; damage++) {
      const at = Math.floor(random() * header.length)
      header[at] = random() < 0.7 ? (spice[Math.floor(random() * spice.length)] as number) : Math.floor(random() * 256)
    }
    const ways = bothWays(header)
    if (ways.ordinary) ordinary++
    if (ways.scanned === 'HEADER_INVALID') refused++
    expect(ways.scanned, header.toString('latin1')).toEqual(ways.parsed)
  }
  expect(ordinary).toBeGreaterThan(1_500)
  expect(refused).toBeGreaterThan(600)
})

test('every truncation of a header is refused', () => {
  const whole = Buffer.from(sendHeader)
  for (let length = 0; length < whole.length; length++) {
    // Bytes of a body may follow: the scanner must not read on into them, nor behind the end of the buffer.
    expect(errorOf(() => viewOf(whole.subarray(0, length), sendHeader.slice(length)))).toMatch(/HEADER_INVALID/)
    expect(errorOf(() => viewOf(whole.subarray(0, length)))).toMatch(/HEADER_INVALID/)
  }
})

test('text that is not UTF-8 is refused in either form', () => {
  const json = Buffer.from('{"code":1,"extFields":{"topic":"x?"}}')
  json[json.indexOf('?')] = 0xc3
  expect(errorOf(() => viewOf(json))).toMatch(/HEADER_INVALID.*UTF-8/)
  const odd = Buffer.from('{"code":1,"other":"x?"}')
  odd[odd.indexOf('?')] = 0xff
  expect(errorOf(() => viewOf(odd))).toMatch(/HEADER_INVALID.*UTF-8/)
  for (const init of [{ extFields: { topic: 'x?' } }, { extFields: { 'x?': 'v' } }, { remark: 'x?' }]) {
    const frame = encodeCommand({ code: 1, serialization: 1, ...init })
    frame[frame.indexOf('?')] = 0xc3
    expect(errorOf(() => new HeaderView().scan(frame, 4, frame.length))).toMatch(/HEADER_INVALID.*UTF-8/)
  }
})

test('an unusual header is parsed up to 64 KiB and refused above, an ordinary one has no such limit', () => {
  const header = (bytes: number, unknown: string) => {
    const empty = `{"code":1,${unknown}"extFields":{"a":""}}`
    return `${empty.slice(0, -3)}${'x'.repeat(bytes - empty.length)}"}}`
  }
  expect(viewOf(header(FALLBACK_BYTES_MAX - 1, '"z":0,')).code).toBe(1)
  expect(viewOf(header(FALLBACK_BYTES_MAX, '"z":0,')).code).toBe(1)
  expect(errorOf(() => viewOf(header(FALLBACK_BYTES_MAX + 1, '"z":0,')))).toMatch(/HEADER_INVALID.*65536/)
  expect(viewOf(header(FALLBACK_BYTES_MAX + 1, '')).text(0).length).toBeGreaterThan(65_000)
})

test('a deeply nested header is refused, not a crash', () => {
  const deep = '['.repeat(30_000) + ']'.repeat(30_000)
  expect(errorOf(() => viewOf(`{"code":1,"extFields":{"a":${deep}}}`))).toMatch(/HEADER_INVALID|no error/)
  expect(errorOf(() => viewOf('['.repeat(60_000)))).toMatch(/HEADER_INVALID/)
})

test('fields are counted: the last allowed one is found, one more is refused', () => {
  const header = (count: number) =>
    JSON.stringify({
      code: 1,
      extFields: Object.fromEntries(Array.from({ length: count }, (_, at) => [`field${at}`, `${at}`])),
    })
  for (const count of [1, 31, 32, 33, FIELDS_MAX - 1, FIELDS_MAX]) {
    const view = viewOf(header(count))
    expect(view.fieldCount).toBe(count)
    expect(view.text(view.find(fieldName(`field${count - 1}`)))).toBe(`${count - 1}`)
  }
  expect(errorOf(() => viewOf(header(FIELDS_MAX + 1)))).toMatch(/HEADER_INVALID.*fields/)
})

test('a name from the wire never reaches a prototype', () => {
  const command = commandOf(viewOf('{"code":1,"extFields":{"__proto__":"polluted","constructor":"c","x":1}}'))
  expect(Object.getPrototypeOf(command.extFields)).toBeNull()
  expect(Object.entries(command.extFields).toSorted()).toEqual([
    ['__proto__', 'polluted'],
    ['constructor', 'c'],
    ['x', '1'],
  ])
  expect('polluted' in {}).toBe(false)
})

test('fields whose names have equal hashes are told apart', () => {
  const view = viewOf('{"code":1,"extFields":{"AaAa":"1","BBBB":"2","AaBB":"3"}}')
  expect(['AaAa', 'BBBB', 'AaBB', 'BBAa'].map((name) => view.find(fieldName(name)))).toEqual([0, 1, 2, -1])
})

test('nothing of the last header is left in the next', () => {
  const view = new HeaderView()
  const first = payload(
    '{"code":5,"flag":3,"language":"JAVA","opaque":9,"remark":"r","version":8,"extFields":{"a":"1","topic":"t"}}',
  )
  view.scan(first, 0, first.length)
  for (const next of ['{"code":6}', '{"code":6,"other":0}']) {
    const bytes = payload(next)
    view.scan(bytes, 0, bytes.length)
    expect([view.code, view.flag, view.language, view.opaque, view.version, view.fieldCount]).toEqual([
      6, 0, 7, 0, 0, 0,
    ])
    expect([view.letter(0x61), view.find(Field.topic), view.remark()]).toEqual([-1, -1, undefined])
  }
})

test('a view reads the buffer it is given, not the one before', () => {
  const view = new HeaderView()
  const read = (header: string) => {
    const bytes = payload(header)
    view.scan(bytes, 0, bytes.length)
    return [view.code, view.language]
  }
  expect(read('{"code":6,"language":"JAVA"}')).toEqual([6, 0])
  expect(read('{"code":6,"language":"RUST"}')).toEqual([6, 12])
  expect(errorOf(() => read('{"cOde":6,"language":"RUST"}'))).toMatch(/HEADER_INVALID/)
})

test('a header word that lies about type or length is refused', () => {
  const header = '{"code":1}'
  for (const type of [2, 3, 255]) {
    expect(errorOf(() => new HeaderView().scan(payload(header, '', type), 0, 14))).toMatch(
      /HEADER_INVALID.*serialization/,
    )
  }
  expect(errorOf(() => new HeaderView().scan(payload(header), 0, 13))).toMatch(/HEADER_INVALID.*longer/)
  expect(errorOf(() => new HeaderView().scan(payload(header), 0, 3))).toMatch(/HEADER_INVALID/)
})

test('a binary header keeps the last of a repeated name and drops empty values', () => {
  const one = encodeCommand({ code: 1, serialization: 1, extFields: { aa: '1', bb: '2', ab: '3', q: '4' } })
  const renamed = Buffer.from(one.toString('latin1').replace('bb', 'aa').replace('ab', 'aa'), 'latin1')
  const view = new HeaderView()
  view.scan(renamed, 4, renamed.length)
  expect(view.fieldCount).toBe(2)
  expect(view.text(view.find(fieldName('aa')))).toBe('3')
  expect(view.text(view.letter(0x71))).toBe('4')
  const fixed = encodeCommand({ code: 1, serialization: 1 }).subarray(4, 25)
  // Fields x without a value and y = 1, which our own encoder would not write.
  const entries = Buffer.from('000178000000000001790000000131', 'hex')
  const header = Buffer.concat([fixed, Buffer.from([0, 0, 0, entries.length]), entries])
  header.writeUInt32BE(0x01000000 + header.length - 4, 0)
  view.scan(header, 0, header.length)
  expect([view.fieldCount, view.letter(0x78), view.text(view.letter(0x79))]).toEqual([1, -1, '1'])
})

test('bit flips and truncations of a binary header raise nothing but HEADER_INVALID', () => {
  const frame = encodeCommand({
    code: 310,
    serialization: 1,
    remark: 'text',
    extFields: { a: 'group', topic: 'orders', b: 'größe' },
    body: Buffer.from('body'),
  })
  const view = new HeaderView()
  const attempt = (bytes: Buffer) => {
    try {
      view.scan(bytes, 4, bytes.length)
      commandOf(view)
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError)
      expect((error as ProtocolError).code).toBe('HEADER_INVALID')
    }
  }
  for (let bit = 32; bit < frame.length * 8; bit++) {
    const flipped = Buffer.from(frame)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    attempt(flipped)
  }
  for (let length = 4; length < frame.length; length++) attempt(frame.subarray(0, length))
})
