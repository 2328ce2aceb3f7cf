import { PropertyScan, type RecordView } from '@tandemmq/protocol'
import type { IndexEntry } from '../index-entry.ts'
import { describeMessage } from '../index-key.ts'
import type { RecordIndexing } from '../store/index.ts'

const scan = new PropertyScan()

/** Describes stored messages to the index, as they were described when they were appended. */
export const recordIndexing: RecordIndexing = {
  describe(record: RecordView, bytes: Buffer, entry: IndexEntry): void {
    scan.scan(bytes, record.propertiesStart, record.propertiesEnd)
    describeMessage(entry, bytes, record.topicStart, record.topicEnd, scan)
  },
}
