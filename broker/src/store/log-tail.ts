import { BLANK_MAGIC, crc32Of, writeInt64 } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { HotChunk, HotMemory } from './hot-memory.ts'
import { BLANK_BYTES, CHECKSUM_BYTES, EntryAt, MARKER_BYTES, MARKER_MAGIC } from './log-entry.ts'
import type { RoomReserve } from './room-reserve.ts'
import type { Segment, Segments } from './segments.ts'
import { isOutOfRoom, messageOf, StoreError } from './store-error.ts'
import type { ZeroFiller } from './zero-filler.ts'

/** How often a full disk is tried again. */
const FULL_RETRY_MS = 500
/** Share of the segment in use at which the file of the next one is made. */
const PREPARE_SHARE = 1 / 2

export interface LogTailOptions {
  clock: Clock
  segments: Segments
  hot: HotMemory
  segmentBytes: number
  filler?: ZeroFiller
  /** A full disk is written again only when this is whole. */
  reserve: RoomReserve
  /** `durable` moved. */
  onDurable(): void
  /** One sync ended well. */
  onSynced?(elapsedMs: number): void
  onFull?(isFull: boolean): void
  /** A full disk took everything that waited. */
  onRoom(): void
  /** A write or sync failed: nothing more may be promised. */
  onBroken(error: Error): void
}

/** The growing end of the log. first durable <= written <= position: promised, in the file, assigned. */
export class LogTail {
  readonly #options: LogTailOptions
  readonly #blank = Buffer.alloc(BLANK_BYTES)
  #segment: Segment
  #unsynced: Segment[] = []
  #syncing = false
  #syncStartedAt = 0
  #broken = false
  #marked: number
  #retry: Timer | undefined
  /** Log offset of the next entry. */
  position: number
  written: number
  durable: number
  #isFull = false

  constructor(options: LogTailOptions, segment: Segment, position: number) {
    this.#options = options
    this.#segment = segment
    this.position = this.written = this.durable = this.#marked = position
  }

