import { lastRecordChecksum, recordSize, writeRecord } from '@tandemmq/protocol'
import type { RecordFields } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { Checkpoints } from './checkpoints.ts'
import { Completions } from './completions.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import type { DataDirectory } from './data-directory.ts'
import { DurableNotes } from './durable-notes.ts'
import type { HotMemory } from './hot-memory.ts'
import type { IndexEntry } from '../index-entry.ts'
import { BLANK_BYTES, CHECKSUM_BYTES } from './log-entry.ts'
import type { LogIndex } from './log-index.ts'
import type { LogTail } from './log-tail.ts'
import type { AppendCompletion } from './pending-appends.ts'
import type { QueueTable } from './queue-table.ts'
import type { RecordReader } from './record-reader.ts'
import { recover, SEGMENT_BYTES } from './recovery.ts'
import type { Recovered } from './recovery.ts'
import type { Retention, RetentionLimits } from './retention.ts'
import type { SegmentIndexer } from './segment-indexer.ts'
import type { StateJournal } from './state-journal.ts'
import { messageOf, StoreError } from './store-error.ts'
import type { RecoveryReport, Removed, StoreOptions, StoreStats } from './store-options.ts'
import { buildParts } from './store-parts.ts'
import type { StoreState } from './store-state.ts'

/**
 * The commit log with its queues. One thread, everything synchronous except fdatasync: appends of one turn of the event loop
 * are encoded into memory, written with one write, and acknowledged together when they are as safe as `flush` promises.
 */
export class MessageStore {
  readonly journal: StateJournal
  readonly recovery: RecoveryReport

  readonly #options: StoreOptions
  readonly #clock: Clock
  readonly #directory: DataDirectory
  readonly #state: StoreState
  readonly #queues: QueueTable
  readonly #tail: LogTail
  readonly #completions = new Completions()
  readonly #safeOffset = (): number => this.durableOffset
  readonly #reader: RecordReader
  readonly #retention: Retention
  readonly #isSync: boolean
  readonly #entryBytesMax: number
  readonly #hot: HotMemory
  readonly #index: LogIndex
  readonly #indexer: SegmentIndexer
  readonly #checkpoints: Checkpoints
  readonly #durableNotes: DurableNotes
  #turnOpen = false
  #turnScheduled = false
  #turnTimestamp: number
  #syncTimer: Timer | undefined
  #fenced: StoreError | undefined
  #closing: Promise<void> | undefined
  #drained: (() => void) | undefined

  /**
   * Takes the directory and brings the log back to where it was.
   * @throws {StoreError} DIRECTORY_LOCKED, DIRECTORY_NOT_WRITABLE, FORMAT_VERSION_UNKNOWN, LOG_DAMAGED
   */
  static open(options: StoreOptions): MessageStore {
    let store: MessageStore | undefined
    return (store = new MessageStore(
      options,
      recover(options, (error) => store?.fence(error)),
    ))
  }

  private constructor(options: StoreOptions, recovered: Recovered) {
    const { clock, segmentBytes = SEGMENT_BYTES } = options
    this.#options = options
    this.#clock = clock
    this.#directory = recovered.directory
    this.#state = recovered.state
    this.#queues = recovered.queues
    this.#index = recovered.index
    this.#indexer = recovered.indexer
    this.journal = recovered.journal
    this.recovery = recovered.report
    this.#isSync = options.flush === 'sync'
    this.#entryBytesMax = segmentBytes - BLANK_BYTES
    this.#turnTimestamp = recovered.scan.lastTimestamp
    this.#completions.onCompleting = options.onCompleting && (() => options.onCompleting?.())
    const parts = buildParts(options, recovered, {
      onDurable: () => this.#onDurable(),
      onRoom: () => this.#onWritten(),
      onBroken: (error) => this.fence(error),
    })
    this.#hot = parts.hot
    this.#tail = parts.tail
    this.#reader = parts.reader
    this.#checkpoints = parts.checkpoints
    this.#retention = parts.retention
    this.#durableNotes = new DurableNotes(clock, () => this.#retention.noteDurable(this.#tail.durable))
  }

