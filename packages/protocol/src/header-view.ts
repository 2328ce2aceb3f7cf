import { isUtf8 } from 'node:buffer'
import { ProtocolError } from './errors.ts'
import type { FieldName } from './fields.ts'
import { scanBinaryHeader } from './header-binary.ts'
import { readJsonHeader } from './header-fallback.ts'
import { scanJsonHeader } from './header-json.ts'
import { FIELD_STRIDE, HeaderSlots, KEY_END, KEY_START, VALUE_END, VALUE_ESCAPED, VALUE_START } from './header-slots.ts'
import { unescapeJson } from './unescape.ts'

const RESPONSE_BIT = 1
const ONEWAY_BIT = 2
const WORD_BYTES = 4
/** Below this a byte loop beats Buffer.copy. */
const SHORT_COPY = 40

/**
 * One received header, read where it lies: which fields there are is known after {@link scan}, a string exists only after
 * it is asked for. Reused for every frame of a connection; nothing it returned by position is valid after the next scan.
 */
export class HeaderView extends HeaderSlots {
  /** The bytes are the frame's own: a part of them may be kept without copying. */
  isGiven = false
  #scratch: Buffer = Buffer.alloc(0)

  get isResponse(): boolean {
    return (this.flag & RESPONSE_BIT) !== 0
  }

  /** No answer is expected, whatever the outcome. */
  get isOneway(): boolean {
    return (this.flag & ONEWAY_BIT) !== 0
  }

  /**
   * Reads the frame `bytes[start, end)`, which begins with its header word.
   * @throws {ProtocolError} HEADER_INVALID
   */
  scan(bytes: Buffer, start: number, end: number, isGiven = false): void {
    this.isGiven = isGiven
    const headerStart = start + WORD_BYTES
    if (headerStart > end) throw new ProtocolError('HEADER_INVALID', 'frame without a header word')
    const headerEnd =
      headerStart +
      (((bytes[start + 1] as number) << 16) | ((bytes[start + 2] as number) << 8) | (bytes[start + 3] as number))
    if (headerEnd > end) throw new ProtocolError('HEADER_INVALID', 'header longer than its frame')
    this.reset(bytes)
    this.bodyStart = headerEnd
    this.bodyEnd = end
    const type = bytes[start]
    if (type === 0) {
      this.serialization = 0
      this.#scanJson(bytes, headerStart, headerEnd)
    } else if (type === 1) {
      this.serialization = 1
      scanBinaryHeader(this, bytes, headerStart, headerEnd)
    } else {
      throw new ProtocolError('HEADER_INVALID', `serialization ${type} is neither JSON (0) nor ROCKETMQ (1)`)
    }
  }

  /** Index of the one-letter field of a V2 send header, -1 when absent. @param code character code of 'a' to 'z' */
  letter(code: number): number {
    const letter = code - 97
    return (this.letterMask >>> letter) & 1 ? (this.letterIndexes[letter] as number) : -1
  }

  /** Name of a field. */
  key(index: number): string {
    return this.source.toString(
      'utf8',
      this.fields[index * FIELD_STRIDE + KEY_START],
      this.fields[index * FIELD_STRIDE + KEY_END],
    )
  }

  /** @throws {ProtocolError} FIELD_MISSING for the index -1 of an absent field, as all readers of one value */
  text(index: number): string {
    if (index < 0) throw new ProtocolError('FIELD_MISSING', 'the header lacks a field this request needs')
    const start = this.fields[index * FIELD_STRIDE + VALUE_START] as number
    const end = this.fields[index * FIELD_STRIDE + VALUE_END] as number
    return this.fields[index * FIELD_STRIDE + VALUE_ESCAPED] === 1
      ? this.#unescaped(start, end)
      : this.source.toString('utf8', start, end)
  }

  /** The field as i32: optional '-', then ASCII digits. @throws {ProtocolError} FIELD_INVALID naming the field */
  integer(index: number): number {
    const value = this.#decimal(index)
    if (!(value >= -0x80000000 && value <= 0x7fffffff)) throw this.#invalidField(index, 'a 32-bit integer')
    return value
  }

  /** The field as integer of |x| < 2^53. @throws {ProtocolError} FIELD_INVALID naming the field */
  long(index: number): number {
    const value = this.#decimal(index)
    if (!Number.isSafeInteger(value)) throw this.#invalidField(index, 'an integer below 2^53')
    return value
  }

  /**
   * As {@link long}, but an i64 beyond 2^53 becomes the nearest safe integer: for times and limits, where Java clients write
   * Long.MAX_VALUE for "no end".
   */
  longClamped(index: number): number {
    const value = this.#decimal(index)
    if (Number.isSafeInteger(value)) return value
    if (Number.isNaN(value) || !isInt64(this.text(index))) throw this.#invalidField(index, 'a 64-bit integer')
    return value < 0 ? -Number.MAX_SAFE_INTEGER : Number.MAX_SAFE_INTEGER
  }

