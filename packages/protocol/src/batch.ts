import { ProtocolError } from './errors.ts'
import { PROPERTIES_BYTES_MAX, readInt32 } from './record-layout.ts'

// Body of SEND_BATCH_MESSAGE (MessageDecoder.java encodeMessage, remoting.md 3.6), repeated, big-endian:
//   total size i32 | magic i32 = 0 | body CRC i32 = 0 | flag i32 | body length i32, body | properties length i16, properties

const FIXED_BYTES = 22

export interface BatchEntry {
  flag: number
  body: Uint8Array
  /** Property string, see encodeProperties. */
  properties: Uint8Array
}

/** @throws {ProtocolError} RECORD_INVALID for a property string above 32,767 bytes */
export function encodeBatch(entries: readonly BatchEntry[]): Buffer {
  let total = 0
  for (const { body, properties } of entries) {
    if (properties.length > PROPERTIES_BYTES_MAX) {
      throw new ProtocolError(
        'RECORD_INVALID',
        `properties of ${properties.length} bytes, at most ${PROPERTIES_BYTES_MAX}`,
      )
    }
    total += FIXED_BYTES + body.length + properties.length
  }
  const bytes = Buffer.alloc(total)
  const view = new DataView(bytes.buffer, bytes.byteOffset, total)
  let at = 0
  for (const { flag, body, properties } of entries) {
    view.setInt32(at, FIXED_BYTES + body.length + properties.length)
    view.setInt32(at + 12, flag)
    view.setInt32(at + 16, body.length)
    bytes.set(body, at + 20)
    at += 20 + body.length
    view.setInt16(at, properties.length)
    bytes.set(properties, at + 2)
    at += 2 + properties.length
  }
  return bytes
}

/** Walks over a batch body without allocating: `open`, then `next` until it returns false. */
export class BatchReader {
  flag = 0
  bodyStart = 0
  bodyEnd = 0
  propertiesStart = 0
  propertiesEnd = 0
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  #end = 0

  open(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** @throws {ProtocolError} RECORD_INVALID when the lengths of an entry do not add up */
  next(): boolean {
    const at = this.#at
    if (at === this.#end) return false
    const bytes = this.#bytes
    if (this.#end - at < FIXED_BYTES) throw invalid('entry cut short')
    const end = at + readInt32(bytes, at)
    if (end - at < FIXED_BYTES || end > this.#end) throw invalid('entry longer than the batch')
    const bodyLength = readInt32(bytes, at + 16)
    if (bodyLength < 0 || bodyLength > end - at - FIXED_BYTES) throw invalid('body longer than its entry')
    this.flag = readInt32(bytes, at + 12)
    this.bodyStart = at + 20
    this.bodyEnd = this.bodyStart + bodyLength
    this.propertiesStart = this.bodyEnd + 2
    this.propertiesEnd = end
    const propertiesLength = ((bytes[this.bodyEnd] as number) << 8) | (bytes[this.bodyEnd + 1] as number)
    if (propertiesLength > PROPERTIES_BYTES_MAX || this.propertiesStart + propertiesLength !== end) {
      throw invalid('properties do not fill their entry')
    }
    this.#at = end
    return true
  }
}

/** Where one message of a batch lies. */
export interface BatchPosition {
  flag: number
  bodyStart: number
  bodyEnd: number
  propertiesStart: number
  propertiesEnd: number
}

/** @throws {ProtocolError} RECORD_INVALID */
export function decodeBatch(bytes: Buffer, start = 0, end = bytes.length): BatchPosition[] {
  const reader = new BatchReader()
  reader.open(bytes, start, end)
  const entries: BatchPosition[] = []
  while (reader.next()) {
    const { flag, bodyStart, bodyEnd, propertiesStart, propertiesEnd } = reader
    entries.push({ flag, bodyStart, bodyEnd, propertiesStart, propertiesEnd })
  }
  return entries
}

function invalid(detail: string): ProtocolError {
  return new ProtocolError('RECORD_INVALID', `batch: ${detail}`)
}
