import { type RecordView, tagHash } from '@tandemmq/protocol'
import type { RecordIndexing } from '../store/index.ts'
import { IndexedProperties } from './indexed-properties.ts'
import { forEachKey } from './message-keys.ts'

const scan = new IndexedProperties()

/** What the index of the log holds about a message: RocketMQ's tags code, and its keys. */
export const recordIndexing: RecordIndexing = {
  describe(record: RecordView, bytes: Buffer, addKey: (hash: number) => void): number {
    scan.scan(bytes, record.propertiesStart, record.propertiesEnd)
    forEachKey(bytes, record.topicStart, record.topicEnd, scan, addKey)
    return scan.tagsStart < 0 ? 0 : tagHash(bytes, scan.tagsStart, scan.tagsEnd)
  },
}
