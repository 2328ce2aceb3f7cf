import type { RecordFields } from '@tandemmq/protocol'
import type { AppendCompletion } from './store/index.ts'

/** What the rooms append through: they know topics by name and neither sockets nor the hot path. */
export interface LogWriter {
  /**
   * Appends to the queue itself: no delay, no dedup, whoever waits. Afterwards `fields.physicalOffset` and `fields.queueOffset` are set.
   * @throws {StoreError} STORE_FENCED, STORE_CLOSED
   */
  append(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void
  /** As append, but while an undecided half message of its ordering key is before it the message is held. */
  deliver(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void
  /** As deliver, but a DELAY or TIMER property parks the message first; a missing %RETRY% or %DLQ% topic is created. */
  publish(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void
  /**
   * One stored record, copied; undefined when retention removed it.
   * @param isKnown it starts there for certain: if it does not look like one, that is LOG_DAMAGED; default false: undefined
   */
  read(physicalOffset: number, isKnown?: boolean): Buffer | undefined
  /**
   * Copies a record known to begin there, unchecked: for rooms that keep its place themselves.
   * @param size bytes of the record
   * @returns false when it is no longer there
   */
  readInto(physicalOffset: number, size: number, target: Buffer, at: number): boolean
  /** Records before this offset survive what the flush policy promises to survive. */
  readonly durableOffset: number
}
