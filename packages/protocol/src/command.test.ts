import { expect, test } from 'vitest'
import { LanguageCode, languageCode, languageName, RequestCode, requestName, responseName } from './codes.ts'
import { decodeCommand, encodeCommand } from './command.ts'
import { ProtocolError } from './errors.ts'
import { FRAME_BYTES_MAX } from './frame.ts'

// Computed independently of this code and checked against the Java classes (remoting.md 7.1 to 7.4).
const jsonRequest = Buffer.from(
  '00000087000000837B22636F6465223A3130352C226578744669656C6473223A7B22746F706963223A22546F70696354' +
    '657374227D2C22666C6167223A302C226C616E6775616765223A224A415641222C226F7061717565223A372C22736572' +
    '69616C697A655479706543757272656E74525043223A224A534F4E222C2276657273696F6E223A3339397D',
  'hex',
)
const binaryRequest = Buffer.from(
  '0000002D01000029006900018F000000070000000000000000000000140005746F70696300000009546F70696354657374',
  'hex',
)
const jsonResponse = Buffer.from(
  '000000800000007C7B22636F6465223A302C226578744669656C6473223A7B226F6666736574223A223432227D2C2266' +
    '6C6167223A312C226C616E6775616765223A224F54484552222C226F7061717565223A372C2273657269616C697A6554' +
    '79706543757272656E74525043223A224A534F4E222C2276657273696F6E223A3437397D',
  'hex',
)
const binaryResponse = Buffer.from('000000210100001D00110701DF0000000700000001000000086E6F20726F75746500000000', 'hex')

const request = { code: 105, opaque: 7, version: 399, language: LanguageCode.JAVA, extFields: { topic: 'TopicTest' } }

test('a JSON request is the one Java writes, byte for byte', () => {
  expect(encodeCommand(request)).toEqual(jsonRequest)
  expect(decodeCommand(jsonRequest)).toMatchObject({ ...request, flag: 0, serialization: 0 })
})

test('a binary request is the one Java writes, byte for byte', () => {
  expect(encodeCommand({ ...request, serialization: 1 })).toEqual(binaryRequest)
  expect(decodeCommand(binaryRequest)).toMatchObject({ ...request, flag: 0, serialization: 1 })
})

test('answers in either form are the published ones, byte for byte', () => {
  const ok = { code: 0, flag: 1, language: LanguageCode.OTHER, opaque: 7, version: 479, extFields: { offset: 42n } }
  expect(encodeCommand(ok)).toEqual(jsonResponse)
  expect(decodeCommand(jsonResponse)).toMatchObject({ ...ok, extFields: { offset: '42' } })
  const none = { code: 17, flag: 1, language: LanguageCode.OTHER, opaque: 7, version: 479, remark: 'no route' }
  expect(encodeCommand({ ...none, serialization: 1 })).toEqual(binaryResponse)
  expect(decodeCommand(binaryResponse)).toMatchObject(none)
})

test('what is encoded comes back, in both serializations', () => {
  for (const serialization of [0, 1] as const) {
    const init = {
      code: -1000,
      flag: 3,
      opaque: -2147483648,
      version: 441,
      language: LanguageCode.NODE_JS,
      serialization,
      remark: 'größe\n"quoted"',
      body: Buffer.from([0, 255]),
    }
    const extFields = { number: -7, big: 9007199254740993n, yes: true, text: '\u0001漢字😀\u0002', gone: undefined }
    const decoded = decodeCommand(encodeCommand({ ...init, extFields }))
    expect(decoded).toMatchObject(init)
    expect({ ...decoded.extFields }).toEqual({
      number: '-7',
      big: '9007199254740993',
      yes: 'true',
      text: '\u0001漢字😀\u0002',
    })
  }
})

test('an empty text survives JSON and vanishes in a binary header, as between Java peers', () => {
  const init = { code: 1, extFields: { empty: '', full: 'x' } }
  expect({ ...decodeCommand(encodeCommand(init)).extFields }).toEqual({ empty: '', full: 'x' })
  expect({ ...decodeCommand(encodeCommand({ ...init, serialization: 1 })).extFields }).toEqual({ full: 'x' })
})

test('a decoded command shares no memory with the frame', () => {
  const frame = encodeCommand({ code: 1, extFields: { a: 'b' }, body: Buffer.from('body') })
  const command = decodeCommand(frame)
  frame.fill(0)
  expect([command.body.toString(), command.extFields['a']]).toEqual(['body', 'b'])
})

test('a code or version that a binary header would cut off is refused', () => {
  for (const init of [
    { code: RequestCode.POP_MESSAGE },
    { code: 32_768 },
    { code: -32_769 },
    { code: 1, version: 32_768 },
  ]) {
    expect(() => encodeCommand({ ...init, serialization: 1 })).toThrow(ProtocolError)
    expect(decodeCommand(encodeCommand(init)).code).toBe(init.code)
  }
  expect(decodeCommand(encodeCommand({ code: 32_767, serialization: 1 })).code).toBe(32_767)
  expect(decodeCommand(encodeCommand({ code: -32_768, serialization: 1 })).code).toBe(-32_768)
})

test('a frame is refused when its length field and its length disagree', () => {
  const frame = encodeCommand({ code: 1 })
  for (const wrong of [
    frame.subarray(0, -1),
    Buffer.concat([frame, Buffer.of(0)]),
    Buffer.alloc(0),
    frame.subarray(0, 7),
  ]) {
    expect(() => decodeCommand(wrong)).toThrow(/FRAME_LENGTH_INVALID/)
  }
})

test('the longest frame can be encoded, one byte more cannot', () => {
  const overhead = encodeCommand({ code: 1 }).length
  expect(encodeCommand({ code: 1, body: new Uint8Array(FRAME_BYTES_MAX - overhead) }).length).toBe(FRAME_BYTES_MAX)
  expect(() => encodeCommand({ code: 1, body: new Uint8Array(FRAME_BYTES_MAX - overhead + 1) })).toThrow(
    /FRAME_LENGTH_INVALID/,
  )
})

test('codes and languages have names, unknown ones their digits or OTHER', () => {
  expect([requestName(310), requestName(9101), requestName(-5), responseName(17), responseName(77)]).toEqual([
    'SEND_MESSAGE_V2',
    'PENDING_TRANSACTIONS',
    '-5',
    'TOPIC_NOT_EXIST',
    '77',
  ])
  expect([languageName(9), languageName(99), languageCode('NODE_JS'), languageCode('ADA')]).toEqual([
    'GO',
    'OTHER',
    13,
    7,
  ])
})
