import { languageName, LanguageCode } from './codes.ts'
import { ProtocolError } from './errors.ts'
import { FRAME_BYTES_MAX } from './frame.ts'
import { HeaderView } from './header-view.ts'

const EMPTY = Buffer.alloc(0)
const I16_MAX = 32_767

/** One request or answer with everything copied out; for cold paths. */
export interface RemotingCommand {
  code: number
  flag: number
  opaque: number
  version: number
  language: number
  serialization: 0 | 1
  remark?: string
  /** Header fields; null prototype. */
  extFields: Record<string, string>
  /** Empty when there is none. */
  body: Buffer
}

/** What to put into a frame; the defaults are 0, JSON, no fields and no body. */
export interface CommandInit {
  code: number
  flag?: number
  opaque?: number
  version?: number
  language?: number
  serialization?: 0 | 1
  remark?: string
  /** Values become text; undefined is left out. A binary header cannot carry an empty text: it is left out there. */
  extFields?: Record<string, string | number | bigint | boolean | undefined>
  body?: Uint8Array
}

/** Copies everything out of a view, which may then be reused. */
export function commandOf(view: HeaderView): RemotingCommand {
  const extFields: Record<string, string> = Object.create(null)
  for (let index = 0; index < view.fieldCount; index++) extFields[view.key(index)] = view.text(index)
  const command: RemotingCommand = {
    code: view.code,
    flag: view.flag,
    opaque: view.opaque,
    version: view.version,
    language: view.language,
    serialization: view.serialization,
    extFields,
    body: bodyOf(view),
  }
  const remark = view.remark()
  if (remark !== undefined) command.remark = remark
  return command
}

function bodyOf(view: HeaderView): Buffer {
  if (view.bodyEnd === view.bodyStart) return EMPTY
  const body = view.bytes.subarray(view.bodyStart, view.bodyEnd)
  return view.isGiven ? body : Buffer.from(body)
}

/**
 * Decodes one whole frame, its length field included.
 * @throws {ProtocolError} FRAME_LENGTH_INVALID, HEADER_INVALID
 */
export function decodeCommand(frame: Buffer): RemotingCommand {
  if (frame.length < 8 || frame.length > FRAME_BYTES_MAX || frame.readInt32BE(0) !== frame.length - 4) {
    throw new ProtocolError('FRAME_LENGTH_INVALID', `length field and the frame's ${frame.length} bytes disagree`)
  }
  const view = new HeaderView()
  view.scan(frame, 4, frame.length)
  return commandOf(view)
}

/**
 * Encodes one whole frame, its length field included.
 * @throws {ProtocolError} FRAME_LENGTH_INVALID above FRAME_BYTES_MAX; HEADER_INVALID when a binary header cannot carry a value
 */
export function encodeCommand(init: CommandInit): Buffer {
  const binary = init.serialization === 1
  const header = binary ? binaryHeader(init) : Buffer.from(jsonHeader(init), 'utf8')
  const body = init.body ?? EMPTY
  const total = 8 + header.length + body.length
  if (total > FRAME_BYTES_MAX) {
    throw new ProtocolError('FRAME_LENGTH_INVALID', `frame of ${total} bytes, accepted are ${FRAME_BYTES_MAX}`)
  }
  const frame = Buffer.allocUnsafe(total)
  const view = new DataView(frame.buffer, frame.byteOffset, total)
  view.setInt32(0, total - 4)
  view.setUint32(4, (binary ? 0x01000000 : 0) + header.length)
  frame.set(header, 8)
  frame.set(body, 8 + header.length)
  return frame
}

/** Members in the order Java writes them. */
function jsonHeader(init: CommandInit): string {
  return JSON.stringify({
    code: init.code,
    extFields: init.extFields && Object.fromEntries(fieldsOf(init)),
    flag: init.flag ?? 0,
    language: languageName(init.language ?? LanguageCode.NODE_JS),
    opaque: init.opaque ?? 0,
    remark: init.remark,
    serializeTypeCurrentRPC: 'JSON',
    version: init.version ?? 0,
  })
}

function fieldsOf(init: CommandInit): [string, string][] {
  const fields: [string, string][] = []
  for (const [name, value] of Object.entries(init.extFields ?? {})) {
    if (value !== undefined) fields.push([name, String(value)])
  }
  return fields
}

function binaryHeader(init: CommandInit): Buffer {
  const version = init.version ?? 0
  if (!isI16(init.code) || !isI16(version)) {
    throw new ProtocolError(
      'HEADER_INVALID',
      `a binary header cannot carry code ${init.code}, version ${version}: use JSON`,
    )
  }
  const remark = Buffer.from(init.remark ?? '', 'utf8')
  const fields: Buffer[] = []
  for (const [name, value] of fieldsOf(init)) {
    if (value === '') continue
    const key = Buffer.from(name, 'utf8')
    if (key.length > I16_MAX) throw new ProtocolError('HEADER_INVALID', `field name of ${key.length} bytes`)
    fields.push(binaryField(key, Buffer.from(value, 'utf8')))
  }
  const ext = Buffer.concat(fields)
  const header = Buffer.allocUnsafe(21 + remark.length + ext.length)
  const view = new DataView(header.buffer, header.byteOffset, header.length)
  view.setInt16(0, init.code)
  view.setUint8(2, init.language ?? LanguageCode.NODE_JS)
  view.setInt16(3, version)
  view.setInt32(5, init.opaque ?? 0)
  view.setInt32(9, init.flag ?? 0)
  view.setInt32(13, remark.length)
  header.set(remark, 17)
  view.setInt32(17 + remark.length, ext.length)
  header.set(ext, 21 + remark.length)
  return header
}

function binaryField(key: Buffer, value: Buffer): Buffer {
  const field = Buffer.allocUnsafe(6 + key.length + value.length)
  const view = new DataView(field.buffer, field.byteOffset, field.length)
  view.setInt16(0, key.length)
  field.set(key, 2)
  view.setInt32(2 + key.length, value.length)
  field.set(value, 6 + key.length)
  return field
}

function isI16(value: number): boolean {
  return Number.isInteger(value) && value >= -I16_MAX - 1 && value <= I16_MAX
}
