// Numbers as the Java classes Integer, Long and Double read them, because a stock broker compares a property with a number by
// those (broker.md 2.5). Not read: digits outside ASCII and hexadecimal floats.

/** A number of an expression. Its type decides how a property is read that is compared with it. */
export interface SqlNumber {
  readonly type: 'int' | 'long' | 'double'
  /** Rounded when the type is `long` and `exact` is set. */
  readonly value: number
  /** Whole numbers beyond 2^53. */
  readonly exact: bigint | undefined
}

const INT_MAX = 0x7fffffff
const LONG_MAX = 0x7fffffffffffffffn
const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const NINE = 0x39
/** Digits that fit a double without loss. */
const EXACT_DIGITS = 15
const LONG_DIGITS = 19
const powersOfTen = Array.from({ length: EXACT_DIGITS + 1 }, (_, exponent) => 10 ** exponent)
const doubleForm = /^[+-]?(?:NaN|Infinity|(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[fFdD]?)$/

/** @returns undefined when it does not fit 64 bits */
export function wholeNumber(digits: string): SqlNumber | undefined {
  const exact = BigInt(digits)
  if (exact > LONG_MAX) return undefined
  return { type: exact <= INT_MAX ? 'int' : 'long', value: Number(exact), exact: beyondDouble(exact) }
}

export function negated({ type, value, exact }: SqlNumber): SqlNumber {
  return { type, value: value === 0 ? 0 : -value, exact: exact === undefined ? undefined : -exact }
}

/** @returns below 0, 0 or above 0 */
export function compareNumbers(a: SqlNumber, b: SqlNumber): number {
  if (a.type === 'double' || b.type === 'double') return compareDoubles(a.value, b.value)
  const left = a.exact ?? BigInt(a.value)
  const right = b.exact ?? BigInt(b.value)
  return left < right ? -1 : left > right ? 1 : 0
}

/** Compares the text `bytes[start, end)` with a number. @returns -1, 0, 1; NaN when the text is no number of that type */
export function compareText(bytes: Buffer, start: number, end: number, number: SqlNumber): number {
  if (number.type !== 'double') return compareWhole(bytes, start, end, number)
  return readDouble(bytes, start, end) ? compareDoubles(lastDouble, number.value) : Number.NaN
}

/** Compares two texts as doubles. @returns -1, 0, 1; NaN when one is no number */
export function compareTexts(bytes: Buffer, aStart: number, aEnd: number, bStart: number, bEnd: number): number {
  if (!readDouble(bytes, aStart, aEnd)) return Number.NaN
  const left = lastDouble
  return readDouble(bytes, bStart, bEnd) ? compareDoubles(left, lastDouble) : Number.NaN
}

function compareWhole(bytes: Buffer, start: number, end: number, { type, value, exact }: SqlNumber): number {
  const sign = bytes[start]
  let at = sign === MINUS || sign === PLUS ? start + 1 : start
  if (at >= end) return Number.NaN
  while (at < end - 1 && bytes[at] === ZERO) at++
  const digits = end - at
  if (digits > LONG_DIGITS) return Number.NaN
  let found = 0
  for (let index = at; index < end; index++) {
    const byte = bytes[index] as number
    if (byte < ZERO || byte > NINE) return Number.NaN
    found = found * 10 + (byte - ZERO)
  }
  const isNegative = sign === MINUS
  if (type === 'int' && found > (isNegative ? INT_MAX + 1 : INT_MAX)) return Number.NaN
  if (digits > EXACT_DIGITS) return compareLong(bytes.toString('latin1', at, end), isNegative, exact ?? BigInt(value))
  if (isNegative) found = -found
  return found < value ? -1 : found > value ? 1 : 0
}

function compareLong(digits: string, isNegative: boolean, with_: bigint): number {
  const found = isNegative ? -BigInt(digits) : BigInt(digits)
  if (found > LONG_MAX || found < -LONG_MAX - 1n) return Number.NaN
  return found < with_ ? -1 : found > with_ ? 1 : 0
}

let lastDouble = 0

/** Leaves the number in `lastDouble`. @returns false when the text is none */
function readDouble(bytes: Buffer, start: number, end: number): boolean {
  const sign = bytes[start]
  const from = sign === MINUS || sign === PLUS ? start + 1 : start
  let whole = 0
  let pointAt = -1
  for (let at = from; at < end; at++) {
    const byte = bytes[at] as number
    if (byte >= ZERO && byte <= NINE) whole = whole * 10 + (byte - ZERO)
    else if (byte === POINT && pointAt < 0) pointAt = at
    else return readAnyDouble(bytes, start, end)
  }
  const decimals = pointAt < 0 ? 0 : end - pointAt - 1
  const digits = end - from - (pointAt < 0 ? 0 : 1)
  // Two exact doubles, one division: correctly rounded. Everything else takes the long way.
  if (digits === 0 || digits > EXACT_DIGITS) return readAnyDouble(bytes, start, end)
  const value = whole / (powersOfTen[decimals] as number)
  lastDouble = sign === MINUS ? -value : value
  return true
}

function readAnyDouble(bytes: Buffer, start: number, end: number): boolean {
  let from = start
  let to = end
  while (from < to && (bytes[from] as number) <= 0x20) from++
  while (to > from && (bytes[to - 1] as number) <= 0x20) to--
  const text = bytes.toString('latin1', from, to)
  if (!doubleForm.test(text)) return false
  lastDouble = Number(/[fFdD]$/.test(text) ? text.slice(0, -1) : text)
  return true
}

/** The order of Double.compareTo: NaN above everything and equal to itself, -0 below 0. */
export function compareDoubles(a: number, b: number): number {
  if (a < b) return -1
  if (a > b) return 1
  if (Object.is(a, b)) return 0
  if (a === b) return Object.is(a, -0) ? -1 : 1
  return Number.isNaN(a) ? 1 : -1
}

function beyondDouble(value: bigint): bigint | undefined {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? value : undefined
}
