import type { FieldName } from './fields.ts'
import { ProtocolError } from './errors.ts'

const FIELDS_AT_FIRST = 32
/** Finding repeated names is quadratic in the worst case: this keeps a hostile header below a millisecond. */
export const FIELDS_MAX = 512

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
  /** @internal */
  keyStarts = new Int32Array(FIELDS_AT_FIRST)
  /** @internal */
  keyEnds = new Int32Array(FIELDS_AT_FIRST)
  /** @internal */
  keyHashes = new Int32Array(FIELDS_AT_FIRST)
  /** @internal */
  valueStarts = new Int32Array(FIELDS_AT_FIRST)
  /** @internal */
  valueEnds = new Int32Array(FIELDS_AT_FIRST)
  /** @internal */
  valueEscapes = new Uint8Array(FIELDS_AT_FIRST)
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
    const index = this.fieldCount
    if (keyEnd - keyStart === 1) {
      const letter = (this.source[keyStart] as number) - 97
      if (letter >= 0 && letter < 26) {
        if ((this.letterMask >>> letter) & 1) return this.letterIndexes[letter] as number
        this.letterMask |= 1 << letter
        this.letterIndexes[letter] = index
      } else {
        const same = this.indexOfKey(this.source, keyStart, keyEnd, hash)
        if (same >= 0) return same
      }
    } else {
      const bit = 1 << (hash & 31)
      if (this.keyBits & bit) {
        const same = this.indexOfKey(this.source, keyStart, keyEnd, hash)
        if (same >= 0) return same
      }
      this.keyBits |= bit
    }
    if (index === this.keyStarts.length) this.#grow()
    this.keyStarts[index] = keyStart
    this.keyEnds[index] = keyEnd
    this.keyHashes[index] = hash
    this.valueStarts[index] = valueStart
    this.valueEnds[index] = valueEnd
    this.valueEscapes[index] = escaped
    this.fieldCount = index + 1
    return -1
  }

  /** Index of the ext field of that name, -1 when absent. */
  find(name: FieldName): number {
    return this.indexOfKey(name.bytes, 0, name.bytes.length, name.hash)
  }

  /** @internal */
  indexOfKey(bytes: Buffer, start: number, end: number, hash: number): number {
    const count = this.fieldCount
    const hashes = this.keyHashes
    for (let index = 0; index < count; index++) {
      if (hashes[index] === hash && this.#keyEquals(index, bytes, start, end)) return index
    }
    return -1
  }

  #keyEquals(index: number, bytes: Buffer, start: number, end: number): boolean {
    const source = this.source
    let at = this.keyStarts[index] as number
    if ((this.keyEnds[index] as number) - at !== end - start) return false
    for (let other = start; other < end; other++) {
      if (source[at++] !== bytes[other]) return false
    }
    return true
  }

  #grow(): void {
    const size = this.keyStarts.length * 2
    if (size > FIELDS_MAX) throw new ProtocolError('HEADER_INVALID', `more than ${FIELDS_MAX} fields`)
    this.keyStarts = grown(this.keyStarts, size)
    this.keyEnds = grown(this.keyEnds, size)
    this.keyHashes = grown(this.keyHashes, size)
    this.valueStarts = grown(this.valueStarts, size)
    this.valueEnds = grown(this.valueEnds, size)
    const escapes = new Uint8Array(size)
    escapes.set(this.valueEscapes)
    this.valueEscapes = escapes
  }
}

function grown(array: Int32Array<ArrayBuffer>, size: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(size)
  larger.set(array)
  return larger
}
