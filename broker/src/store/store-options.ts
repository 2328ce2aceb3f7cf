import type { RecordView } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { Disk } from './disk.ts'
import type { IndexEntry } from '../index-entry.ts'
import type { StateJournal } from './state-journal.ts'
import type { StoreError } from './store-error.ts'
import type { DamagedRange } from './store-state.ts'

/** What the index holds about a record that is read from the log: at start, or because a file of the index is made anew. */
export interface RecordIndexing {
  /**
   * View and bytes are valid during the call only.
   * @param entry to be filled in as it was given to append when the record was written
   */
  describe(record: RecordView, bytes: Buffer, entry: IndexEntry): void
}

/** A table that follows from the records of the log, kept in checkpoints so that a start need not read all of them. */
export interface DerivedState {
  /**
   * What the records before log offset `before` say. Called when each of them is stored and announced; what later records,
   * on their way to the disk, have changed already must be left out. The buffers are not changed afterwards.
   */
  snapshot(before: number): Buffer[]
  /**
   * Takes over a snapshot, joined, into an empty table; the records after it are replayed next.
   * @param first log offset before which retention has removed everything: entries about such records are dropped
   * @param read one stored record; the buffer is not changed afterwards
   */
  restore(snapshot: Buffer, first: number, read: (physicalOffset: number) => Buffer | undefined): void
}

/** What {@link MessageStore.open} takes. Times are ms, sizes bytes. */
export interface StoreOptions extends RecordIndexing {
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
  /** Age of its newest record at which a log file is removed, unless somebody needs it; by the age clock. Default Infinity. */
  retentionMs?: number
  /** Size of the log above which the oldest files are removed, unless somebody needs them. Default Infinity. */
  retentionBytes?: number
  /** The same two, but whoever needs the file: for a disk that must not fill up. Default Infinity. */
  retentionMsMax?: number
  retentionBytesMax?: number
  /** Growth of the log after which a checkpoint is written, and so about what a start has to read. Default 256 MiB. */
  checkpointBytes?: number
  /** Room kept on the disk, so that log files can still be removed when it is full. Default 1 MiB. */
  reserveBytes?: number
  /** By name: what checkpoints hold. A name the program does not know is ignored, a missing one makes the start read the log from its first byte. */
  derived?: ReadonlyMap<string, DerivedState>
  /**
   * Read and verify the whole log, and skip damaged ranges instead of refusing to start, see {@link RecoveryReport.damage}.
   * Default false.
   */
  acceptDamage?: boolean
  /** The journal is open and the log not read yet: the place to register tables the log's records refer to. */
  onJournal?(journal: StateJournal): void
  /**
   * Each record that is stored and not in the checkpoint, in log order; of deleted topics only those that name a source (preparedTransactionOffset).
   * View and bytes are valid during the call only.
   */
  onRecovered?(record: RecordView, bytes: Buffer): void
  /** Once a second while the log is read: bytes read of bytes to read. */
  onProgress?(read: number, total: number): void
  /** The wall clock jumped forward by so many ms; age does not follow it. */
  onClockJump?(byMs: number): void
  /** A record or a file of the index could not be read; called once for each place. The read fails, others go on. */
  onDamage?(error: StoreError): void
  /** The log was synced, which took so long, ms. */
  onSynced?(elapsedMs: number): void
  /** Messages became safe, and those who wait for them are told next: once for all of them. */
  onCompleting?(): void
  /** There is no room for the log any more, or again. Called from within a write. */
  onFull?(isFull: boolean): void
  /** A write or sync failed. Nothing is acknowledged from now on; reading goes on; restart to recover. */
  onFenced?(error: StoreError): void
}

/** What one round of retention removed, in bytes; `forced` of them were needed by somebody, and a hard limit was reached. */
export interface Removed {
  removed: number
  forced: number
}

/** What opening found. */
export interface RecoveryReport {
  /** Records read. */
  records: number
  /** Log offset the reading began at: what came before was in a checkpoint and in the index. */
  from: number
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
  /** Bytes that retention removed although somebody needed them. */
  forcedBytes: number
  segments: number
  queues: number
  hotBytes: number
  /** Memory of the units of young messages, and of pages of the index. */
  indexBytes: number
  /** Files of the index, those made anew because of damage, and attempts to write one that failed. */
  indexFiles: number
  indexRebuilt: number
  indexFailures: number
  checkpoints: number
  /** Places where reading found damage. */
  damaged: number
  journalBytes: number
  pending: number
  isFenced: boolean
  isFull: boolean
  recovery: RecoveryReport
}
