import type { RecordView } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { Disk } from './disk.ts'
import type { StateJournal } from './state-journal.ts'
import type { StoreError } from './store-error.ts'
import type { DamagedRange } from './store-state.ts'

/** What {@link MessageStore.open} takes. Times are ms, sizes bytes. */
export interface StoreOptions {
  disk: Disk
  clock: Clock
  /** The store's alone; created when absent. */
  directory: string
  /** `sync`: a message is stored when it is on the disk. `async`: when it is in the file, on the disk `flushIntervalMs` later. */
  flush: 'sync' | 'async'
  /** Size of a new log file. Default 64 MiB. */
  segmentBytes?: number
  /** Newest bytes of the log kept in memory, allocated when needed. Default 32 MiB, at least 1 MiB. */
  hotBytesMax?: number
  /** Age of un-synced bytes at which an async store starts a sync. Default 200. */
  flushIntervalMs?: number
  /** Age of its newest record at which a log file may be removed. Default Infinity. */
  retentionMs?: number
  /** Skip damaged ranges instead of refusing to start, see {@link RecoveryReport.damage}. Default false. */
  acceptDamage?: boolean
  /** Tags code of a record found by recovery, as given to append when it was written (i32). */
  tagsCodeOf(record: RecordView, bytes: Buffer): number
  /** The journal is open and the log not read yet: the place to register tables the log's records refer to. */
  onJournal?(journal: StateJournal): void
  /**
   * Each record that is stored, in log order; of deleted topics only those that name a source (preparedTransactionOffset).
   * View and bytes are valid during the call only.
   */
  onRecovered?(record: RecordView, bytes: Buffer): void
  /** A write or sync failed. Nothing is acknowledged from now on; reading goes on; restart to recover. */
  onFenced?(error: StoreError): void
}

/** What opening found. */
export interface RecoveryReport {
  records: number
  elapsedMs: number
  /** Un-acknowledged bytes removed from the end of the log. */
  cut: DamagedRange | undefined
  /** Ranges of the log skipped now because of `acceptDamage`. */
  damage: readonly DamagedRange[]
  /** The same for the journal, as text. */
  journalDamage: readonly string[]
  /** Records whose queue offset was taken already: stored, but in no queue. */
  conflicts: number
}

export interface StoreStats {
  endOffset: number
  syncedOffset: number
  firstOffset: number
  segments: number
  queues: number
  hotBytes: number
  indexBytes: number
  journalBytes: number
  pending: number
  isFenced: boolean
  isFull: boolean
  recovery: RecoveryReport
}
