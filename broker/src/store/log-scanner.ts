import { readInt64, RecordView } from '@tandemmq/protocol'
import { BLANK_BYTES, CHECKSUM_BYTES, EntryAt } from './log-entry.ts'
import { LogReader } from './log-reader.ts'
import type { Segment, Segments } from './segments.ts'
import { StoreError } from './store-error.ts'
import type { DamagedRange } from './store-state.ts'

const PROGRESS_RECORDS = 1_024

export interface ScanOptions {
  segments: Segments
  segmentBytes: number
  /** Where reading begins: the first entry of the log, or one behind it when all before is known. */
  from: number
  /** Store time of the last record before `from`, ms. */
  lastTimestamp: number
  /** The log was durable up to here, as the journal remembers. */
  durable: number
  /** Ranges somebody accepted before. */
  accepted: readonly DamagedRange[]
  /** Now and then: log offset read up to, and where the files end. */
  onProgress(offset: number, end: number): void
  /** Skip damage instead of throwing. */
  acceptDamage: boolean
  /** Each valid record in log order; view and bytes are valid during the call only. */
  onRecord(record: RecordView, bytes: Buffer): void
}

export interface ScanResult {
  /** Where the log goes on. */
  end: number
  segment: Segment
  records: number
  lastTimestamp: number
  /** Newly found and accepted. */
  damage: DamagedRange[]
  /** Bytes that were on their way when the power went, removed for good. */
  cut: DamagedRange | undefined
}

/**
 * Reads the log to its end and leaves the files so that the next entry can follow.
 *
 * Where no valid entry starts, one of three is true. (1) Somebody accepted the damage: skip it. (2) The place was durable once
 * (a later marker or the journal says so): damage, LOG_DAMAGED names it. (3) Otherwise it is what a crash may leave of writes
 * nobody was promised, be it a torn record, a hole with whole records behind it, or the clean end: the log ends there, and
 * what lies behind is zeroed, so that no later crash can bring it back.
 */
export class LogScanner {
  readonly #options: ScanOptions
  readonly #segments: Segments
  readonly #reader: LogReader
  readonly #record = new RecordView()
  readonly #result: { records: number; lastTimestamp: number; damage: DamagedRange[] }
  #durable: number

  constructor(options: ScanOptions) {
    this.#options = options
    this.#segments = options.segments
    this.#reader = new LogReader(options.segments)
    this.#durable = options.durable
    this.#result = { records: 0, lastTimestamp: options.lastTimestamp, damage: [] }
  }

  /** @throws {StoreError} LOG_DAMAGED */
  run(): ScanResult {
    let offset = this.#options.from
    let ended = false
    for (;;) {
      const walk = this.#scanFrom(offset)
      ended = walk.ended
      offset = ended ? walk.offset : this.#resolve(walk.offset)
      if (offset === walk.offset) break
    }
    const cut = ended ? undefined : this.#cut(offset)
    const segment = this.#settle(offset, ended)
    this.#syncFrom(offset)
    return { ...this.#result, end: offset, segment, cut }
  }

  /** Walks entry by entry; `ended` when a blank closed the last file. */
  #scanFrom(offset: number): { offset: number; ended: boolean } {
    let segment = this.#segments.find(offset)
    while (segment !== undefined) {
      if (offset >= segment.limit) {
        const next = this.#segments.find(offset)
        if (next === segment) break
        segment = next
        continue
      }
      const kind = this.#reader.kindAt(segment, offset)
      if (kind === 'none') break
      const { size } = this.#reader
      if (kind === 'record') this.#take(segment)
      if (kind === 'marker') this.#noteMarker(this.#reader)
      if (kind === 'blank' && segment === this.#segments.last) return { offset: offset + size, ended: true }
      offset += kind === 'blank' ? size : size + CHECKSUM_BYTES
    }
    return { offset, ended: false }
  }

  #take(segment: Segment): void {
    this.#record.at(this.#reader.bytes, this.#reader.at)
    segment.lastTimestamp = this.#record.storeTimestamp
    this.#result.lastTimestamp = Math.max(this.#result.lastTimestamp, segment.lastTimestamp)
    this.#result.records++
    if (this.#result.records % PROGRESS_RECORDS === 0) {
      this.#options.onProgress(this.#record.physicalOffset, this.#segments.last?.limit ?? 0)
    }
    this.#options.onRecord(this.#record, this.#reader.bytes)
  }

