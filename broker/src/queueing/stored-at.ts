import { bornHostBytes, readInt32, readInt64, RecordAt, storeTimestampAt } from '@tandemmq/protocol'

/** When the record that begins at `start` was stored, ms; for answers on their way, which need no view of the record. */
export function storedAt(bytes: Buffer, start: number): number {
  const born = bornHostBytes(readInt32(bytes, start + RecordAt.sysFlag))
  return readInt64(bytes, start + storeTimestampAt(born))
}
