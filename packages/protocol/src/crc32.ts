import { crc32 } from 'node:zlib'

// CRC-32 (IEEE 802.3, reflected). A record's checksum is put together from its head, its body and its tail, so that the body, whose
// checksum the record carries anyway, is read once. Polynomials are 32-bit numbers whose highest bit is x^0.

const POLYNOMIAL = 0xedb88320
const ONE = 0x80000000
/** From here on the native crc32 beats the table, in spite of its call. */
const NATIVE_FROM = 320
/** A byte loop beats a native copy for what is shorter than a line. */
const COPY_NATIVE_FROM = 64
const CACHE_SLOTS = 1024

const EIGHT_BIT_SHIFT = 0x00800000

/** Product of two polynomials modulo the CRC's. */
function multiply(a: number, b: number): number {
  let product = 0
  let factor = b
  for (let bit = 31; bit >= 0; bit--) {
    product ^= factor & -((a >>> bit) & 1)
    factor = (factor >>> 1) ^ (POLYNOMIAL & -(factor & 1))
  }
  return product
}

/** byteShifts[256 * k + n] = x^(8 * n * 256^k): a shift by any length below 2^32 is the product of four of them. */
const byteShifts = makeByteShifts()

function makeByteShifts(): Int32Array {
  const shifts = new Int32Array(1024)
  let step = EIGHT_BIT_SHIFT
  for (let k = 0; k < 4; k++) {
    let power = ONE | 0
    for (let n = 0; n < 256; n++) {
      shifts[256 * k + n] = power
      power = multiply(power, step)
    }
    step = power
  }
  return shifts
}

const cachedLengths = new Int32Array(CACHE_SLOTS)
const cachedShifts = new Int32Array(CACHE_SLOTS).fill(ONE | 0)

function shiftBy(length: number): number {
  const slot = length & (CACHE_SLOTS - 1)
  if (cachedLengths[slot] === length) return cachedShifts[slot] as number
  let shift = byteShifts[length & 255] as number
  for (let k = 1, rest = length >>> 8; rest > 0; k++, rest >>>= 8) {
    if (rest & 255) shift = multiply(byteShifts[256 * k + (rest & 255)] as number, shift)
  }
  cachedLengths[slot] = length
  cachedShifts[slot] = shift
  return shift
}

/**
 * CRC-32 of two byte runs in a row, from the CRC-32 of each.
 * @param lengthOfB bytes of the second run, below 2^31
 */
export function crc32Combine(a: number, b: number, lengthOfB: number): number {
  return (multiply(shiftBy(lengthOfB), a) ^ b) >>> 0
}

const tables = makeTables()

/** tables[256 * k + byte]: the byte's effect, k bytes later. */
function makeTables(): Int32Array {
  const table = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (POLYNOMIAL & -(value & 1))
    table[byte] = value
  }
  for (let at = 256; at < table.length; at++) {
    const before = table[at - 256] as number
    table[at] = (before >>> 8) ^ (table[before & 255] as number)
  }
  return table
}

/**
 * CRC-32 of `bytes[start, end)`, continued from `seed`. Short runs are done here, eight bytes a step: a native call costs as
 * much as 250 bytes.
 */
export function crc32Of(bytes: Buffer, start: number, end: number, seed = 0): number {
  if (end - start >= NATIVE_FROM) return crc32(runOf(bytes, start, end), seed)
  const t = tables
  let crc = ~seed
  let at = start
  for (const last = end - 8; at <= last; at += 8) {
    const low =
      crc ^
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24))
    crc =
      (t[1792 + (low & 255)] as number) ^
      (t[1536 + ((low >>> 8) & 255)] as number) ^
      (t[1280 + ((low >>> 16) & 255)] as number) ^
      (t[1024 + (low >>> 24)] as number) ^
      (t[768 + (bytes[at + 4] as number)] as number) ^
      (t[512 + (bytes[at + 5] as number)] as number) ^
      (t[256 + (bytes[at + 6] as number)] as number) ^
      (t[bytes[at + 7] as number] as number)
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] as number)) & 255] as number)
  return ~crc >>> 0
}

/**
 * Copies `source[start, end)` to `target[at, ...)`.
 * @returns its CRC-32, continued from `seed`
 */
export function copyWithCrc32(
  source: Buffer,
  start: number,
  end: number,
  target: Buffer,
  at: number,
  seed: number,
): number {
  if (end - start < COPY_NATIVE_FROM) {
    for (let from = start, to = at; from < end; from++, to++) target[to] = source[from] as number
    return crc32Of(source, start, end, seed)
  }
  const run = runOf(source, start, end)
  target.set(run, at)
  return end - start < NATIVE_FROM ? crc32Of(source, start, end, seed) : crc32(run, seed)
}

/** As `subarray` does, but for a Uint8Array: a third of the cost. */
function runOf(bytes: Buffer, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)
}