  #noteMarker(reader: LogReader): void {
    this.#durable = Math.max(this.#durable, readInt64(reader.bytes, reader.at + EntryAt.markerDurable))
  }

  /** @returns where the walk goes on; `offset` itself when the log ends there */
  #resolve(offset: number): number {
    const accepted = this.#options.accepted.find(({ from }) => from === offset)
    if (accepted !== undefined) return accepted.to
    const next = this.#searchBehind(offset)
    if (this.#durable <= offset) return offset
    const range = { from: offset, to: next < 0 ? this.#durable : next }
    if (!this.#options.acceptDamage) {
      const where = this.#segments.find(offset)?.path ?? 'a missing file'
      const what = `bytes ${range.from} to ${range.to} of the log are damaged, from byte ${this.#inFile(offset)} of ${where}`
      throw new StoreError('LOG_DAMAGED', `${what}; restore the file, or start with acceptDamage to go on without them`)
    }
    this.#result.damage.push(range)
    return range.to
  }

  #inFile(offset: number): number {
    return offset - (this.#segments.find(offset)?.start ?? offset)
  }

  /** Looks at everything behind `offset` and takes note of its markers. @returns the first valid entry, -1 without one */
  #searchBehind(offset: number): number {
    const pattern = Buffer.of(0xda, 0xa3)
    const search = new LogReader(this.#segments)
    let first = -1
    for (const segment of this.#segments.list) {
      let at = Math.max(offset + 1, segment.start)
      while (at < segment.limit) {
        const count = search.loadSome(segment, at, EntryAt.magic + pattern.length)
        const found = search.bytes.subarray(0, search.at + count).indexOf(pattern, search.at + EntryAt.magic)
        if (found < 0) {
          if (count <= EntryAt.magic + pattern.length) break
          // The pattern may lie across the end of the window.
          at += count - EntryAt.magic - 1
          continue
        }
        at += found - EntryAt.magic - search.at
        const kind = this.#reader.kindAt(segment, at)
        if (kind !== 'record' && kind !== 'marker') {
          at++
          continue
        }
        if (first < 0) first = at
        if (kind === 'marker') this.#noteMarker(this.#reader)
        at += this.#reader.size + CHECKSUM_BYTES
      }
    }
    return first
  }

  /** Zeroes what lies behind `end` in its file and removes later files, except one that was only filled ahead. */
  #cut(end: number): DamagedRange | undefined {
    const own = this.#segments.find(end)
    let last = end
    for (const segment of this.#segments.list.toReversed()) {
      if (segment.limit <= end) break
      const from = Math.max(end, segment.start)
      const used = this.#usedEnd(segment, from)
      // One that was only filled ahead holds nothing to be cut.
      if (used > from) last = Math.max(last, used)
      if (segment === own) this.#zero(segment, end, used)
      else if (used > segment.start) this.#segments.remove([segment])
    }
    return last > end ? { from: end, to: last } : undefined
  }

  /** @returns log offset behind the last byte of `segment` from `offset` on that is not zero */
  #usedEnd(segment: Segment, offset: number): number {
    const zeros = Buffer.alloc(64 << 10)
    let used = offset
    for (let at = offset; at < segment.limit; ) {
      const size = Math.min(zeros.length, this.#reader.loadSome(segment, at, zeros.length))
      if (size <= 0) break
      const { bytes, at: from } = this.#reader
      let index = bytes.compare(zeros, 0, size, from, from + size) === 0 ? -1 : size - 1
      while (index >= 0 && bytes[from + index] === 0) index--
      if (index >= 0) used = at + index + 1
      at += size
    }
    return used
  }

  #zero(segment: Segment, from: number, to: number): void {
    if (to === from) return
    const file = this.#segments.file(segment)
    const zeros = Buffer.alloc(Math.min(1 << 20, to - from))
    for (let at = from; at < to; at += zeros.length) {
      file.write(zeros, 0, Math.min(zeros.length, to - at), at - segment.start)
    }
    file.syncNow()
  }

  #writeAgain(segment: Segment, from: number, to: number): void {
    if (to <= from) return
    const file = this.#segments.file(segment)
    const bytes = Buffer.allocUnsafe(Math.min(1 << 20, to - from))
    for (let at = from; at < to; ) {
      const read = file.read(bytes, 0, Math.min(bytes.length, to - at), at - segment.start)
      if (read === 0) return
      file.write(bytes, 0, read, at - segment.start)
      at += read
    }
  }

  /** @returns the segment the log goes on in, the last of the list from now on */
  #settle(end: number, ended: boolean): Segment {
    const { segmentBytes } = this.#options
    const ahead = this.#segments.list.filter((segment) => segment.start > end)
    const own = this.#segments.list.filter((segment) => segment.start <= end).at(-1)
    const follows = ahead[0]
    for (const segment of ahead) {
      // Kept under its name: the log reaches it by itself.
      if (segment === follows) this.#segments.forget(segment)
      else this.#segments.remove([segment])
    }
    const limit = follows?.start ?? (own?.start ?? 0) + segmentBytes
    if (own !== undefined && !ended && end + BLANK_BYTES <= limit) {
      own.limit = limit
      return own
    }
    if (own !== undefined) own.limit = end
    if (follows !== undefined) this.#segments.remove([follows])
    this.#segments.create(end)
    return this.#segments.add(end, end + segmentBytes)
  }

  /**
   * What a killed process left in the page cache is served from now on, so it must survive the machine as well. Written again,
   * because the process may have ended by a failed sync: then the pages count as clean, and no sync brings them to the disk.
   */
  #syncFrom(end: number): void {
    for (const segment of this.#segments.list) {
      const reaches = Math.min(segment.limit, end)
      this.#writeAgain(segment, Math.max(segment.start, this.#durable), reaches)
      if (reaches > this.#durable || segment === this.#segments.last) this.#segments.file(segment).syncNow()
    }
    // The process may have died between making a file and making its name durable.
    this.#segments.syncNames()
  }
}
