import { newestCheckpoint } from './checkpoints.ts'
import { takeDirectory } from './data-directory.ts'
import type { DataDirectory } from './data-directory.ts'
import { LogIndex } from './log-index.ts'
import { LogReader } from './log-reader.ts'
import { LogScanner } from './log-scanner.ts'
import type { ScanResult } from './log-scanner.ts'
import { QueueTable } from './queue-table.ts'
import { RecoveredIndex } from './recovered-index.ts'
import { RoomReserve } from './room-reserve.ts'
import { SegmentIndexer } from './segment-indexer.ts'
import { Segments } from './segments.ts'
import { StateJournal } from './state-journal.ts'
import { isOutOfRoom, messageOf, StoreError } from './store-error.ts'
import type { RecoveryReport, StoreOptions } from './store-options.ts'
import { StoreState } from './store-state.ts'

export const SEGMENT_BYTES = 64 << 20
const PROGRESS_MS = 1_000
/** More than the words of one round of retention with 10,000 queues. */
const RESERVE_BYTES = 1 << 20

/** What a store is made of, as the disk had it. */
export interface Recovered {
  directory: DataDirectory
  reserve: RoomReserve
  journal: StateJournal
  state: StoreState
  segments: Segments
  index: LogIndex
  indexer: SegmentIndexer
  queues: QueueTable
  scan: ScanResult
  /** Position of the checkpoint in use; 0 without one. */
  checkpoint: number
  report: RecoveryReport
}

/** @throws {StoreError} see MessageStore.open */
export function recover(options: StoreOptions, onBroken: (error: Error) => void): Recovered {
  const { clock, disk } = options
  const startedAt = clock.monotonic()
  const directory = takeDirectory(disk, options.directory)
  let segments: Segments | undefined
  try {
    const acceptDamage = options.acceptDamage ?? false
    const { isNew } = directory
    const { reserveBytes = RESERVE_BYTES } = options
    const reserve = new RoomReserve({ disk, path: directory.reserve, bytes: reserveBytes, onBroken })
    const journal = new StateJournal({
      disk,
      clock,
      directory: directory.journal,
      acceptDamage,
      isNew,
      reserve,
      onBroken,
    })
    const state = new StoreState()
    journal.register('store', state)
    options.onJournal?.(journal)
    segments = new Segments(disk, directory.commitLog)
    removeBefore(segments, state.first)
    if (!acceptDamage) requireStart(segments, state)
    const opened = openIndex(options, directory, segments, state, onBroken)
    const { queues, index, indexer } = opened
    const known = new RecoveredIndex({ ...opened, segments, state, indexing: options, verify: acceptDamage })
    const checkpoint = acceptDamage ? 0 : restore(options, directory, segments, state)
    const from = Math.max(state.first, Math.min(known.end, checkpoint))
    const scan = new LogScanner({
      segments,
      segmentBytes: options.segmentBytes ?? SEGMENT_BYTES,
      from,
      lastTimestamp: known.lastTimestamp,
      durable: Math.max(state.durable, checkpoint, known.end),
      onProgress: progressOf(options, from),
      accepted: state.damage,
      acceptDamage,
      onRecord(record, bytes) {
        const topic = record.topic()
        if (record.physicalOffset >= known.end) known.take(record, topic)
        if (record.physicalOffset < checkpoint) return
        // Gone from its queue, but what it settled stays settled: else a half committed into the topic would commit again.
        const isDeleted = record.physicalOffset < (state.deletedBefore.get(topic) ?? 0)
        if (!isDeleted || record.preparedTransactionOffset !== 0) options.onRecovered?.(record, bytes)
      },
    }).run()
    known.finish(scan.end)
    restoreBases(queues, state)
    for (const { from: start, to } of scan.damage) {
      state.damage.push({ from: start, to })
      journal.append('store', { kind: 'damage', from: start, to })
    }
    if (scan.damage.length > 0) journal.commitNow()
    if (isNew) directory.complete()
    for (const queue of queues.all()) queue.maxOffset = queue.nextOffset
    const { damage, cut, records } = scan
    const elapsedMs = clock.monotonic() - startedAt
    const { conflicts } = known
    const report = { records, from, elapsedMs, cut, damage, journalDamage: journal.damage, conflicts }
    return { directory, reserve, journal, state, segments, index, indexer, queues, scan, checkpoint, report }
  } catch (error) {
    segments?.closeAll()
    directory.release()
    if (!isOutOfRoom(error) || error instanceof StoreError) throw error
    throw new StoreError('DISK_FULL', `no room to start in ${options.directory}: ${messageOf(error)}`, { cause: error })
  }
}

