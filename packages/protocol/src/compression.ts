import { deflateSync, inflateSync } from 'node:zlib'
import { ProtocolError } from './errors.ts'
import { SysFlag } from './sys-flag.ts'

/** Clients compress bodies of at least so many bytes (compressMsgBodyOverHowmuch). */
export const COMPRESS_FROM_BYTES = 4096
/** sysFlag bits of what {@link compressBody} returns; 4.9 and Go consumers look at the first bit only. */
export const COMPRESSED_SYS_FLAG = SysFlag.COMPRESSED | SysFlag.COMPRESSION_ZLIB

const LEVEL_DEFAULT = 5

/** Compresses as RocketMQ clients do: zlib, by default at level 5 of 0 to 9. */
export function compressBody(body: Uint8Array, level = LEVEL_DEFAULT): Buffer {
  return deflateSync(body, { level })
}

/**
 * The body as it was before compression; the same buffer when the sysFlag says it is not compressed.
 * @param outputBytesMax no more is inflated than this
 * @throws {ProtocolError} BODY_INVALID for damaged or larger bodies and for LZ4 and ZSTD, which are not supported yet
 */
export function decompressBody(body: Buffer, sysFlag: number, outputBytesMax: number): Buffer {
  if ((sysFlag & SysFlag.COMPRESSED) === 0) return body
  const type = sysFlag & SysFlag.COMPRESSION_MASK
  if (type !== 0 && type !== SysFlag.COMPRESSION_ZLIB) {
    throw new ProtocolError('BODY_INVALID', `compression type 0x${type.toString(16)} is not supported, only zlib is`)
  }
  try {
    return inflateSync(body, { maxOutputLength: outputBytesMax })
  } catch (cause) {
    throw new ProtocolError('BODY_INVALID', `body does not inflate to at most ${outputBytesMax} bytes`, { cause })
  }
}
