import type { ConsumeQueue } from '../../store/index.ts'
import type { Offsets, QueueLookup } from '../offsets.ts'
import type { LeaseQueue } from './lease-queue.ts'
import type { LeaseTable } from './lease-table.ts'

/** Where a group begins that never leased anything of the queue. */
export function firstOffset(offsets: Offsets, group: string, source: ConsumeQueue, fromEnd: boolean): number {
  const committed = offsets.committed(group, source.topic, source.queueId)
  if (committed >= 0) return Math.min(Math.max(committed, source.minOffset), source.maxOffset)
  // broker.md 6.2.4: the end means the last message, and the beginning as long as nothing of the queue is gone.
  if (!fromEnd || source.minOffset === 0) return source.minOffset
  return Math.max(source.minOffset, source.maxOffset - 1)
}

/** Log offset of the first message somebody holds; Infinity when there is none. */
export function earliestHeld(table: LeaseTable, lookup: QueueLookup): number {
  let earliest = Number.POSITIVE_INFINITY
  for (const queue of table.all()) {
    if (queue.leased === 0 && queue.order === undefined) continue
    const source = lookup(queue.topic, queue.queueId)
    const offset = queue.settledTo
    if (source === undefined || offset < source.minOffset || offset >= source.maxOffset) continue
    if (source.size(offset) > 0) earliest = Math.min(earliest, source.physicalOffset(offset))
  }
  return earliest
}

/** An asynchronous flush lost what came after `maxOffset`, and the journal still has leases of it. */
export function cutTo(table: LeaseTable, queue: LeaseQueue, maxOffset: number): void {
  const kept = [...queue.leases].filter(({ offset }) => offset < maxOffset)
  queue.clear(maxOffset)
  for (const lease of kept) queue.add(lease)
  table.note(queue, ['cleared', maxOffset])
  for (const lease of kept) table.noteTaken(queue, [lease])
}