/** Somebody waits for the start: told after a second, and then each second. */
function progressOf({ clock, onProgress }: StoreOptions, from: number): (offset: number, end: number) => void {
  let told = clock.monotonic()
  return (offset, end) => {
    const now = clock.monotonic()
    if (now - told < PROGRESS_MS) return
    told = now
    onProgress?.(offset - from, end - from)
  }
}

function removeBefore(segments: Segments, first: number): void {
  segments.remove(segments.list.filter((segment) => segment.limit <= first && segment.start < first))
}

/** Retention says durably what it removes: if the log begins later than that, somebody else removed its first files. */
function requireStart({ list: [segment] }: Segments, { first, damage }: StoreState): void {
  if (segment === undefined || segment.start <= first) return
  if (damage.some(({ from, to }) => from <= first && to >= segment.start)) return
  throw new StoreError(
    'LOG_DAMAGED',
    `bytes ${first} to ${segment.start} of the log are missing, before ${segment.path}`,
  )
}

function openIndex(
  options: StoreOptions,
  directory: DataDirectory,
  segments: Segments,
  state: StoreState,
  onBroken: (error: Error) => void,
): { index: LogIndex; queues: QueueTable; indexer: SegmentIndexer } {
  const { clock, disk } = options
  const index = new LogIndex({ disk, directory: directory.index, rebuild: (start) => indexer.rebuild(start) })
  const queues = new QueueTable(index)
  const damageAt = (offset: number): number | undefined => state.damage.find(({ from }) => from === offset)?.to
  const indexer = new SegmentIndexer({
    clock,
    disk,
    segments,
    index,
    queues,
    indexing: options,
    damageAt,
    onBroken,
  })
  return { index, queues, indexer }
}

/**
 * @returns log offset whose state is restored; 0 when the log must say it from its first byte
 * @throws {StoreError} LOG_DAMAGED when a record the checkpoint needs cannot be read
 */
function restore(options: StoreOptions, directory: DataDirectory, segments: Segments, state: StoreState): number {
  const { disk, derived } = options
  const checkpoint = newestCheckpoint(disk, directory.checkpoint)
  if (checkpoint === undefined || derived === undefined) return 0
  for (const name of derived.keys()) if (!checkpoint.tables.has(name)) return 0
  const reader = new LogReader(segments)
  const read = (offset: number): Buffer | undefined => {
    const segment = segments.find(offset)
    if (segment !== undefined && offset < segment.limit && reader.kindAt(segment, offset) === 'record')
      return Buffer.from(reader.bytes.subarray(reader.at, reader.at + reader.size))
    // The checkpoint needs it, so it was there once.
    if (state.damage.some(({ from, to }) => from <= offset && offset < to)) return undefined
    const end = segment === undefined ? checkpoint.position : reader.nextEntry(segment, offset)
    const where = segment?.path ?? 'a missing file'
    const what = `bytes ${offset} to ${end} of the log are damaged, from byte ${offset - (segment?.start ?? offset)} of ${where}`
    throw new StoreError('LOG_DAMAGED', `${what}; restore the file, or start with acceptDamage to go on without them`)
  }
  for (const [name, table] of derived) table.restore(checkpoint.tables.get(name) as Buffer, state.first, read)
  return checkpoint.position
}

function restoreBases(queues: QueueTable, state: StoreState): void {
  for (const [topic, offsets] of state.bases) {
    for (const [queueId, offset] of offsets.entries()) {
      if (offset !== undefined) queues.get(topic, queueId).skipTo(offset)
    }
  }
}