  /**
   * @returns a chunk with room for `size` bytes at `used`, which is log offset `position`
   * @throws {StoreError} DISK_FULL, STORE_FENCED
   */
  reserve(size: number): HotChunk {
    // Behind every entry a blank must fit, or the end of the segment could not be told from a torn record.
    if (this.position + size + BLANK_BYTES > this.#segment.limit) this.#roll()
    return this.#options.hot.reserve(this.position, size, this.written)
  }

  advance(chunk: HotChunk, size: number): void {
    chunk.used += size
    this.position += size
  }

  /** The disk has no room: nothing is accepted, everything assigned is kept and written when there is. */
  get isFull(): boolean {
    return this.#isFull
  }

  get segment(): Segment {
    return this.#segment
  }

  /** Puts a marker in front of what follows when more has become durable since the last one. */
  mark(timestamp: number): void {
    if (this.durable === this.#marked) return
    const chunk = this.reserve(MARKER_BYTES + CHECKSUM_BYTES)
    const { view, used } = chunk
    chunk.bytes.fill(0, used, used + MARKER_BYTES)
    view.setInt32(used + EntryAt.totalSize, MARKER_BYTES)
    view.setUint32(used + EntryAt.magic, MARKER_MAGIC)
    writeInt64(view, used + EntryAt.markerDurable, this.durable)
    writeInt64(view, used + EntryAt.markerTimestamp, timestamp)
    writeInt64(view, used + EntryAt.physicalOffset, this.position)
    view.setUint32(used + MARKER_BYTES, crc32Of(chunk.bytes, used, used + MARKER_BYTES))
    this.advance(chunk, MARKER_BYTES + CHECKSUM_BYTES)
    this.#marked = this.durable
  }

  /**
   * Writes everything assigned: one write per run of bytes that lie together in memory.
   * @returns false when the disk is full or broken
   */
  write(): boolean {
    if (this.#broken) return false
    if (this.written === this.position) return true
    const { hot, segments } = this.#options
    try {
      const file = segments.file(this.#segment)
      for (const chunk of hot.from(this.written)) {
        const from = Math.max(this.written, chunk.start)
        file.write(chunk.bytes, from - chunk.start, chunk.used, from - this.#segment.start)
        this.written = chunk.end
      }
    } catch (error) {
      return this.#refuse(error)
    }
    this.#touch()
    return true
  }

  /** Starts fdatasync for everything written, if none runs and anything needs it. `onDurable` follows. */
  sync(): void {
    if (this.#syncing || this.#broken || this.written === this.durable) return
    this.#syncing = true
    this.#syncStartedAt = this.#options.clock.monotonic()
    const files = this.#unsynced
    this.#unsynced = []
    this.#syncNext(files, 0, this.written)
  }

  /** Makes everything written durable on this thread. */
  syncNow(): void {
    if (this.#broken) throw new StoreError('STORE_FENCED', 'the log was fenced before')
    for (const segment of this.#unsynced) this.#options.segments.file(segment).syncNow()
    this.#unsynced = []
    this.durable = this.written
  }

  get isSyncing(): boolean {
    return this.#syncing
  }

  stop(): void {
    this.#broken = true
    this.#retry?.cancel()
    this.#options.filler?.stop()
  }

  #syncNext(files: readonly Segment[], index: number, target: number): void {
    const segment = files[index]
    if (segment === undefined) {
      this.#syncing = false
      this.durable = target
      this.#options.onSynced?.(this.#options.clock.monotonic() - this.#syncStartedAt)
      return this.#options.onDurable()
    }
    try {
      this.#options.segments.file(segment).sync((error) => {
        if (this.#broken) return
        if (error === null) this.#syncNext(files, index + 1, target)
        else this.#break(error)
      })
    } catch (error) {
      this.#break(error)
    }
  }

  #touch(): void {
    if (this.#unsynced.at(-1) !== this.#segment) this.#unsynced.push(this.#segment)
    const { start, limit } = this.#segment
    const { filler, segments } = this.#options
    const share = (this.written - start) / (limit - start)
    if (filler !== undefined) filler.follow(limit, share)
    else if (share > PREPARE_SHARE) {
      segments.prepare(limit, (error) => {
        if (!isOutOfRoom(error)) this.#break(error)
      })
    }
  }

  /** Ends the segment and goes on in the next. */
  #roll(): void {
    const { filler, segments, segmentBytes } = this.#options
    if (!this.write()) throw this.#refusal()
    const { limit, start } = this.#segment
    try {
      segments.create(limit)
      const left = limit - this.position
      if (left > 0) {
        this.#blank.writeInt32BE(left, EntryAt.totalSize)
        this.#blank.writeUInt32BE(BLANK_MAGIC, EntryAt.magic)
        segments.file(this.#segment).write(this.#blank, 0, BLANK_BYTES, this.position - start)
        this.#touch()
      }
    } catch (error) {
      this.#refuse(error)
      throw this.#refusal()
    }
    filler?.release(limit)
    this.#segment = segments.add(limit, limit + segmentBytes)
    this.position = this.written = limit
  }

  #refusal(): StoreError {
    if (!this.isFull) return new StoreError('STORE_FENCED', 'the log could not be written')
    return new StoreError('DISK_FULL', `no room for the log in ${this.#segment.path}`)
  }

  /** Out of room nothing is in doubt: what was assigned stays in memory and is written again, at the same place. */
  #refuse(error: unknown): false {
    if (!isOutOfRoom(error)) {
      this.#break(error)
      return false
    }
    this.waitForRoom()
    return false
  }

  /** Nothing is accepted until what waits could be written. */
  waitForRoom(): void {
    this.#setFull(true)
    this.#retry ??= this.#options.clock.setTimer(FULL_RETRY_MS, () => {
      this.#retry = undefined
      if (this.#broken) return
      if (!this.#hasReserve()) return this.waitForRoom()
      if (!this.write()) return
      this.#setFull(false)
      this.#options.onRoom()
    })
  }

  #setFull(isFull: boolean): void {
    if (this.#isFull === isFull) return
    this.#isFull = isFull
    this.#options.onFull?.(isFull)
  }

  #hasReserve(): boolean {
    try {
      return this.#options.reserve.restore()
    } catch (error) {
      this.#break(error)
      return false
    }
  }

  #break(error: unknown): void {
    if (this.#broken) return
    this.stop()
    this.#options.onBroken(error instanceof Error ? error : new Error(messageOf(error)))
  }
}
