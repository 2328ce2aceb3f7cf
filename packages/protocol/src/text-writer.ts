// Writers for answers that are put together as bytes: no strings, no allocation. Each returns the number of bytes written.

const DIGITS = Buffer.from('0123456789ABCDEF')
const SPLIT = 1_000_000_000

/** Number of decimal digits of an integer 0 <= value < 2^53. */
export function decimalLength(value: number): number {
  let length = 1
  for (let limit = 10; value >= limit; limit *= 10) length++
  return length
}

/** Writes the decimal digits of an integer 0 <= value < 2^53. */
export function writeDecimal(target: Buffer, at: number, value: number): number {
  if (value < 10) {
    target[at] = 0x30 + value
    return 1
  }
  const length = decimalLength(value)
  let to = at + length - 1
  let high = 0
  let low = value
  if (value >= SPLIT) {
    // Two halves below 2^31, where division by ten is cheap integer arithmetic.
    high = Math.floor(value / SPLIT)
    low = value - high * SPLIT
    for (let digit = 0; digit < 9; digit++) {
      const rest = (low / 10) | 0
      target[to--] = 0x30 + (low - rest * 10)
      low = rest
    }
    low = high
  }
  while (to >= at) {
    const rest = (low / 10) | 0
    target[to--] = 0x30 + (low - rest * 10)
    low = rest
  }
  return length
}

/** Writes a safe integer of either sign. */
export function writeSignedDecimal(target: Buffer, at: number, value: number): number {
  if (value >= 0) return writeDecimal(target, at, value)
  target[at] = 0x2d
  return 1 + writeDecimal(target, at + 1, -value)
}

/** Writes `bytes[start, end)` as upper-case hex. */
export function writeHex(target: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  let to = at
  for (let from = start; from < end; from++) {
    const byte = bytes[from] as number
    target[to++] = DIGITS[byte >> 4] as number
    target[to++] = DIGITS[byte & 15] as number
  }
  return to - at
}

/** Writes 32 bits as 8 upper-case hex digits. */
export function writeHexInt32(target: Buffer, at: number, value: number): number {
  for (let shift = 28, to = at; shift >= 0; shift -= 4, to++) target[to] = DIGITS[(value >>> shift) & 15] as number
  return 8
}

/** Writes a safe integer as i64 in 16 upper-case hex digits. */
export function writeHexInt64(target: Buffer, at: number, value: number): number {
  writeHexInt32(target, at, Math.floor(value / 0x100000000))
  writeHexInt32(target, at + 8, value | 0)
  return 16
}

/**
 * Writes UTF-8 text as the inside of a JSON string: quotes, backslashes and control characters escaped.
 * @param target has room for 6 * (end - start) bytes at `at`
 */
export function writeJsonText(target: Buffer, at: number, text: Buffer, start: number, end: number): number {
  let to = at
  for (let from = start; from < end; from++) {
    const byte = text[from] as number
    if (byte === 0x22 || byte === 0x5c) {
      target[to++] = 0x5c
      target[to++] = byte
    } else if (byte >= 0x20) {
      target[to++] = byte
    } else {
      target[to++] = 0x5c
      target[to++] = 0x75
      target[to++] = 0x30
      target[to++] = 0x30
      target[to++] = DIGITS[byte >> 4] as number
      target[to++] = DIGITS[byte & 15] as number
    }
  }
  return to - at
}
