import type { RecordView } from '@tandemmq/protocol'
import { takeDirectory } from './data-directory.ts'
import type { DataDirectory } from './data-directory.ts'
import { LogScanner } from './log-scanner.ts'
import type { ScanResult } from './log-scanner.ts'
import { QueueTable } from './queue-table.ts'
import { Segments } from './segments.ts'
import { StateJournal } from './state-journal.ts'
import type { RecoveryReport, StoreOptions } from './store-options.ts'
import { StoreState } from './store-state.ts'

/** What a store is made of, as the disk had it. */
export interface Recovered {
  directory: DataDirectory
  journal: StateJournal
  state: StoreState
  segments: Segments
  queues: QueueTable
  scan: ScanResult
  report: RecoveryReport
}

/** Rules for a record whose queue offset is not the next one of its queue; see docs/store-format.md. */
function index(queues: QueueTable, record: RecordView, topic: string, tagsCode: number): boolean {
  const queue = queues.get(topic, record.queueId)
  const { queueOffset } = record
  // Taken already: the record that came first keeps the offset, since it may have been consumed under it.
  if (queueOffset < queue.nextOffset) return false
  // Retention removed the start of the queue, or accepted damage a part of it: those offsets stay vacant, none moves.
  queue.skipTo(queueOffset)
  queue.push(record.physicalOffset, record.size, tagsCode)
  return true
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
    const journal = new StateJournal({ disk, clock, directory: directory.journal, acceptDamage, isNew, onBroken })
    const state = new StoreState()
    journal.register('store', state)
    options.onJournal?.(journal)
    segments = new Segments(disk, directory.commitLog)
    const queues = new QueueTable()
    let conflicts = 0
    const scan = new LogScanner({
      segments,
      segmentBytes: options.segmentBytes ?? 64 << 20,
      first: state.first,
      durable: state.durable,
      accepted: state.damage,
      acceptDamage,
      onRecord(record, bytes) {
        const topic = record.topic()
        if (record.physicalOffset < (state.deletedBefore.get(topic) ?? 0)) {
          // Gone from its queue, but what it settled stays settled: else a half committed into the topic would commit again.
          if (record.preparedTransactionOffset !== 0) options.onRecovered?.(record, bytes)
          return
        }
        if (!index(queues, record, topic, options.tagsCodeOf(record, bytes))) conflicts++
        options.onRecovered?.(record, bytes)
      },
    }).run()
    restoreBases(queues, state)
    for (const { from, to } of scan.damage) {
      state.damage.push({ from, to })
      journal.append('store', { kind: 'damage', from, to })
    }
    if (scan.damage.length > 0) journal.commitNow()
    if (isNew) directory.complete()
    for (const queue of queues.all()) queue.maxOffset = queue.nextOffset
    const { damage, cut, records } = scan
    const elapsedMs = clock.monotonic() - startedAt
    const report = { records, elapsedMs, cut, damage, journalDamage: journal.damage, conflicts }
    return { directory, journal, state, segments, queues, scan, report }
  } catch (error) {
    segments?.closeAll()
    directory.release()
    throw error
  }
}

function restoreBases(queues: QueueTable, state: StoreState): void {
  for (const [topic, offsets] of state.bases) {
    for (const [queueId, offset] of offsets.entries()) {
      if (offset !== undefined) queues.get(topic, queueId).skipTo(offset)
    }
  }
}
