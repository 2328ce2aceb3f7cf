import { ProtocolError } from './errors.ts'
import { addressText } from './host.ts'
import { writeHex, writeHexInt64 } from './text-writer.ts'

// Offset message id (MessageDecoder.java, remoting.md 3.8): upper-case hex of store host address (4 or 16), port (4), physical offset (8).

const ID_LENGTHS = new Set([32, 56])

/** @param host store host field: address bytes and 4 port bytes */
export function offsetMessageId(host: Buffer, physicalOffset: number | bigint): string {
  const offset = BigInt.asUintN(64, BigInt(physicalOffset)).toString(16).padStart(16, '0')
  return host.toString('hex').toUpperCase() + offset.toUpperCase()
}

/** Writes the id as ASCII; returns its length, 32 or 56. */
export function writeOffsetMessageId(target: Buffer, at: number, host: Buffer, physicalOffset: number): number {
  const length = writeHex(target, at, host, 0, host.length)
  return length + writeHexInt64(target, at + length, physicalOffset)
}

/** @throws {ProtocolError} FIELD_INVALID when the text is no such id */
export function parseOffsetMessageId(id: string): { host: string; port: number; physicalOffset: bigint } {
  if (!ID_LENGTHS.has(id.length) || !/^[0-9a-fA-F]+$/.test(id)) {
    throw new ProtocolError('FIELD_INVALID', `not an offset message id: ${JSON.stringify(id.slice(0, 64))}`)
  }
  const bytes = Buffer.from(id, 'hex')
  const end = bytes.length
  return {
    host: addressText(bytes, 0, end - 12),
    port: bytes.readInt32BE(end - 12),
    physicalOffset: bytes.readBigInt64BE(end - 8),
  }
}
