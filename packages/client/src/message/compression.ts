import { COMPRESSED_SYS_FLAG, compressBody } from '@tandemmq/protocol'
import { ClientError } from '../client-error.ts'
import { positive } from '../options.ts'
import type { WireBody } from './message.ts'

export interface CompressionOptions {
  /** Bodies of at least this many bytes are sent zlib-compressed. Default: never. 4096 is what Java clients use. */
  compressOverBytes?: number | undefined
  /** zlib level, 0 (none) to 9 (smallest, slowest). Default 5, as Java clients. */
  compressLevel?: number | undefined
}

export interface Compression {
  /** Infinity: never */
  readonly overBytes: number
  readonly level: number
}

/** @throws {ClientError} OPTION_INVALID */
export function compressionOf(options: CompressionOptions): Compression {
  const level = options.compressLevel ?? 5
  if (!Number.isInteger(level) || level < 0 || level > 9) {
    throw new ClientError('OPTION_INVALID', `compressLevel must be a whole number from 0 to 9, not ${String(level)}`)
  }
  return { overBytes: positive('compressOverBytes', options.compressOverBytes ?? Number.POSITIVE_INFINITY), level }
}

/** Undefined when the body is not smaller compressed: then it travels as it is, which every consumer can read. */
export function compressedBody(body: WireBody, level: number): Buffer | undefined {
  const plain = typeof body === 'string' ? Buffer.from(body) : body
  const packed = compressBody(plain, level)
  return packed.length < plain.length ? packed : undefined
}

export { COMPRESSED_SYS_FLAG }
