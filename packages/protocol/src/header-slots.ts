import type { FieldName } from './fields.ts'
import { ProtocolError } from './errors.ts'

const FIELDS_AT_FIRST = 32
/** Finding repeated names is quadratic in the worst case: this keeps a hostile header below a millisecond. */
export const FIELDS_MAX = 512

/** Numbers kept of each field, and which is where. */
export const FIELD_STRIDE = 6
export const KEY_START = 0
export const KEY_END = 1
export const KEY_HASH = 2
export const VALUE_START = 3
export const VALUE_END = 4
export const VALUE_ESCAPED = 5

const EMPTY = Buffer.alloc(0)

/** What the scanners fill: where each field lies. The public face is HeaderView. */
export class HeaderSlots {
  /** Bytes that hold the body, and the header unless it had to be parsed the slow way. */
  bytes: Buffer = EMPTY
  bodyStart = 0
  bodyEnd = 0
  code = 0
  /** Ordinal, see LanguageCode; OTHER for one we do not know. */
  language = 7
  version = 0
  opaque = 0
  flag = 0
  /** 0 JSON, 1 ROCKETMQ binary. */
  serialization: 0 | 1 = 0
  /** Number of ext fields. */
  fieldCount = 0

  /** @internal Holds keys, values and remark: `bytes`, or a side buffer after the slow parse. */
  source: Buffer = EMPTY
  /** @internal Over `bytes`, for comparing four of them at once. */
  words: DataView = new DataView(new ArrayBuffer(0))
  /** @internal Where the fields lie: FIELD_STRIDE numbers for each, one array because one base pointer is loaded faster than six. */
  fields = new Int32Array(FIELDS_AT_FIRST * FIELD_STRIDE)
  /** @internal Bit n: the one-letter field 'a' + n is there, at letterIndexes[n]. */
  letterMask = 0
  /** @internal */
  letterIndexes = new Int32Array(26)
  /** @internal Bit hash & 31 of each longer name: a new bit means a new name, without a search. */
  keyBits = 0
  /** @internal */
  remarkStart = -1
  /** @internal */
  remarkEnd = -1
  /** @internal */
  remarkEscaped = 0
  /** @internal Result of the last number, string or key scanned. */
  scannedNumber = 0
  /** @internal */
  scannedEscape = 0
  /** @internal */
  scannedHash = 0
  /** @internal All scanned bytes or-ed together: bit 7 asks for a UTF-8 check. */
  scannedBits = 0

  /** @internal */
  reset(bytes: Buffer): void {
    // Sockets deliver into one buffer that is used again: a new view is rare.
    if (bytes !== this.bytes) this.words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.bytes = bytes
    this.source = bytes
    this.code = 0
    this.language = 7
    this.version = 0
    this.opaque = 0
    this.flag = 0
    this.fieldCount = 0
    this.letterMask = 0
    this.keyBits = 0
    this.remarkStart = -1
    this.remarkEnd = -1
    this.remarkEscaped = 0
    this.scannedBits = 0
  }

  /**
   * @internal Adds a field and returns -1, or returns the index of the field of the same name and adds nothing.
   * @throws {ProtocolError} HEADER_INVALID above {@link FIELDS_MAX} fields
   */
  addField(
    keyStart: number,
    keyEnd: number,
    hash: number,
    valueStart: number,
    valueEnd: number,
    escaped: number,
  ): number {
    if (keyEnd - keyStart === 1) {
      const letter = (this.source[keyStart] as number) - 97
      if (letter >= 0 && letter < 26) {
        const added = this.addLetter(letter, keyStart, valueStart, valueEnd, escaped)
        return added ? -1 : (this.letterIndexes[letter] as number)
      }
    }
    const bit = 1 << (hash & 31)
    if (this.keyBits & bit) {
      const same = this.indexOfKey(this.source, keyStart, keyEnd, hash)
      if (same >= 0) return same
    }
    this.keyBits |= bit
    this.#append(keyStart, keyEnd, hash, valueStart, valueEnd, escaped)
    return -1
  }

  /** @internal The same for the one-letter name 'a' + letter; false when it is there already. */
  addLetter(letter: number, keyStart: number, valueStart: number, valueEnd: number, escaped: number): boolean {
    if ((this.letterMask >>> letter) & 1) return false
    this.letterMask |= 1 << letter
    this.letterIndexes[letter] = this.fieldCount
    this.#append(keyStart, keyStart + 1, letter + 97, valueStart, valueEnd, escaped)
    return true
  }

  #append(keyStart: number, keyEnd: number, hash: number, valueStart: number, valueEnd: number, escaped: number): void {
    const at = this.fieldCount * FIELD_STRIDE
    if (at === this.fields.length) this.#grow()
    const fields = this.fields
    fields[at + KEY_START] = keyStart
    fields[at + KEY_END] = keyEnd
    fields[at + KEY_HASH] = hash
    fields[at + VALUE_START] = valueStart
    fields[at + VALUE_END] = valueEnd
    fields[at + VALUE_ESCAPED] = escaped
    this.fieldCount++
  }

  /** Index of the ext field of that name, -1 when absent. */
  find(name: FieldName): number {
    return this.indexOfKey(name.bytes, 0, name.bytes.length, name.hash)
  }

  /** @internal */
  indexOfKey(bytes: Buffer, start: number, end: number, hash: number): number {
    const count = this.fieldCount
    const fields = this.fields
    for (let index = 0, at = 0; index < count; index++, at += FIELD_STRIDE) {
      if (fields[at + KEY_HASH] === hash && this.#keyEquals(at, bytes, start, end)) return index
    }
    return -1
  }

  /** @internal Moves the value of a field, for a name that came again. */
  moveValue(index: number, valueStart: number, valueEnd: number): void {
    this.fields[index * FIELD_STRIDE + VALUE_START] = valueStart
    this.fields[index * FIELD_STRIDE + VALUE_END] = valueEnd
  }

  #grow(): void {
    const size = this.fields.length * 2
    if (size > FIELDS_MAX * FIELD_STRIDE) throw new ProtocolError('HEADER_INVALID', `more than ${FIELDS_MAX} fields`)
    const larger = new Int32Array(size)
    larger.set(this.fields)
    this.fields = larger
  }

  #keyEquals(field: number, bytes: Buffer, start: number, end: number): boolean {
    const source = this.source
    let at = this.fields[field + KEY_START] as number
    if ((this.fields[field + KEY_END] as number) - at !== end - start) return false
    for (let other = start; other < end; other++) {
      if (source[at++] !== bytes[other]) return false
    }
    return true
  }
}
