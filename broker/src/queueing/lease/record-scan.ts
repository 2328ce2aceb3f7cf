import type { ConsumeQueue } from '../../store/index.ts'
import type { RecordReader } from '../record-reader.ts'
import type { SqlMatcher } from '../sql/index.ts'
import type { MessageFilter } from '../subscription.ts'
import type { LeaseBatch } from './lease-batch.ts'

/** Queue entries looked at per queue and request. */
export const SCAN_MAX = 800

export interface Found {
  readonly offsets: number[]
  records: Buffer[]
  /** Everything before it was looked at. */
  next: number
}

/** Looks through a queue for messages a filter wants. */
export class RecordScan {
  readonly #store: RecordReader
  readonly #sql: SqlMatcher

  constructor(store: RecordReader, sql: SqlMatcher) {
    this.#store = store
    this.#sql = sql
  }

  begin(filter: MessageFilter): void {
    if (filter.kind === 'sql') this.#sql.begin()
  }

  /** Others have a right to the time it would take. */
  isSpent(filter: MessageFilter): boolean {
    return filter.kind === 'sql' && (this.#sql.isTurnSpent || this.#sql.isRequestSpent)
  }

  isWanted(source: ConsumeQueue, at: number, filter: MessageFilter): boolean {
    if (source.size(at) === 0) return false
    return filter.kind === 'tag' ? filter.matches(source.tagsCode(at)) : this.#sql.matches(filter, source, at)
  }

  /** Undefined when there is none any more. @throws {StoreError} LOG_DAMAGED */
  recordOf(source: ConsumeQueue, at: number): Buffer | undefined {
    const size = at >= source.minOffset && at < source.maxOffset ? source.size(at) : 0
    if (size === 0) return undefined
    const record = Buffer.allocUnsafe(size)
    return this.#store.readInto(source.physicalOffset(at), size, record, 0) ? record : undefined
  }

  /**
   * Reads what `batch` has room for, at most `countMax`; it counts them as its own.
   * @throws {StoreError} LOG_DAMAGED
   */
  scan(batch: LeaseBatch, source: ConsumeQueue, from: number, filter: MessageFilter, countMax: number): Found {
    const found: Found = { offsets: [], records: [], next: from }
    const end = Math.min(source.maxOffset, from + SCAN_MAX)
    for (let at = from; at < end && found.offsets.length < countMax; at++) {
      const size = source.size(at)
      if (size > 0) {
        if (this.isSpent(filter)) break
        try {
          if (this.isWanted(source, at, filter)) {
            if (!batch.hasRoomFor(size)) break
            const record = this.recordOf(source, at)
            if (record !== undefined) {
              found.offsets.push(at)
              found.records.push(record)
              batch.reserve(size)
            }
          }
        } catch (error) {
          // Damaged: what was found before it must not stay leased to nobody.
          if (batch.count === 0) throw error
          break
        }
      }
      found.next = at + 1
    }
    return found
  }
}
