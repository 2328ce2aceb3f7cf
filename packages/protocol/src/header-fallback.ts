import { languageCode, languageName, LanguageCode } from './codes.ts'
import { ProtocolError } from './errors.ts'
import { hashStep } from './fields.ts'
import type { HeaderSlots } from './header-slots.ts'

/** Longest JSON header, in bytes, that is parsed the slow way. */
export const FALLBACK_BYTES_MAX = 65_536

/**
 * Reads a JSON header of any form with JSON.parse into the same slots, from a side buffer. As Java does (fastjson): unknown members are ignored,
 * numbers and booleans as ext values become text, null means absent, the last of a repeated name counts.
 * @throws {ProtocolError} HEADER_INVALID
 */
export function readJsonHeader(slots: HeaderSlots, bytes: Buffer, start: number, end: number): void {
  if (end - start > FALLBACK_BYTES_MAX) throw invalid(`unusual and longer than ${FALLBACK_BYTES_MAX} bytes`)
  const header = parse(bytes.toString('utf8', start, end))
  const code = integerMember(header, 'code')
  if (code === undefined) throw invalid('no code')
  slots.code = code
  slots.flag = integerMember(header, 'flag') ?? 0
  slots.opaque = integerMember(header, 'opaque') ?? 0
  slots.version = integerMember(header, 'version') ?? 0
  slots.language = languageOf(member(header, 'language'))
  const writer = new SideBuffer(slots)
  const remark = member(header, 'remark')
  if (remark !== undefined && remark !== null) writer.remark(textOf('remark', remark))
  const extFields = member(header, 'extFields')
  if (extFields !== undefined && extFields !== null) {
    if (typeof extFields !== 'object' || Array.isArray(extFields)) throw invalid('extFields is not an object')
    for (const [name, value] of Object.entries(extFields)) {
      if (value !== null) writer.field(name, textOf(name, value))
    }
  }
  writer.finish()
}

function parse(text: string): object {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ProtocolError('HEADER_INVALID', 'JSON header: not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('not an object')
  return value
}

function member(header: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(header, name)?.value
}

function integerMember(header: object, name: string): number | undefined {
  const value = member(header, name)
  if (value === undefined || value === null) return undefined
  const number = typeof value === 'string' && /^-?[0-9]{1,10}$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || (number | 0) !== number) throw invalid(`${name} is not a 32-bit integer`)
  return number | 0
}

function languageOf(value: unknown): number {
  if (typeof value === 'string') return languageCode(value)
  if (typeof value === 'number' && Number.isInteger(value)) return languageCode(languageName(value))
  return LanguageCode.OTHER
}

function textOf(name: string, value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') {
    // JSON.parse has rounded it: a wrong offset is worse than a refused one.
    if (Number.isInteger(value) && !Number.isSafeInteger(value))
      throw invalid(`${name} is a number beyond 2^53, send text`)
    return String(value)
  }
  if (typeof value === 'boolean') return String(value)
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw new ProtocolError('HEADER_INVALID', `JSON header: ${name} is nested too deeply`, { cause })
  }
}

/** Collects texts first, because their bytes have no place before all are known. */
class SideBuffer {
  readonly #slots: HeaderSlots
  readonly #names: Buffer[] = []
  readonly #values: Buffer[] = []
  #remark: Buffer | undefined

  constructor(slots: HeaderSlots) {
    this.#slots = slots
  }

  remark(text: string): void {
    this.#remark = Buffer.from(text, 'utf8')
  }

  field(name: string, value: string): void {
    this.#names.push(Buffer.from(name, 'utf8'))
    this.#values.push(Buffer.from(value, 'utf8'))
  }

  finish(): void {
    const slots = this.#slots
    const remark = this.#remark ?? Buffer.alloc(0)
    const parts = [remark, ...this.#names.flatMap((name, index) => [name, this.#values[index] as Buffer])]
    slots.source = Buffer.concat(parts)
    if (this.#remark !== undefined) {
      slots.remarkStart = 0
      slots.remarkEnd = remark.length
    }
    let at = remark.length
    for (const [index, name] of this.#names.entries()) {
      const valueStart = at + name.length
      const valueEnd = valueStart + (this.#values[index] as Buffer).length
      let hash = 0
      for (const byte of name) hash = hashStep(hash, byte)
      const same = slots.addField(at, valueStart, hash, valueStart, valueEnd, 0)
      // Two names that differ only in lone surrogates have the same bytes.
      if (same >= 0) slots.moveValue(same, valueStart, valueEnd)
      at = valueEnd
    }
  }
}

function invalid(detail: string): ProtocolError {
  return new ProtocolError('HEADER_INVALID', `JSON header: ${detail}`)
}
