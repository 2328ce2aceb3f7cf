import { crc32 } from 'node:zlib'
import { CHECKSUM_BYTES } from './log-entry.ts'
import type { Segments } from './segments.ts'
import { messageOf, StoreError } from './store-error.ts'

/** Read at once for a reader that goes forward. */
const AHEAD_BYTES = 128 << 10
/** A read that starts so close behind the window continues it. */
const NEAR_BYTES = 64 << 10

/** Reads entries back from the files: one pread per run, checksum verified, so that a flipped bit is never served. */
export class ColdReader {
  readonly #segments: Segments
  #bytes = Buffer.alloc(0)
  #view = new DataView(this.#bytes.buffer, 0, 0)
  #from = 0
  #to = 0
  reads = 0

  constructor(segments: Segments) {
    this.#segments = segments
  }

  /**
   * @param end log offset before which everything is in the files
   * @returns the record's bytes, valid until the next call
   * @throws {StoreError} LOG_DAMAGED
   */
  read(offset: number, size: number, end: number): Buffer {
    const at = this.load(offset, size + CHECKSUM_BYTES, end)
    if (at >= 0) {
      const record = this.#bytes.subarray(at, at + size)
      if (crc32(record) === this.#view.getUint32(at + size)) return record
    }
    this.#to = this.#from
    throw new StoreError('LOG_DAMAGED', `bytes ${offset} to ${offset + size} of the log are damaged`)
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  /** @returns where log bytes [offset, offset + size) are in `bytes`, -1 when the file ends before */
  load(offset: number, size: number, end: number): number {
    if (offset < this.#from || offset + size > this.#to) {
      const segment = this.#segments.find(offset)
      if (segment === undefined) return -1
      const ahead = offset >= this.#from && offset < this.#to + NEAR_BYTES ? AHEAD_BYTES : 0
      const count = Math.min(Math.max(size, ahead), Math.min(end, segment.limit) - offset)
      if (count < size) return -1
      this.#reserve(count)
      this.#from = this.#to = offset
      this.reads++
      try {
        this.#to += this.#segments.file(segment).read(this.#bytes, 0, count, offset - segment.start)
      } catch (error) {
        throw new StoreError('LOG_DAMAGED', `bytes ${offset} to ${offset + size} of the log: ${messageOf(error)}`, {
          cause: error,
        })
      }
    }
    return offset + size <= this.#to ? offset - this.#from : -1
  }

  #reserve(count: number): void {
    if (count <= this.#bytes.length) return
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(count, AHEAD_BYTES))
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length)
  }
}
