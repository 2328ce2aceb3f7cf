import type { ConsumedMessage } from '@tandemmq/client'
import { expect, test } from 'vitest'
import { payloadOf } from './payload.ts'

const message = (text: string) => ({ text: () => text, body: Buffer.from(text) }) as unknown as ConsumedMessage

test.each([
  ['{"a":1}', { a: 1 }],
  [' [1]', [1]],
  ['"text"', 'text'],
  ['17', 17],
  ['true', true],
  ['plain words', 'plain words'],
  ['', undefined],
])('by default the body %j is read as JSON where it is JSON', (text, expected) => {
  expect(payloadOf(message(text), undefined)).toEqual(expected)
})

test('a body that begins like JSON and is not cannot be read', () => {
  expect(() => payloadOf(message('{"a":'), undefined)).toThrow(SyntaxError)
})

test('a listener may ask for strict JSON, text, bytes, or read the message itself', () => {
  expect(() => payloadOf(message('plain words'), 'json')).toThrow(SyntaxError)
  expect(payloadOf(message('17'), 'text')).toBe('17')
  expect(payloadOf(message('17'), 'bytes')).toEqual(Buffer.from('17'))
  expect(payloadOf(message('17'), (given) => given.text().length)).toBe(2)
})
