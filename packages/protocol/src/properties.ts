import { ProtocolError } from './errors.ts'

// Property string (MessageDecoder.java, remoting.md 3.1): name U+0001 value U+0002, repeated, UTF-8.

const NAME_END = '\u0001'
const ENTRY_END = '\u0002'

/**
 * Encodes properties in the order of their keys in the object.
 * @throws {ProtocolError} FIELD_INVALID when a name is empty or a name or value holds U+0001 or U+0002: it would become other properties
 */
export function encodeProperties(properties: Record<string, string>): Buffer {
  let text = ''
  for (const [name, value] of Object.entries(properties)) {
    if (name === '' || hasSeparator(name) || hasSeparator(value)) {
      throw new ProtocolError(
        'FIELD_INVALID',
        `property ${JSON.stringify(name)}: empty name, or U+0001 or U+0002 inside`,
      )
    }
    text += name + NAME_END + value + ENTRY_END
  }
  return Buffer.from(text, 'utf8')
}

/**
 * Decodes a property string as Java 5.x does: the last of a repeated name counts, an entry without name, separator or value is dropped, the last
 * U+0002 may be missing.
 * @returns object with null prototype
 */
export function decodeProperties(bytes: Buffer, start = 0, end = bytes.length): Record<string, string> {
  const properties: Record<string, string> = Object.create(null)
  if (end === start) return properties
  for (const entry of bytes.toString('utf8', start, end).split(ENTRY_END)) {
    const nameEnd = entry.indexOf(NAME_END)
    if (nameEnd > 0 && nameEnd + 1 < entry.length) properties[entry.slice(0, nameEnd)] = entry.slice(nameEnd + 1)
  }
  return properties
}

function hasSeparator(text: string): boolean {
  return text.includes(NAME_END) || text.includes(ENTRY_END)
}
