import { RecordView } from '@tandemmq/protocol'
import type { ConsumeQueue } from '../store/index.ts'

/** One stored record, copied; undefined when retention removed it. */
export type ReadRecord = (physicalOffset: number) => Buffer | undefined

/** @returns when the message at `offset` was stored, ms; -1 when it is gone */
export function storeTimestampAt(queue: ConsumeQueue, offset: number, read: ReadRecord): number {
  if (offset < queue.minOffset || offset >= queue.maxOffset || queue.size(offset) === 0) return -1
  const record = read(queue.physicalOffset(offset))
  if (record === undefined) return -1
  const view = new RecordView()
  return view.at(record, 0) ? view.storeTimestamp : -1
}

/**
 * First offset stored at or after `timestamp`; the end when all are older, the beginning when all are newer. Store times never
 * decrease along a queue.
 */
export function firstAtOrAfter(queue: ConsumeQueue, timestamp: number, read: ReadRecord): number {
  let low = queue.minOffset
  let high = queue.maxOffset
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    // A place without a message says nothing: the next one with a message decides.
    let at = middle
    let storedAt = storeTimestampAt(queue, at, read)
    while (storedAt < 0 && ++at < high) storedAt = storeTimestampAt(queue, at, read)
    if (at < high && storedAt < timestamp) low = at + 1
    else high = middle
  }
  return low
}

/** Last offset stored at or before `timestamp` (boundary UPPER); the beginning when all are newer. */
export function lastAtOrBefore(queue: ConsumeQueue, timestamp: number, read: ReadRecord): number {
  return Math.max(queue.minOffset, firstAtOrAfter(queue, timestamp + 1, read) - 1)
}