  /** The field as boolean, "true" or "false" in any case. @throws {ProtocolError} FIELD_INVALID naming the field */
  flagOf(index: number): boolean {
    const text = this.text(index).toLowerCase()
    if (text !== 'true' && text !== 'false') throw this.#invalidField(index, 'true or false')
    return text === 'true'
  }

  /** @throws {ProtocolError} FIELD_MISSING naming the field */
  requireField(name: FieldName): number {
    const index = this.find(name)
    if (index < 0) throw new ProtocolError('FIELD_MISSING', `the header has no field ${name.text}`)
    return index
  }

  /** @throws {ProtocolError} FIELD_MISSING */
  requireText(name: FieldName): string {
    return this.text(this.requireField(name))
  }

  /** @throws {ProtocolError} FIELD_MISSING, FIELD_INVALID */
  requireInteger(name: FieldName): number {
    return this.integer(this.requireField(name))
  }

  /** @throws {ProtocolError} FIELD_MISSING, FIELD_INVALID */
  requireLong(name: FieldName): number {
    return this.long(this.requireField(name))
  }

  /** @throws {ProtocolError} FIELD_MISSING, FIELD_INVALID */
  requireFlag(name: FieldName): boolean {
    return this.flagOf(this.requireField(name))
  }

  /** Where the raw value begins inside {@link valueBytes}. */
  valueStart(index: number): number {
    return this.fields[index * FIELD_STRIDE + VALUE_START] as number
  }

  valueEnd(index: number): number {
    return this.fields[index * FIELD_STRIDE + VALUE_END] as number
  }

  /** The raw value holds JSON escapes: use {@link copyValue}, not the raw bytes. */
  valueEscaped(index: number): boolean {
    return this.fields[index * FIELD_STRIDE + VALUE_ESCAPED] === 1
  }

  /** The buffer {@link valueStart} and {@link valueEnd} point into. */
  valueBytes(_index: number): Buffer {
    return this.source
  }

  /**
   * Copies the value as UTF-8 without escapes.
   * @param target has room for valueEnd - valueStart bytes at `at`; no more is written
   * @returns number of bytes written
   */
  copyValue(index: number, target: Buffer, at: number): number {
    const source = this.source
    const start = this.fields[index * FIELD_STRIDE + VALUE_START] as number
    const end = this.fields[index * FIELD_STRIDE + VALUE_END] as number
    if (this.fields[index * FIELD_STRIDE + VALUE_ESCAPED] === 1) return unescapeJson(source, start, end, target, at)
    if (end - start > SHORT_COPY) return source.copy(target, at, start, end)
    for (let from = start, to = at; from < end; from++, to++) target[to] = source[from] as number
    return end - start
  }

  /** Human text of an answer, undefined when there is none. */
  remark(): string | undefined {
    if (this.remarkStart < 0) return undefined
    return this.remarkEscaped === 1
      ? this.#unescaped(this.remarkStart, this.remarkEnd)
      : this.source.toString('utf8', this.remarkStart, this.remarkEnd)
  }

  #scanJson(bytes: Buffer, start: number, end: number): void {
    const ordinary = scanJsonHeader(this, bytes, start, end)
    if ((!ordinary || (this.scannedBits & 0x80) !== 0) && !isUtf8(bytes.subarray(start, end))) {
      throw new ProtocolError('HEADER_INVALID', 'JSON header: not UTF-8')
    }
    if (ordinary) return
    this.reset(bytes)
    readJsonHeader(this, bytes, start, end)
  }

  #unescaped(start: number, end: number): string {
    if (this.#scratch.length < end - start) this.#scratch = Buffer.allocUnsafe(Math.max(1024, 2 * (end - start)))
    return this.#scratch.toString('utf8', 0, unescapeJson(this.source, start, end, this.#scratch, 0))
  }

  /** NaN when the value is not a decimal integer. */
  #decimal(index: number): number {
    if (this.fields[index * FIELD_STRIDE + VALUE_ESCAPED] === 1) {
      const text = this.text(index)
      return /^-?[0-9]+$/.test(text) ? Number(text) + 0 : Number.NaN
    }
    const source = this.source
    const start = this.fields[index * FIELD_STRIDE + VALUE_START] as number
    const end = this.fields[index * FIELD_STRIDE + VALUE_END] as number
    const negative = start < end && source[start] === 0x2d
    let at = negative ? start + 1 : start
    // Written so that the undefined positions of index -1 fail it too.
    if (!(at < end)) return Number.NaN
    let value = 0
    for (; at < end; at++) {
      const digit = (source[at] as number) - 0x30
      if (digit < 0 || digit > 9) return Number.NaN
      value = value * 10 + digit
    }
    return negative ? 0 - value : value
  }

  #invalidField(index: number, expected: string): ProtocolError {
    const text = this.text(index)
    return new ProtocolError(
      'FIELD_INVALID',
      `field ${this.key(index)} is not ${expected}: ${JSON.stringify(text.slice(0, 64))}`,
    )
  }
}

/** @param digits a decimal integer; leading zeros count as digits, a long row of them is not worth converting */
function isInt64(digits: string): boolean {
  return digits.length <= 20 && BigInt.asIntN(64, BigInt(digits)) === BigInt(digits)
}
