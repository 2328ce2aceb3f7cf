import { expect, test } from 'vitest'
import { decodeCheckAnswers, encodeCheckAnswers, encodeEnds, EndReader, END_ENTRY_BYTES } from './transaction-batch.ts'

test('answers to a batched check travel as one letter each', () => {
  const answers = ['commit', 'rollback', 'unknown', 'notMine'] as const
  expect(encodeCheckAnswers(answers)).toBe('CRUN')
  expect(decodeCheckAnswers('CRUN', 4)).toEqual(answers)
})

test.each([
  ['too few', 'CR'],
  ['too many', 'CRUN'],
  ['an unknown letter', 'CRX'],
  ['no text', 7],
])('%s letters are refused, never guessed', (_what, text) => {
  expect(() => decodeCheckAnswers(text, 3)).toThrow('FIELD_INVALID')
})

test('ends are 17 bytes each, big-endian', () => {
  const body = encodeEnds([
    { physicalOffset: 0x1_0000_0002n, queueOffset: 3n, decision: 8 },
    { physicalOffset: 4n, queueOffset: 5n, decision: 12 },
  ])
  expect(body.toString('hex')).toBe('0000000100000002000000000000000308000000000000000400000000000000050c')
  const reader = new EndReader(Buffer.concat([Buffer.of(0xff), body]), 1, body.length + 1)
  expect(reader.count).toBe(2)
  reader.read(0)
  expect(reader).toMatchObject({ physicalOffset: 0x1_0000_0002, queueOffset: 3, decision: 8 })
  reader.read(1)
  expect(reader).toMatchObject({ physicalOffset: 4, queueOffset: 5, decision: 12 })
})

test.each([-1n, 1n << 53n, -(1n << 63n)])('offset %s is one where no message is, not another one', (physicalOffset) => {
  const body = encodeEnds([{ physicalOffset, queueOffset: 0n, decision: 8 }])
  const reader = new EndReader(body, 0, body.length)
  reader.read(0)
  expect(reader.physicalOffset).toBe(-1)
})

test.each([0, 1, END_ENTRY_BYTES + 1, 10_001 * END_ENTRY_BYTES])('a body of %i bytes is refused', (bytes) => {
  expect(() => new EndReader(Buffer.alloc(bytes), 0, bytes)).toThrow('FIELD_INVALID')
})
