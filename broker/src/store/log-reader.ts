import { BLANK_MAGIC, crc32Of, readInt64, RECORD_MAGIC_V1, RECORD_MAGIC_V2 } from '@tandemmq/protocol'
import { BLANK_BYTES, CHECKSUM_BYTES, EntryAt, MARKER_BYTES, MARKER_MAGIC, RECORD_BYTES_MIN } from './log-entry.ts'
import type { Segment, Segments } from './segments.ts'

const WINDOW_BYTES = 1 << 20

export type EntryKind = 'record' | 'marker' | 'blank' | 'none'

/** Reads the log's files through a window of 1 MiB and says what lies where. */
export class LogReader {
  readonly #segments: Segments
  bytes = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  view = new DataView(this.bytes.buffer, this.bytes.byteOffset, WINDOW_BYTES)
  #segment: Segment | undefined
  /** Log offsets of the window. */
  #from = 0
  #to = 0
  /** Bytes from this log offset on may still change: they are not read. */
  end = Infinity
  /** Of the last entry found by {@link kindAt}: where it is in `bytes`, and its size without the checksum. */
  at = 0
  size = 0

  constructor(segments: Segments) {
    this.#segments = segments
  }

  /** What starts at `offset` of the log and is valid to its last byte. */
  kindAt(segment: Segment, offset: number): EntryKind {
    if (!this.load(segment, offset, BLANK_BYTES)) return 'none'
    const size = this.view.getInt32(this.at + EntryAt.totalSize)
    const magic = this.view.getUint32(this.at + EntryAt.magic)
    this.size = size
    if (magic === BLANK_MAGIC)
      return size >= BLANK_BYTES && this.#endsSegment(segment, offset + size) ? 'blank' : 'none'
    if (magic === MARKER_MAGIC) return size === MARKER_BYTES && this.#isWhole(segment, offset, size) ? 'marker' : 'none'
    if (magic !== RECORD_MAGIC_V1 && magic !== RECORD_MAGIC_V2) return 'none'
    return size >= RECORD_BYTES_MIN && this.#isWhole(segment, offset, size) ? 'record' : 'none'
  }

  /** As kindAt, but the checksum of a record or marker is not read: for bytes that were checked before. */
  glanceAt(segment: Segment, offset: number): EntryKind {
    if (!this.load(segment, offset, BLANK_BYTES)) return 'none'
    const size = this.view.getInt32(this.at + EntryAt.totalSize)
    const magic = this.view.getUint32(this.at + EntryAt.magic)
    this.size = size
    if (magic === BLANK_MAGIC) return 'blank'
    const isMarker = magic === MARKER_MAGIC && size === MARKER_BYTES
    const isRecord = (magic === RECORD_MAGIC_V1 || magic === RECORD_MAGIC_V2) && size >= RECORD_BYTES_MIN
    if ((!isMarker && !isRecord) || !this.load(segment, offset, size)) return 'none'
    if (readInt64(this.bytes, this.at + EntryAt.physicalOffset) !== offset) return 'none'
    return isMarker ? 'marker' : 'record'
  }

  /** @returns where the first valid entry behind a damaged one at `offset` starts, or the end of the segment */
  nextEntry(segment: Segment, offset: number): number {
    let at = offset + 1
    while (at < segment.limit && this.kindAt(segment, at) === 'none') at++
    return at
  }

  /**
   * Brings log bytes [offset, offset + size) into `bytes` at `at`.
   * @returns false when the file ends before
   */
  load(segment: Segment, offset: number, size: number): boolean {
    if (segment !== this.#segment || offset < this.#from || offset + size > this.#to) {
      if (offset + size > segment.limit) return false
      this.#fill(segment, offset, size)
    }
    this.at = offset - this.#from
    return offset + size <= this.#to
  }

  /** As load, with as much as the window and the file hold. @returns bytes from `at` on, less than `wanted` at the end of the file */
  loadSome(segment: Segment, offset: number, wanted: number): number {
    const size = Math.max(1, Math.min(wanted, segment.limit - offset))
    if (segment !== this.#segment || offset < this.#from || offset + size > this.#to) this.#fill(segment, offset, size)
    this.at = offset - this.#from
    return this.#to - offset
  }

  #fill(segment: Segment, offset: number, size: number): void {
    if (size > this.bytes.length) {
      this.bytes = Buffer.allocUnsafeSlow(size)
      this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, size)
    }
    const count = Math.max(0, Math.min(this.bytes.length, Math.min(segment.limit, this.end) - offset))
    const read = this.#segments.file(segment).read(this.bytes, 0, count, offset - segment.start)
    this.#segment = segment
    this.#from = offset
    this.#to = offset + read
  }

  #isWhole(segment: Segment, offset: number, size: number): boolean {
    if (!this.load(segment, offset, size + CHECKSUM_BYTES)) return false
    // Bytes of a recycled file may hold a perfect record of another place.
    if (readInt64(this.bytes, this.at + EntryAt.physicalOffset) !== offset) return false
    return crc32Of(this.bytes, this.at, this.at + size) === this.view.getUint32(this.at + size)
  }

  /** Without a next file any end will do: the next segment will start there. */
  #endsSegment(segment: Segment, end: number): boolean {
    return segment === this.#segments.last || end <= segment.limit
  }
}
