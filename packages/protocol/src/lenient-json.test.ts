import { expect, test } from 'vitest'
import { parseLenientJson } from './lenient-json.ts'

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

test('plain JSON is read as JSON.parse reads it', () => {
  for (const text of [
    '{}',
    '[]',
    ' [1, -2.5e3, 0] ',
    '"a\\u0041\\"\\\\"',
    'true',
    'false',
    'null',
    '{"a":{"b":[{"c":null}]}, "d" : "x"}',
  ]) {
    expect(plain(parseLenientJson(text))).toEqual(JSON.parse(text))
  }
})

test('what fastjson writes is read: integer keys and objects as keys', () => {
  expect(plain(parseLenientJson('{"brokerAddrs":{0:"127.0.0.1:20911",-1:"b"}}'))).toEqual({
    brokerAddrs: { 0: '127.0.0.1:20911', '-1': 'b' },
  })
  const table = parseLenientJson('{"offsetTable":{{"brokerName":"b","queueId":3,"topic":"T"}:5,{"a":"}"}:6}}')
  expect(plain(table)).toEqual({ offsetTable: { '{"brokerName":"b","queueId":3,"topic":"T"}': 5, '{"a":"}"}': 6 } })
})

test('objects have no prototype', () => {
  const value = parseLenientJson('{"__proto__":{"polluted":true}}') as object
  expect(Object.getPrototypeOf(value)).toBeNull()
  expect(Object.keys(value)).toEqual(['__proto__'])
})

test('anything else is refused with its position', () => {
  const wrong = [
    '',
    '{',
    '[',
    '"',
    '{"a"}',
    '{"a":}',
    '{a:1}',
    '{"a":1,}',
    '[1,]',
    '[1 2]',
    '1 2',
    '01',
    '1.',
    '-',
    'nul',
    '"\\x"',
    '"a\\"',
    '{1.5:2}',
    "{'a':1}",
  ]
  for (const text of wrong) expect(() => parseLenientJson(text), text).toThrow(/BODY_INVALID.*character/)
})

test('nesting is read to a depth of 100 and refused above, not a crash', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  expect(plain(parseLenientJson(nested(101)))).toEqual(JSON.parse(nested(101)))
  expect(() => parseLenientJson(nested(102))).toThrow(/BODY_INVALID.*deeper/)
  expect(() => parseLenientJson('{'.repeat(1_000_000))).toThrow(/BODY_INVALID/)
})
