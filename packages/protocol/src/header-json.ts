import { LanguageCode } from './codes.ts'
import { hashStep } from './fields.ts'
import type { HeaderSlots } from './header-slots.ts'
import { escapeLength } from './unescape.ts'

// Scans the JSON header every RocketMQ client writes (remoting.md 1.2) and keeps offsets only. It understands a subset of JSON: known
// members once each, integers, ext values that are strings. Every function answers -1 or false for anything else, and
// header-fallback.ts then reads the header with JSON.parse.

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPEN = 0x7b
const CLOSE = 0x7d

/** A name or word with its closing quote, kept in four-byte words: comparing a word costs no more than comparing a byte. */
interface Expected {
  length: number
  /** Where each word begins; the last one may overlap the one before. */
  offsets: number[]
  words: number[]
}

function expected(text: string): Expected {
  const bytes = Buffer.from(`${text}"`)
  const last = bytes.length - 4
  const offsets = Array.from({ length: Math.ceil(bytes.length / 4) }, (_, index) => Math.min(4 * index, last))
  return { length: bytes.length, offsets, words: offsets.map((offset) => bytes.readInt32LE(offset)) }
}

const CODE = expected('code')
const EXT_FIELDS = expected('extFields')
const FLAG = expected('flag')
const LANGUAGE = expected('language')
const OPAQUE = expected('opaque')
const REMARK = expected('remark')
const SERIALIZE_TYPE = expected('serializeTypeCurrentRPC')
const VERSION = expected('version')

/** In the order of their ordinals; with both quotes, because GO alone is shorter than a word. */
const LANGUAGES = Object.keys(LanguageCode).map((name) => expected(`"${name}`))

const SEEN_CODE = 1

/** 1 for the bytes a string is passed over by at full speed: ASCII but controls, quote and backslash. */
const PLAIN = new Uint8Array(256)
for (let byte = 0x20; byte < 0x80; byte++) PLAIN[byte] = byte === QUOTE || byte === BACKSLASH ? 0 : 1

/** @returns false when the header is not of the ordinary form; the slots are then to be reset */
export function scanJsonHeader(slots: HeaderSlots, bytes: Buffer, start: number, end: number): boolean {
  let at = skipSpace(bytes, start, end)
  if (at >= end || bytes[at] !== OPEN) return false
  let seen = 0
  do {
    at++
    if (bytes[at] !== QUOTE) at = skipSpace(bytes, at, end)
    if (at >= end || bytes[at] !== QUOTE) return false
    at++
    const first = bytes[at]
    let bit = 0
    if (first === 0x63 && matches(slots.words, at, end, CODE)) {
      bit = SEEN_CODE
      at = scanInteger(slots, bytes, afterColon(bytes, at + CODE.length, end), end)
      slots.code = slots.scannedNumber
    } else if (first === 0x65 && matches(slots.words, at, end, EXT_FIELDS)) {
      bit = 2
      at = scanExtFields(slots, bytes, afterColon(bytes, at + EXT_FIELDS.length, end), end)
    } else if (first === 0x66 && matches(slots.words, at, end, FLAG)) {
      bit = 4
      at = scanInteger(slots, bytes, afterColon(bytes, at + FLAG.length, end), end)
      slots.flag = slots.scannedNumber
    } else if (first === 0x6c && matches(slots.words, at, end, LANGUAGE)) {
      bit = 8
      at = scanLanguage(slots, bytes, afterColon(bytes, at + LANGUAGE.length, end), end)
    } else if (first === 0x6f && matches(slots.words, at, end, OPAQUE)) {
      bit = 16
      at = scanInteger(slots, bytes, afterColon(bytes, at + OPAQUE.length, end), end)
      slots.opaque = slots.scannedNumber
    } else if (first === 0x72 && matches(slots.words, at, end, REMARK)) {
      bit = 32
      at = scanRemark(slots, bytes, afterColon(bytes, at + REMARK.length, end), end)
    } else if (first === 0x73 && matches(slots.words, at, end, SERIALIZE_TYPE)) {
      bit = 64
      at = scanQuoted(slots, bytes, afterColon(bytes, at + SERIALIZE_TYPE.length, end), end)
    } else if (first === 0x76 && matches(slots.words, at, end, VERSION)) {
      bit = 128
      at = scanInteger(slots, bytes, afterColon(bytes, at + VERSION.length, end), end)
      slots.version = slots.scannedNumber
    }
    if (at < 0 || bit === 0 || (seen & bit) !== 0) return false
    seen |= bit
    if (bytes[at] !== COMMA) at = skipSpace(bytes, at, end)
  } while (at < end && bytes[at] === COMMA)
  if (at >= end || bytes[at] !== CLOSE) return false
  return (seen & SEEN_CODE) !== 0 && skipSpace(bytes, at + 1, end) === end
}

function skipSpace(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at < end) {
    const byte = bytes[at] as number
    if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) break
    at++
  }
  return at
}

function matches(words: DataView, at: number, end: number, name: Expected): boolean {
  if (end - at < name.length) return false
  const offsets = name.offsets
  for (let index = 0; index < offsets.length; index++) {
    if (words.getInt32(at + (offsets[index] as number), true) !== name.words[index]) return false
  }
  return true
}

/** Position of the value after a name, or -1. */
function afterColon(bytes: Buffer, start: number, end: number): number {
  let at = start
  if (bytes[at] !== COLON) at = skipSpace(bytes, at, end)
  if (at >= end || bytes[at] !== COLON) return -1
  at++
  return (bytes[at] as number) > 0x20 ? at : skipSpace(bytes, at, end)
}

