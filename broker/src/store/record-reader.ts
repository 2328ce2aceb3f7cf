import { RecordView } from '@tandemmq/protocol'
import { ColdReader } from './cold-reader.ts'
import type { HotMemory } from './hot-memory.ts'
import { BLANK_BYTES, EntryAt, RECORD_BYTES_MIN } from './log-entry.ts'
import type { LogTail } from './log-tail.ts'
import type { QueueTable } from './queue-table.ts'
import type { Segments } from './segments.ts'
import { StoreError } from './store-error.ts'

/** Places remembered. */
const DAMAGES_MAX = 10_000

/** Finds stored records again: the young ones in memory, the others in the files. */
export class RecordReader {
  readonly #hot: HotMemory
  readonly #tail: LogTail
  readonly #queues: QueueTable
  readonly #segments: Segments
  readonly #cold: ColdReader
  readonly #record = new RecordView()

  readonly #onDamage: ((error: StoreError) => void) | undefined
  readonly #damagedAt = new Set<number>()

  constructor(parts: {
    segments: Segments
    hot: HotMemory
    tail: LogTail
    queues: QueueTable
    onDamage?: (error: StoreError) => void
  }) {
    this.#onDamage = parts.onDamage
    this.#hot = parts.hot
    this.#tail = parts.tail
    this.#queues = parts.queues
    this.#segments = parts.segments
    this.#cold = new ColdReader(parts.segments)
  }

  readInto(physicalOffset: number, size: number, target: Buffer, at: number): boolean {
    const chunk = this.#hot.find(physicalOffset, size)
    if (chunk !== undefined) {
      const from = physicalOffset - chunk.start
      chunk.bytes.copy(target, at, from, from + size)
      return true
    }
    if (physicalOffset < this.#segments.firstOffset || physicalOffset + size > this.#tail.written) return false
    try {
      this.#cold.read(physicalOffset, size, this.#tail.written).copy(target, at)
    } catch (error) {
      this.#report(physicalOffset, error)
      throw error
    }
    return true
  }

  /** Places where reading found damage. */
  get damaged(): number {
    return this.#damagedAt.size
  }

  /** Consumers come back to the same place again and again: it is told once. */
  #report(physicalOffset: number, error: unknown): void {
    if (!(error instanceof StoreError) || this.#damagedAt.has(physicalOffset)) return
    if (this.#damagedAt.size < DAMAGES_MAX) this.#damagedAt.add(physicalOffset)
    this.#onDamage?.(error)
  }

  read(physicalOffset: number, isKnown: boolean): Buffer | undefined {
    const size = this.#sizeAt(physicalOffset)
    const fits = size >= RECORD_BYTES_MIN && physicalOffset + size <= this.#tail.position
    const hot = fits ? this.#hot.find(physicalOffset, size) : undefined
    if (hot === undefined && (!fits || !this.#coldLooksLike(physicalOffset, size))) {
      if (isKnown) this.#refuse(physicalOffset, fits ? size : RECORD_BYTES_MIN)
      return undefined
    }
    const bytes = Buffer.allocUnsafe(size)
    if (!this.readInto(physicalOffset, size, bytes, 0)) return undefined
    return this.#isIndexed(physicalOffset, bytes) ? bytes : undefined
  }

  /** A record begins there, and nothing that looks like one is found: unless retention took it, that is damage. */
  #refuse(offset: number, size: number): void {
    if (offset < this.#segments.firstOffset || offset >= this.#tail.written) return
    const error = new StoreError('LOG_DAMAGED', `bytes ${offset} to ${offset + size} of the log are damaged`)
    this.#report(offset, error)
    throw error
  }

  #sizeAt(offset: number): number {
    const hot = this.#hot.find(offset, BLANK_BYTES)
    if (hot !== undefined) return hot.view.getInt32(offset - hot.start + EntryAt.totalSize)
    if (!(offset >= this.#segments.firstOffset)) return 0
    const at = this.#cold.load(offset, RECORD_BYTES_MIN, this.#tail.written)
    return at < 0 ? 0 : this.#cold.bytes.readInt32BE(at + EntryAt.totalSize)
  }

  /** An offset somebody made up points into the middle of something: that is no damage. */
  #coldLooksLike(offset: number, size: number): boolean {
    const at = this.#cold.load(offset, size, this.#tail.written)
    return at >= 0 && this.#record.at(this.#cold.bytes, at) && this.#record.physicalOffset === offset
  }

  /** A body may contain a perfect record; only what a queue knows was stored. */
  #isIndexed(offset: number, bytes: Buffer): boolean {
    const record = this.#record
    if (!record.at(bytes, 0) || record.physicalOffset !== offset) return false
    const queue = this.#queues.find(record.topic(), record.queueId)
    const { queueOffset } = record
    return queue !== undefined && queueOffset >= queue.minOffset && queue.physicalOffset(queueOffset) === offset
  }
}