  /** A queue has new visible messages: once per queue and flush. Set by the broker. */
  set onVisible(callback: ((queue: ConsumeQueue) => void) | undefined) {
    this.#completions.onVisible = callback
  }

  /** Created when it does not exist; its first offset follows the last one it ever had. */
  queue(topic: string, queueId: number): ConsumeQueue {
    const known = this.#queues.find(topic, queueId)
    if (known !== undefined) return known
    const queue = this.#queues.get(topic, queueId)
    queue.skipTo(this.#state.bases.get(topic)?.[queueId] ?? 0)
    return queue
  }

  findQueue(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#queues.find(topic, queueId)
  }

  /** Those that exist, by queue id. */
  queuesOf(topic: string): ConsumeQueue[] {
    return this.#queues.ofTopic(topic)
  }

  /**
   * Appends one message; sets `fields.queueId`, `queueOffset`, `physicalOffset` and `storeTimestamp` (never before that of the
   * record in front of it). The bytes are taken during the call. Order of appends = order in the log = order of completions.
   * @param entry what the index shall hold; taken during the call
   * @throws {StoreError} STORE_FENCED, STORE_CLOSED, MESSAGE_TOO_LARGE, DISK_FULL (nothing was appended; try later)
   */
  append(queue: ConsumeQueue, fields: RecordFields, entry: IndexEntry, completion?: AppendCompletion): void {
    const size = recordSize(fields)
    if (size + CHECKSUM_BYTES > this.#entryBytesMax)
      throw new StoreError('MESSAGE_TOO_LARGE', `record of ${size} bytes`)
    if (!this.#turnOpen) this.#openTurn()
    const tail = this.#tail
    if (tail.isFull) throw new StoreError('DISK_FULL', 'no room for the log')
    const chunk = tail.reserve(size + CHECKSUM_BYTES)
    const position = tail.position
    fields.queueId = queue.queueId
    fields.queueOffset = queue.nextOffset
    fields.physicalOffset = position
    fields.storeTimestamp = this.#turnTimestamp
    writeRecord(chunk.bytes, chunk.view, chunk.used, fields)
    chunk.view.setUint32(chunk.used + size, lastRecordChecksum())
    tail.advance(chunk, size + CHECKSUM_BYTES)
    tail.segment.lastTimestamp = this.#turnTimestamp
    queue.push(position, size, entry.tagsCode)
    this.#indexer.note(queue, position, size, this.#turnTimestamp, entry)
    this.#completions.push(queue, position + size + CHECKSUM_BYTES, completion)
  }

  /**
   * Tells `completion` when the record at `physicalOffset` is as safe as the flush policy promises; within the call when it is
   * already. Fails within the call when it never will be.
   */
  whenSafe(physicalOffset: number, completion: AppendCompletion): void {
    if (physicalOffset < this.durableOffset) return completion.stored()
    if (this.#fenced !== undefined) return completion.failed(this.#fenced)
    this.#completions.push(undefined, this.#tail.position, completion)
  }

  /** Bytes that were appended and are not safe yet: what producers wait for. */
  get unsafeBytes(): number {
    return this.#tail.position - this.durableOffset
  }

  /** Writes what was appended, and with `sync` starts fdatasync unless one runs. Called once per turn, or by the store itself. */
  commitTurn(): void {
    this.#turnOpen = false
    if (this.#fenced !== undefined) return
    if (this.#tail.write()) this.#onWritten()
    this.journal.commit()
  }

  /** @throws {StoreError} STORE_FENCED or STORE_CLOSED, as the next append would */
  requireOpen(): void {
    if (this.#fenced !== undefined) throw this.#fenced
    if (this.#closing !== undefined) throw new StoreError('STORE_CLOSED', 'the store is closed')
  }

  /** Of the newest record, ms since 1970; no later one is stamped earlier. */
  get newestTimestamp(): number {
    return this.#turnTimestamp
  }

  /** What records of this turn are stamped with, although the clock may show more by now; Infinity before its first one. */
  get turnTimestamp(): number {
    return this.#turnOpen ? this.#turnTimestamp : Number.POSITIVE_INFINITY
  }

  /** Where the next record goes, bytes. */
  get endOffset(): number {
    return this.#tail.position
  }

  /** Records before it are as safe as the flush policy promises: on the disk (`sync`), in the file (`async`). */
  get durableOffset(): number {
    return this.#isSync ? this.#tail.durable : this.#tail.written
  }

  /** Records before it survive a power cut, whatever the policy. */
  get syncedOffset(): number {
    return this.#tail.durable
  }

  get firstOffset(): number {
    return this.#retention.firstOffset
  }

  get isFenced(): boolean {
    return this.#fenced !== undefined
  }

  /**
   * Copies one stored record, from memory or with one read.
   * @param size bytes of the record, from its queue
   * @returns false when it is no longer (or not yet) there
   * @throws {StoreError} LOG_DAMAGED when its checksum does not match or the disk cannot read it
   */
  readInto(physicalOffset: number, size: number, target: Buffer, at: number): boolean {
    return this.#reader.readInto(physicalOffset, size, target, at)
  }

  /**
   * @param isKnown a record starts there for certain: what does not look like one is damage, not an offset somebody made up
   * @returns a copy of the record that starts at `physicalOffset` and is in a queue; undefined for any other offset
   * @throws {StoreError} LOG_DAMAGED
   */
  read(physicalOffset: number, isKnown = false): Buffer | undefined {
    return this.#reader.read(physicalOffset, isKnown)
  }

  /**
   * Log offsets of the records with a key of this hash, newest first, as {@link append} got them; some may have
   * been stored outside the range, or be gone when they are read.
   * @param begin store time in ms, like `end` included
   */
  *findByKey(hash: number, begin: number, end: number): Generator<number> {
    yield* this.#indexer.find(hash >>> 0, this.durableOffset)
    yield* this.#index.find(hash >>> 0, begin, end)
  }

  /**
   * Removes log files from the front as the four retention options say; never the newest file. Queues move their minOffset
   * within the call.
   * @param needed log offset of the first record somebody needs; asked only when a file is due
   */
  retain(needed: () => number): Removed {
    if (this.#fenced !== undefined || this.#closing !== undefined) return { removed: 0, forced: 0 }
    return this.#retention.remove(this.#tail.durable, needed)
  }

  /** Changes retention options from the next {@link retain} on; those not named stay. */
  changeRetention(limits: RetentionLimits): void {
    this.#retention.change(limits)
  }

  /** Empties all queues of `topic`; a topic of that name later goes on behind the old offsets. Resolves when durable. */
  deleteTopic(topic: string): Promise<void> {
    return this.#retention.deleteTopic(topic, this.#tail.position)
  }

  /** Log offset before which all records of the topic were deleted with it; 0 when it never was. */
  deletedBefore(topic: string): number {
    return this.#state.deletedBefore.get(topic) ?? 0
  }

  stats(): StoreStats {
    return {
      endOffset: this.endOffset,
      syncedOffset: this.syncedOffset,
      firstOffset: this.firstOffset,
      forcedBytes: this.#retention.forcedBytes,
      segments: this.#retention.segments,
      queues: this.#queues.count,
      hotBytes: this.#hot.bytes,
      indexBytes: this.#queues.index.bytes + this.#index.bytes,
      indexFiles: this.#index.files,
      indexRebuilt: this.#index.rebuilt,
      indexFailures: this.#indexer.failures,
      checkpoints: this.#checkpoints.written,
      damaged: this.#reader.damaged,
      journalBytes: this.journal.bytes,
      pending: this.#completions.waiting,
      isFenced: this.isFenced,
      isFull: this.#tail.isFull,
      recovery: this.recovery,
    }
  }

  /** Flushes everything, completes who waits, frees the directory. Append throws STORE_CLOSED from the first call on. */
  close(): Promise<void> {
    this.#turnOpen = false
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** After a failed write or sync nothing can be promised any more: everything that waits fails, and no sync is tried again. */
  private fence(error: Error): void {
    if (this.#fenced !== undefined) return
    const detail = `${messageOf(error)}; restart the broker to recover what is on the disk`
    const fenced = new StoreError('STORE_FENCED', detail, { cause: error })
    this.#fenced = fenced
    this.#turnOpen = false
    this.#tail.stop()
    this.#indexer.stop()
    this.#checkpoints.stop()
    this.journal.fence(error)
    this.#syncTimer?.cancel()
    this.#durableNotes.stop()
    this.#drained?.()
    try {
      this.#completions.fail(fenced)
    } finally {
      this.#options.onFenced?.(fenced)
    }
  }

  #openTurn(): void {
    if (this.#fenced !== undefined) throw this.#fenced
    if (this.#closing !== undefined) throw new StoreError('STORE_CLOSED', 'the store is closed')
    const now = this.#clock.now()
    if (now > this.#turnTimestamp) this.#turnTimestamp = now
    if (!this.#tail.isFull) this.#tail.mark(now)
    this.#turnOpen = true
    if (this.#turnScheduled) return
    this.#turnScheduled = true
    this.#clock.soon(() => {
      this.#turnScheduled = false
      if (this.#turnOpen) this.commitTurn()
    })
  }

  #onWritten(): void {
    if (this.#isSync) return this.#tail.sync()
    this.#completions.complete(this.#safeOffset)
    this.#checkpoints.follow(this.#tail.written, this.#tail.durable)
    this.#armSync()
  }

  #onDurable(): void {
    if (this.#isSync) this.#completions.complete(this.#safeOffset)
    this.#checkpoints.follow(this.durableOffset, this.#tail.durable)
    this.#indexer.follow(this.#tail.durable)
    this.#durableNotes.follow()
    if (this.#isSync) this.#tail.sync()
    else this.#armSync()
    if (!this.#tail.isSyncing) this.#drained?.()
  }

  #armSync(): void {
    if (this.#syncTimer !== undefined || this.#tail.written === this.#tail.durable) return
    this.#syncTimer = this.#clock.setTimer(this.#options.flushIntervalMs ?? 200, () => {
      this.#syncTimer = undefined
      this.#tail.sync()
    })
  }

  async #close(): Promise<void> {
    this.#syncTimer?.cancel()
    this.#durableNotes.stop()
    this.#indexer.stop()
    try {
      if (this.#fenced === undefined && this.#tail.write()) {
        this.#onWritten()
        this.#tail.sync()
        await this.#drain()
        await this.#retention.settled()
        this.#finish()
      }
      await this.journal.close()
    } finally {
      this.#tail.stop()
      this.#completions.fail(new StoreError('STORE_CLOSED', 'the store was closed before the message was stored'))
      this.#retention.closeFiles()
      this.#directory.release()
    }
  }

  #drain(): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        const done = this.#tail.durable === this.#tail.position && !this.#tail.isSyncing
        if (done || this.#fenced !== undefined) resolve()
        else if (!this.#tail.isSyncing && this.#tail.write()) this.#tail.sync()
      }
      this.#drained = check
      check()
    })
  }

  /** The last words of a clean end: all of the log was durable. */
  #finish(): void {
    if (this.#fenced !== undefined) return
    try {
      this.#tail.mark(this.#clock.now())
      if (!this.#tail.write()) return
      this.#tail.syncNow()
      this.#retention.noteDurable(this.#tail.durable)
      this.#retention.noteAge()
      this.#checkpoints.writeNow(this.#tail.durable)
    } catch (error) {
      this.fence(error instanceof Error ? error : new Error(messageOf(error)))
    }
  }
}
