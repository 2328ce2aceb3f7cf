import { expect, test } from 'vitest'
import { hostBytes } from './host.ts'
import { offsetMessageId, writeOffsetMessageId } from './message-id.ts'
import { decimalLength, writeDecimal, writeHexInt64, writeJsonText, writeSignedDecimal } from './text-writer.ts'

function written(write: (target: Buffer, at: number) => number): string {
  const target = Buffer.alloc(800, '.')
  const length = write(target, 3)
  expect(target.toString('latin1', 0, 3)).toBe('...')
  expect(target[3 + length]).toBe(0x2e)
  return target.toString('utf8', 3, 3 + length)
}

const numbers = [
  0,
  1,
  9,
  10,
  99,
  999_999_999,
  1_000_000_000,
  1_000_000_001,
  1_795_222_098_941,
  9_007_199_254_740_990,
  Number.MAX_SAFE_INTEGER,
]
for (let power = 1; power <= 15; power++) numbers.push(10 ** power - 1, 10 ** power, 10 ** power + 1, 7 * 10 ** power)
for (let power = 1; power < 53; power++) numbers.push(2 ** power - 1, 2 ** power)

test('decimals are written as String writes them', () => {
  for (const number of numbers) {
    expect(written((target, at) => writeDecimal(target, at, number))).toBe(String(number))
    expect(decimalLength(number)).toBe(String(number).length)
    expect(written((target, at) => writeSignedDecimal(target, at, -number))).toBe(String(number === 0 ? 0 : -number))
  }
})

test('an offset message id is written as its text, below 2^53', () => {
  for (const host of [hostBytes('192.168.0.10', 10911), hostBytes('fd00::2', 65535)]) {
    for (const number of numbers) {
      expect(written((target, at) => writeOffsetMessageId(target, at, host, number))).toBe(
        offsetMessageId(host, number),
      )
    }
  }
  expect(written((target, at) => writeHexInt64(target, at, -2))).toBe('FFFFFFFFFFFFFFFE')
})

test('text is written so that it is safe inside a JSON string', () => {
  for (const text of ['', 'plain', '"quoted" \\ back', '\u0000\u0001\u001f\n', '漢字 😀 \u007f', '","code":0,"x":"']) {
    const bytes = Buffer.from(text)
    expect(JSON.parse(`"${written((target, at) => writeJsonText(target, at, bytes, 0, bytes.length))}"`)).toBe(text)
  }
})
