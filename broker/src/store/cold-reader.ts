import { crc32 } from 'node:zlib'
import { CHECKSUM_BYTES } from './log-entry.ts'
import type { Segments } from './segments.ts'
import { messageOf, StoreError } from './store-error.ts'

/** Read at once for a reader that goes forward. */
const AHEAD_BYTES = 128 << 10
/** A read that starts so close behind a window continues it. */
const NEAR_BYTES = 64 << 10
/** Queues that are read side by side meet the same stretch of the log one after the other; 2 MiB in all. */
const WINDOWS = 16

/** A stretch of the log in memory: [from, to) at the start of `bytes`. */
class Window {
  bytes = Buffer.alloc(0)
  view = new DataView(this.bytes.buffer, 0, 0)
  from = 0
  to = 0
  usedAt = 0

  reserve(count: number): void {
    // One of a large record goes with the next use: sixteen of 4 MiB would be held for ever.
    if (count <= this.bytes.length && (this.bytes.length <= AHEAD_BYTES || count > AHEAD_BYTES)) return
    this.bytes = Buffer.allocUnsafeSlow(Math.max(count, AHEAD_BYTES))
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
  }
}

/** Reads entries back from the files: one pread per run, checksum verified, so that a flipped bit is never served. */
export class ColdReader {
  readonly #segments: Segments
  readonly #windows = Array.from({ length: WINDOWS }, () => new Window())
  #current = this.#windows[0] as Window
  #uses = 0
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
    const { bytes, view } = this.#current
    if (at >= 0) {
      const record = bytes.subarray(at, at + size)
      if (crc32(record) === view.getUint32(at + size)) return record
      this.#current.to = this.#current.from
    }
    throw new StoreError('LOG_DAMAGED', `bytes ${offset} to ${offset + size} of the log are damaged`)
  }

  /** What the last {@link load} speaks of. */
  get bytes(): Buffer {
    return this.#current.bytes
  }

  /** @returns where log bytes [offset, offset + size) are in `bytes`, -1 when the file ends before */
  load(offset: number, size: number, end: number): number {
    if (!isIn(this.#current, offset, size) && !this.#find(offset, size)) {
      const segment = this.#segments.find(offset)
      if (segment === undefined) return -1
      const ahead = this.#continues(offset) ? AHEAD_BYTES : 0
      const count = Math.min(Math.max(size, ahead), Math.min(end, segment.limit) - offset)
      if (count < size) return -1
      this.#takeOldest(offset, count)
      this.reads++
      try {
        this.#current.to += this.#segments.file(segment).read(this.#current.bytes, 0, count, offset - segment.start)
      } catch (error) {
        throw new StoreError('LOG_DAMAGED', `bytes ${offset} to ${offset + size} of the log: ${messageOf(error)}`, {
          cause: error,
        })
      }
    }
    return offset + size <= this.#current.to ? offset - this.#current.from : -1
  }

  #find(offset: number, size: number): boolean {
    for (const window of this.#windows) {
      if (!isIn(window, offset, size)) continue
      window.usedAt = ++this.#uses
      this.#current = window
      return true
    }
    return false
  }

  #continues(offset: number): boolean {
    return this.#windows.some(({ from, to }) => offset >= from && offset < to + NEAR_BYTES && to > from)
  }

  #takeOldest(from: number, count: number): void {
    let oldest = this.#current
    for (const window of this.#windows) if (window.usedAt < oldest.usedAt) oldest = window
    oldest.reserve(count)
    oldest.from = oldest.to = from
    oldest.usedAt = ++this.#uses
    this.#current = oldest
  }
}

function isIn({ from, to }: Window, offset: number, size: number): boolean {
  return offset >= from && offset + size <= to
}
