import { PROPERTIES_BYTES_MAX } from '@tandemmq/protocol'
import { BrokerError } from './broker-error.ts'

const NAME_END = 0x01
const VALUE_END = 0x02

/** Room for a block at the limit and for what a rewrite may add before the limit is checked. */
const SCRATCH_BYTES = 4 * PROPERTIES_BYTES_MAX

/** `name` U+0001, as it stands in a property block. */
export function propertyHead(name: string): Buffer {
  return Buffer.from(`${name}\x01`, 'utf8')
}

/**
 * Copies a property block (remoting.md 3.1) without decoding it: some names are left out, some are noted, some are
 * appended. One instance per purpose, reused; `bytes[0, end)` is valid until the next {@link load}.
 */
export class PropertyRewriter {
  readonly bytes = Buffer.allocUnsafe(SCRATCH_BYTES)
  end = 0
  /** Value range in the source of the n-th name given to the constructor (dropped ones first), -1 when absent. */
  readonly starts: Int32Array
  readonly ends: Int32Array
  readonly #names: Buffer[]
  readonly #dropped: number
  /** Names by their first byte, so that most properties of a message are passed over after one look. */
  readonly #byFirstByte: (number[] | undefined)[] = Array.from({ length: 256 }, () => undefined)

  constructor(names: { drop: readonly string[]; note?: readonly string[] }) {
    this.#names = [...names.drop, ...(names.note ?? [])].map((name) => Buffer.from(name, 'utf8'))
    this.#dropped = names.drop.length
    for (const [n, name] of this.#names.entries()) (this.#byFirstByte[name[0] as number] ??= []).push(n)
    this.starts = new Int32Array(this.#names.length)
    this.ends = new Int32Array(this.#names.length)
  }

  /** Copies `source[start, end)` but for the dropped names. Of a repeated name the last value counts, as in Java. */
  load(source: Buffer, start: number, end: number): void {
    this.starts.fill(-1)
    this.ends.fill(-1)
    this.end = 0
    let keptFrom = start
    let at = start
    while (at < end) {
      const entry = at
      const candidates = this.#byFirstByte[source[at] as number]
      const name = candidates === undefined ? -1 : this.#nameAt(candidates, source, at, end)
      while (at < end && source[at] !== VALUE_END) at++
      if (name >= 0) {
        this.starts[name] = entry + (this.#names[name] as Buffer).length + 1
        this.ends[name] = at
        if (name < this.#dropped) {
          this.#copy(source, keptFrom, entry)
          keptFrom = at + 1
        }
      }
      at++
    }
    this.#copy(source, keptFrom, end)
    if (this.end > 0 && this.bytes[this.end - 1] !== VALUE_END) this.bytes[this.end++] = VALUE_END
  }

  /** Appends `head` (see {@link propertyHead}) with a value taken from elsewhere. */
  put(head: Buffer, value: Buffer, start: number, end: number): void {
    this.#copy(head, 0, head.length)
    this.#copy(value, start, end)
    this.bytes[this.end++] = VALUE_END
  }

  /** Appends a property; separators inside `text` become spaces, else they would forge further properties. */
  putText(head: Buffer, text: string): void {
    this.#copy(head, 0, head.length)
    const from = this.end
    this.end += this.bytes.write(text, from, SCRATCH_BYTES - from - 1, 'utf8')
    for (let at = from; at < this.end; at++) {
      if (this.bytes[at] === NAME_END || this.bytes[at] === VALUE_END) this.bytes[at] = 0x20
    }
    this.bytes[this.end++] = VALUE_END
  }

  /** Appends a property whose value is a number >= 0. */
  putNumber(head: Buffer, value: number): void {
    this.#copy(head, 0, head.length)
    if (value < 10) this.bytes[this.end++] = 0x30 + value
    else this.end += this.bytes.write(String(value), this.end, 'latin1')
    this.bytes[this.end++] = VALUE_END
  }

  /** @throws {BrokerError} MESSAGE_ILLEGAL when the block outgrew its length field */
  verifySize(): void {
    if (this.end > PROPERTIES_BYTES_MAX) {
      throw new BrokerError('MESSAGE_ILLEGAL', `properties exceed ${PROPERTIES_BYTES_MAX} bytes (${this.end})`)
    }
  }

  #nameAt(candidates: number[], source: Buffer, at: number, end: number): number {
    for (let i = 0; i < candidates.length; i++) {
      const n = candidates[i] as number
      const name = this.#names[n] as Buffer
      const length = name.length
      if (at + length >= end || source[at + length] !== NAME_END) continue
      let same = 0
      while (same < length && source[at + same] === name[same]) same++
      if (same === length) return n
    }
    return -1
  }

  #copy(source: Buffer, from: number, to: number): void {
    const length = to - from
    if (length <= 0) return
    if (this.end + length >= SCRATCH_BYTES) {
      throw new BrokerError('MESSAGE_ILLEGAL', `properties exceed ${PROPERTIES_BYTES_MAX} bytes`)
    }
    // A call into native code costs as much as moving this many bytes here.
    if (length < 48) {
      const bytes = this.bytes
      for (let i = 0; i < length; i++) bytes[this.end + i] = source[from + i] as number
    } else source.copy(this.bytes, this.end, from, to)
    this.end += length
  }
}

/** Decimal digits in `bytes[start, end)` as a number; NaN when it is anything else or would exceed 2^53. */
export function decimalAt(bytes: Buffer, start: number, end: number): number {
  if (start < 0 || start >= end || end - start > 16) return Number.NaN
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : Number.NaN
}
