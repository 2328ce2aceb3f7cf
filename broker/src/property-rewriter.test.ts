import { decodeProperties, encodeProperties } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { chance } from './log-test-kit.ts'
import { decimalAt, propertyHead, PropertyRewriter } from './property-rewriter.ts'

test('dropped properties go, all others stay byte for byte, noted ones are found', () => {
  const rewriter = new PropertyRewriter({ drop: ['REAL_TOPIC', 'TRAN_MSG'], note: ['TAGS', 'MISSING'] })
  const pick = chance(5)
  const names = ['REAL_TOPIC', 'TRAN_MSG', 'TAGS', 'TAGS2', 'TAG', 'REAL', 'a', 'ключ', 'TRAN_MSG_']
  for (let round = 0; round < 500; round++) {
    const map: Record<string, string> = {}
    for (const name of names) if (pick(2) === 0) map[name] = 'é'.repeat(1 + pick(80))
    const block = Buffer.concat([Buffer.from('??'), encodeProperties(map), Buffer.from('??')])
    const cut = pick(2)
    const end = block.length - 2 - (block.length > 4 ? cut : 0)
    rewriter.load(block, 2, end)
    const { REAL_TOPIC, TRAN_MSG, ...kept } = map
    expect({ ...decodeProperties(rewriter.bytes, 0, rewriter.end) }).toEqual(kept)
    const valueAt = (n: number) =>
      (rewriter.starts[n] as number) < 0 ? undefined : block.toString('utf8', rewriter.starts[n], rewriter.ends[n])
    expect([0, 1, 2, 3].map(valueAt)).toEqual([REAL_TOPIC, TRAN_MSG, map['TAGS'], undefined])
  }
})

test('what is appended is a property of its own, whatever its text', () => {
  const rewriter = new PropertyRewriter({ drop: [] })
  const block = Buffer.from('a\x01b')
  rewriter.load(block, 0, block.length)
  rewriter.putText(propertyHead('reason'), 'x\x02forged\x01y')
  rewriter.putNumber(propertyHead('n'), 12)
  rewriter.put(propertyHead('m'), Buffer.from('..9..'), 2, 3)
  expect({ ...decodeProperties(rewriter.bytes, 0, rewriter.end) }).toEqual({
    a: 'b',
    reason: 'x forged y',
    n: '12',
    m: '9',
  })
})

test('a block that outgrows its length field is refused', () => {
  const rewriter = new PropertyRewriter({ drop: [] })
  const block = encodeProperties({ fill: 'x'.repeat(32_700) })
  rewriter.load(block, 0, block.length)
  rewriter.verifySize()
  rewriter.putText(propertyHead('more'), 'x'.repeat(100))
  expect(() => rewriter.verifySize()).toThrow('MESSAGE_ILLEGAL')
})

test.each([
  ['0', 0],
  ['007', 7],
  ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ['9007199254740993', Number.NaN],
  ['12345678901234567', Number.NaN],
  ['1x', Number.NaN],
  ['-1', Number.NaN],
  ['', Number.NaN],
])('"%s" reads as %d', (text, value) => {
  expect(decimalAt(Buffer.from(text), 0, text.length)).toBe(value)
})
