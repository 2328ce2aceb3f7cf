import type { RecordView } from '@tandemmq/protocol'
import { IndexBuilder } from './index-builder.ts'
import type { IndexRun } from './index-layout.ts'
import type { LogIndex } from './log-index.ts'
import type { QueueTable } from './queue-table.ts'
import type { SegmentIndexer, SegmentPart } from './segment-indexer.ts'
import type { Segment, Segments } from './segments.ts'
import { isOutOfRoom } from './store-error.ts'
import type { RecordIndexing } from './store-options.ts'
import type { StoreState } from './store-state.ts'

interface Parts {
  segments: Segments
  index: LogIndex
  queues: QueueTable
  state: StoreState
  indexer: SegmentIndexer
  indexing: RecordIndexing
  /** The log is read as a whole, whatever the index says. */
  verify: boolean
}

/** The queues at start: from the files of the index as far as those go, and record by record behind. */
export class RecoveredIndex {
  readonly #parts: Parts
  #segment: Segment | undefined
  #builder: IndexBuilder | undefined
  /** There was no room for their files. */
  readonly #unwritten: SegmentPart[] = []
  /** Log offset before which the index knows everything. */
  readonly end: number
  /** Store time of the last record before `end`, ms. */
  lastTimestamp = 0
  conflicts = 0

  constructor(parts: Parts) {
    this.#parts = parts
    this.end = this.#load()
  }

  /** The next record of the log. */
  take(record: RecordView, topic: string): void {
    const { queues, segments, state } = this.#parts
    const { physicalOffset } = record
    if (this.#segment === undefined || physicalOffset >= this.#segment.limit) {
      this.#finishSegment()
      this.#segment = segments.find(physicalOffset)
      // A segment can only be written when it was read from its first record on.
      this.#builder = new IndexBuilder(this.#segment?.start ?? 0)
    }
    const tagsCode = this.#builder?.add(record, this.#parts.indexing) ?? 0
    const queue = queues.get(topic, record.queueId)
    const { queueOffset } = record
    if (physicalOffset < (state.deletedBefore.get(topic) ?? 0)) {
      // Empty so far, since all before was deleted as well; else its segment's file of the index would bring the record back.
      queue.skipTo(queueOffset + 1)
      return
    }
    // Taken already: the record that came first keeps the offset, since it may have been consumed under it.
    if (queueOffset < queue.nextOffset) {
      this.conflicts++
      return
    }
    // Retention removed the start of the queue, or accepted damage a part of it: those offsets stay vacant, none moves.
    queue.skipTo(queueOffset)
    queue.push(physicalOffset, record.size, tagsCode)
  }

  /** The log goes on at `end`: from there on the indexer is told. */
  finish(end: number): void {
    if (this.#segment !== undefined && end >= this.#segment.limit) this.#finishSegment()
    const segment = this.#segment
    const builder = this.#builder
    const open = segment !== undefined && builder !== undefined ? { segment, builder } : undefined
    this.#parts.indexer.begin(end, this.#unwritten, open)
  }

  /** The segment is sealed, or a record of the next one could not have come. */
  #finishSegment(): void {
    const segment = this.#segment
    const builder = this.#builder
    this.#segment = this.#builder = undefined
    if (segment === undefined || builder === undefined) return
    const { segments, indexer } = this.#parts
    try {
      // A file of the index must never outlive the end of what it tells about.
      segments.file(segment).syncNow()
      indexer.writeNow(segment, builder)
      indexer.handOver(segment)
    } catch (error) {
      if (!isOutOfRoom(error)) throw error
      // The units stay in memory, and the indexer tries again when the broker runs.
      this.#unwritten.push({ segment, builder })
    }
  }

  #load(): number {
    const { segments, index, state, verify } = this.#parts
    let end = state.first
    for (const segment of segments.list) {
      // The log goes on in the last one; one that was only filled ahead may stand behind it.
      if (verify || segment === segments.last) break
      const loaded = index.load(segment.start, segment.limit)
      if (loaded === undefined || loaded.summary.used - segment.start > segment.bytesFound) break
      for (const run of loaded.runs) this.#adopt(run, segment)
      if (loaded.summary.lastTimestamp > 0) this.lastTimestamp = segment.lastTimestamp = loaded.summary.lastTimestamp
      end = segment.limit
    }
    for (const start of index.found()) if (start < state.first || start >= end) index.remove(start)
    return end
  }

  #adopt(run: IndexRun, segment: Segment): void {
    const { queues, state, index } = this.#parts
    const queue = queues.get(run.topic, run.queueId)
    const deletedBefore = state.deletedBefore.get(run.topic) ?? 0
    let gone = 0
    if (deletedBefore >= segment.limit) gone = run.count
    else if (deletedBefore > segment.start) {
      while (gone < run.count && index.physicalOffset(segment.start, run.firstUnit + gone) < deletedBefore) gone++
    }
    if (run.firstOffset + gone < queue.nextOffset) this.conflicts++
    queue.skipTo(run.firstOffset + gone)
    queue.seal(run.firstOffset + gone, run.count - gone, segment.start, run.firstUnit + gone)
  }
}
