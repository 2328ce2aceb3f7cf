import { RecordView, readInt64, RECORD_MAGIC_V1, RECORD_MAGIC_V2 } from '@tandemmq/protocol'
import type { HotChunk, HotMemory } from './hot-memory.ts'
import { CHECKSUM_BYTES, EntryAt, MARKER_BYTES, MARKER_MAGIC } from './log-entry.ts'

const ENTRY_BYTES_MIN = MARKER_BYTES + CHECKSUM_BYTES

/** Walks the part of the log that is in memory, entry by entry. */
export class HotRecords {
  readonly #hot: HotMemory
  #chunk: HotChunk | undefined
  /** What {@link take} found; valid until the next append. */
  readonly record = new RecordView()
  /** False: the entry is a marker, which nobody reads here. */
  isRecord = false

  constructor(hot: HotMemory) {
    this.#hot = hot
  }

  /** @returns bytes of the entry at this log offset, 0 when it is not in memory or of another kind */
  take(offset: number): number {
    let chunk = this.#chunk
    if (chunk === undefined || offset < chunk.start || offset + ENTRY_BYTES_MIN > chunk.end) {
      chunk = this.#chunk = this.#hot.find(offset, ENTRY_BYTES_MIN)
      if (chunk === undefined) return 0
    }
    const at = offset - chunk.start
    if (readInt64(chunk.bytes, at + EntryAt.physicalOffset) !== offset) return 0
    const magic = chunk.view.getUint32(at + EntryAt.magic)
    this.isRecord = magic === RECORD_MAGIC_V1 || magic === RECORD_MAGIC_V2
    if (this.isRecord) return this.record.at(chunk.bytes, at) ? this.record.size + CHECKSUM_BYTES : 0
    return magic === MARKER_MAGIC ? ENTRY_BYTES_MIN : 0
  }
}
