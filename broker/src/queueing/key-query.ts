import { decodeProperties, PropertyName, RecordView } from '@tandemmq/protocol'
import type { ReadRecord } from './time-query.ts'
import type { Topic } from './topic.ts'

/** Records looked at per query at most: a query must not hold up the broker. */
const SCAN_MAX = 20_000
/** remoting.md 12.4: a stock broker returns no more. */
const FOUND_MAX = 64

export interface KeyQuery {
  key: string
  /** True: `key` is a UNIQ_KEY; false: one of the user's KEYS. */
  unique: boolean
  countMax: number
  /** Store time in ms, both included. */
  begin: number
  end: number
}

/**
 * Finds messages by key, newest first, among the last 20,000 records of the topic that lie in the time range.
 * @returns the stored records, copied
 */
export function queryByKey(topic: Topic, query: KeyQuery, read: ReadRecord): Buffer[] {
  const countMax = Math.min(query.countMax, FOUND_MAX)
  const found: Buffer[] = []
  const view = new RecordView()
  const next = topic.queues.map((queue) => queue.maxOffset - 1)
  let looked = 0
  for (let live = true; live && found.length < countMax && looked < SCAN_MAX; ) {
    live = false
    // All queues step back together, so that a busy one does not use up the limit alone.
    for (const [queueId, queue] of topic.queues.entries()) {
      const offset = next[queueId] as number
      if (offset < queue.minOffset || found.length >= countMax) continue
      next[queueId] = offset - 1
      live = true
      looked++
      const record = queue.size(offset) === 0 ? undefined : read(queue.physicalOffset(offset))
      if (record === undefined || !view.at(record, 0)) continue
      if (view.storeTimestamp < query.begin) next[queueId] = -1
      else if (view.storeTimestamp <= query.end && hasKey(record, view, query)) found.push(record)
    }
  }
  return found
}

function hasKey(record: Buffer, view: RecordView, { key, unique }: KeyQuery): boolean {
  const properties = decodeProperties(record, view.propertiesStart, view.propertiesEnd)
  if (unique) return properties[PropertyName.UNIQ_KEY] === key
  return (properties[PropertyName.KEYS] ?? '').split(' ').includes(key)
}
