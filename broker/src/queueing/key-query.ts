import { decodeProperties, PropertyName, RecordView } from '@tandemmq/protocol'
import { keyHash } from '../index-key.ts'
import type { ReadRecord } from './time-query.ts'
import type { Topic } from './topic.ts'

/** Records read per query at most, found or only of the same hash: a query must not hold up the broker. */
const READ_MAX = 4_096
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

/** Log offsets of the records with a key of this hash, newest first; `begin` and `end` are a hint. */
export type FindByKey = (hash: number, begin: number, end: number) => Iterable<number>

/**
 * Finds messages of a topic by key, newest first.
 * @returns the stored records, copied
 */
export function queryByKey(topic: Topic, query: KeyQuery, find: FindByKey, read: ReadRecord): Buffer[] {
  const countMax = Math.min(query.countMax, FOUND_MAX)
  const key = Buffer.from(query.key)
  const hash = keyHash(topic.nameBytes, 0, topic.nameBytes.length, key, 0, key.length)
  const found: Buffer[] = []
  const view = new RecordView()
  let looked = 0
  // The key under two names of one message stands in the index twice.
  let last = -1
  for (const physicalOffset of find(hash, query.begin, query.end)) {
    if (found.length >= countMax || looked++ >= READ_MAX) break
    const record = physicalOffset === last ? undefined : read(physicalOffset)
    last = physicalOffset
    if (record === undefined || !view.at(record, 0) || view.topic() !== topic.name) continue
    if (view.storeTimestamp < query.begin || view.storeTimestamp > query.end) continue
    if (hasKey(record, view, query)) found.push(record)
  }
  return found
}

function hasKey(record: Buffer, view: RecordView, { key, unique }: KeyQuery): boolean {
  const properties = decodeProperties(record, view.propertiesStart, view.propertiesEnd)
  if (unique) return properties[PropertyName.UNIQ_KEY] === key
  return (properties[PropertyName.KEYS] ?? '').split(' ').includes(key)
}