/** An i32 as JSON writes it. Fractions, exponents and longer numbers are left to the slow path. */
function scanInteger(slots: HeaderSlots, bytes: Buffer, start: number, end: number): number {
  if (start < 0 || start >= end) return -1
  const negative = bytes[start] === MINUS
  const digits = negative ? start + 1 : start
  let at = digits
  let value = 0
  while (at < end) {
    const byte = bytes[at] as number
    if (byte < ZERO || byte > NINE) break
    value = value * 10 + (byte - ZERO)
    at++
  }
  const count = at - digits
  if (count === 0 || count > 10 || (count > 1 && bytes[digits] === ZERO)) return -1
  if (value > (negative ? 0x80000000 : 0x7fffffff)) return -1
  const next = bytes[at] as number
  // The body lies behind the header, so bytes[at] exists or the header is cut short; '.', 'e' and 'E' make it another number.
  if (at < end && (next === 0x2e || next === 0x65 || next === 0x45)) return -1
  slots.scannedNumber = (negative ? -value : value) | 0
  return at
}

function scanLanguage(slots: HeaderSlots, bytes: Buffer, start: number, end: number): number {
  if (start < 0 || start >= end || bytes[start] !== QUOTE) return -1
  for (let language = 0; language < LANGUAGES.length; language++) {
    const name = LANGUAGES[language] as Expected
    if (matches(slots.words, start, end, name)) {
      slots.language = language
      return start + name.length
    }
  }
  return -1
}

function scanRemark(slots: HeaderSlots, bytes: Buffer, start: number, end: number): number {
  const at = scanQuoted(slots, bytes, start, end)
  if (at < 0) return -1
  slots.remarkStart = start + 1
  slots.remarkEnd = at - 1
  slots.remarkEscaped = slots.scannedEscape
  return at
}

function scanExtFields(slots: HeaderSlots, bytes: Buffer, start: number, end: number): number {
  if (start < 0 || start >= end || bytes[start] !== OPEN) return -1
  let at = skipSpace(bytes, start + 1, end)
  if (at < end && bytes[at] === CLOSE) return at + 1
  for (;;) {
    if (at >= end || bytes[at] !== QUOTE) return -1
    const keyStart = at + 1
    const letter = (bytes[keyStart] as number) - 97
    let keyEnd = at + 2
    const short = bytes[keyEnd] === QUOTE && letter >= 0 && letter < 26
    if (!short) {
      keyEnd = scanKey(slots, bytes, keyStart, end)
      if (keyEnd < 0) return -1
    }
    const hash = slots.scannedHash
    let valueStart = keyEnd + 3
    if (bytes[keyEnd + 1] !== COLON || bytes[keyEnd + 2] !== QUOTE) {
      at = afterColon(bytes, keyEnd + 1, end)
      if (at < 0 || at >= end || bytes[at] !== QUOTE) return -1
      valueStart = at + 1
    }
    at = valueStart
    while (at < end && PLAIN[bytes[at] as number] === 1) at++
    let escaped = 0
    if (at < end && bytes[at] !== QUOTE) {
      at = scanRest(slots, bytes, at, end)
      escaped = slots.scannedEscape
    }
    if (at < 0 || at >= end) return -1
    if (short) {
      if (!slots.addLetter(letter, keyStart, valueStart, at, escaped)) return -1
    } else if (slots.addField(keyStart, keyEnd, hash, valueStart, at, escaped) >= 0) return -1
    at++
    if (bytes[at] !== COMMA) {
      at = skipSpace(bytes, at, end)
      if (at >= end) return -1
      if (bytes[at] === CLOSE) return at + 1
      if (bytes[at] !== COMMA) return -1
    }
    at++
    if (bytes[at] !== QUOTE) at = skipSpace(bytes, at, end)
  }
}

/** A name without escapes; leaves its hash. */
function scanKey(slots: HeaderSlots, bytes: Buffer, start: number, end: number): number {
  let hash = 0
  let at = start
  while (at < end && PLAIN[bytes[at] as number] === 1) {
    hash = hashStep(hash, bytes[at] as number)
    at++
  }
  if (at >= end || bytes[at] !== QUOTE) return -1
  slots.scannedHash = hash
  return at
}

/** Position behind the closing quote, or -1; leaves whether the text has escapes. */
function scanQuoted(slots: HeaderSlots, bytes: Buffer, start: number, end: number): number {
  if (start < 0 || start >= end || bytes[start] !== QUOTE) return -1
  let at = start + 1
  while (at < end && PLAIN[bytes[at] as number] === 1) at++
  if (at >= end) return -1
  slots.scannedEscape = 0
  if (bytes[at] !== QUOTE) {
    at = scanRest(slots, bytes, at, end)
    if (at < 0) return -1
  }
  return at + 1
}

/**
 * Goes on in a string from its first byte that is not plain. Position of the closing quote, or -1; leaves whether the text has escapes and,
 * for the UTF-8 check, whether it has other bytes than ASCII.
 */
function scanRest(slots: HeaderSlots, bytes: Buffer, start: number, end: number): number {
  let at = start
  let escape = 0
  while (at < end) {
    const byte = bytes[at] as number
    if (byte === BACKSLASH) {
      const length = escapeLength(bytes, at, end)
      if (length === 0) return -1
      escape = 1
      at += length
    } else if (byte === QUOTE) {
      slots.scannedEscape = escape
      return at
    } else if (byte < 0x20) {
      return -1
    } else {
      slots.scannedBits |= byte
      at++
    }
    while (at < end && PLAIN[bytes[at] as number] === 1) at++
  }
  return -1
}
