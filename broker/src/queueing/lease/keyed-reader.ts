import type { ConsumeQueue } from '../../store/index.ts'
import { orderKeyOf } from './keyed-leases.ts'
import type { LeaseBatch } from './lease-batch.ts'
import type { LeaseBook } from './lease-book.ts'
import type { KeyedMessage } from './leases-by-key.ts'
import type { PopRequest } from './pop-request.ts'
import { type RecordScan, SCAN_MAX } from './record-scan.ts'

/** Takes messages out of a queue for a pop that keeps the order of each key: the first of every key, waiting ones before new ones. */
export function takeByKey(
  { book, scan }: { book: LeaseBook; scan: RecordScan },
  request: PopRequest,
  batch: LeaseBatch,
  source: ConsumeQueue,
): void {
  const queue = book.open(request.group.name, source, request.fromEnd)
  // Leases without keys may be of any of them.
  if (book.ordered.holds(queue) || (queue.leased > 0 && queue.keyed === undefined)) {
    queue.isHungry = true
    return
  }
  const { filter, countMax } = request
  if (scan.isSpent(filter)) {
    batch.isUnfinished = true
    return
  }
  const picks: KeyedMessage[] = []
  const behind: KeyedMessage[] = []
  const records: Buffer[] = []
  const pick = (offset: number, key: string, record: Buffer): void => {
    picks.push({ offset, key })
    records.push(record)
    batch.reserve(record.length)
  }
  const isFull = (): boolean => batch.count >= countMax || batch.isFull
  for (const offset of queue.keyed?.ready ?? []) {
    if (isFull()) break
    const record = scan.recordOf(source, offset)
    const key = queue.find(offset)?.key
    if (record !== undefined && key !== undefined) pick(offset, key, record)
    else book.lost(queue, offset)
  }
  const keys = new Set<string>()
  let room = book.roomOf(queue)
  let { next } = queue
  const end = Math.min(source.maxOffset, next + SCAN_MAX)
  for (; next < end && !isFull() && room > 0; next++) {
    const record = scan.isWanted(source, next, filter) ? scan.recordOf(source, next) : undefined
    if (record === undefined) continue
    room--
    const key = orderKeyOf(record)
    if (keys.has(key) || queue.keyed?.has(key) === true) behind.push({ offset: next, key })
    else {
      keys.add(key)
      pick(next, key, record)
    }
  }
  if (room <= 0) queue.isHungry = true
  else if (!isFull() && next < source.maxOffset) batch.isUnfinished = true
  const { popTime, reviveQueueId } = batch
  const epoch = { popTime, invisibleMs: request.invisibleMs, reviveQueueId, isCounted: !request.marksBegin }
  if (picks.length + behind.length === 0) book.passOver(queue, next)
  else {
    const deliveries = book.takeKeyed(queue, picks, behind, epoch, next)
    batch.add(
      0,
      queue,
      picks.map(({ offset }) => offset),
      records,
      deliveries,
    )
  }
  batch.restNum += source.maxOffset - queue.next
}
