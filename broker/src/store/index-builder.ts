import { crc32Of, writeInt64 } from '@tandemmq/protocol'
import type { RecordView } from '@tandemmq/protocol'
import type { ConsumeQueue } from './consume-queue.ts'
import { IndexEntry } from '../index-entry.ts'
import {
  HEADER_BYTES,
  HeaderAt,
  INDEX_MAGIC,
  INDEX_VERSION,
  KEY_BYTES,
  KEYS_PER_PAGE,
  PAGE_BYTES,
  PAGE_CHECKSUM_AT,
  pagesOf,
  RUN_BYTES,
  UNIT_BYTES,
  UNITS_PER_PAGE,
} from './index-layout.ts'
import type { RecordIndexing } from './store-options.ts'

const FIRST_CAPACITY = 1_024
/** Keys moved in one step. */
const STEP_KEYS = 1 << 16
/** Bits of a hash sorted in one pass, from the lowest: three passes for 32. */
const PASS_BITS = 11
const PASS_VALUES = 1 << PASS_BITS

let marks = 0

interface QueueNumbers {
  topic: string
  name: Buffer
  numbers: (number | undefined)[]
}

/**
 * Gathers what the index file of one segment says: a function of the segment's records in their order, so that the same
 * segment always gives the same bytes. {@link encode} works in steps of about a millisecond.
 */
export class IndexBuilder {
  #start: number
  /** Of this segment's tables alone: a queue that carries it knows its number in them. */
  #mark = ++marks
  #units = 0
  /** Per record: number of its queue, its offset there, place in the segment, size, tags code. */
  #queueOf = new Uint32Array(FIRST_CAPACITY)
  #offsets = new Float64Array(FIRST_CAPACITY)
  #places = new Uint32Array(FIRST_CAPACITY)
  #sizes = new Uint32Array(FIRST_CAPACITY)
  #tagsCodes = new Int32Array(FIRST_CAPACITY)
  #keys = 0
  #hashes = new Uint32Array(FIRST_CAPACITY)
  #keyPlaces = new Uint32Array(FIRST_CAPACITY)
  readonly #queues = new Map<string, QueueNumbers>()
  #queueCount = 0
  #lastTopic: QueueNumbers | undefined
  #firstTimestamp = 0
  #lastTimestamp = 0
  /** Log offset behind the last record. */
  #used = 0
  readonly #entry = new IndexEntry()

  /** @param start log offset of the segment */
  constructor(start: number) {
    this.#start = start
  }

  get records(): number {
    return this.#units
  }

  /** Bytes of the tables, which {@link reset} keeps. */
  get bytes(): number {
    return this.#sizes.length * (4 * 4 + 8) + this.#hashes.length * 8
  }

  /** Begins anew with another segment. */
  reset(start: number): void {
    this.#start = start
    this.#mark = ++marks
    this.#units = 0
    this.#keys = 0
    this.#queues.clear()
    this.#queueCount = 0
    this.#lastTopic = undefined
    this.#firstTimestamp = 0
    this.#lastTimestamp = 0
    this.#used = 0
  }

  /** A record read from the log. @returns its tags code */
  add(record: RecordView, indexing: RecordIndexing): number {
    const entry = this.#entry
    indexing.describe(record, record.bytes, entry)
    const { physicalOffset, queueId, queueOffset, size, storeTimestamp } = record
    this.#put(
      this.#queueNumber(this.#topicOf(record), queueId),
      queueOffset,
      physicalOffset,
      size,
      storeTimestamp,
      entry,
    )
    return entry.tagsCode
  }

  /** A record just appended, the last one of its queue. */
  addNew(queue: ConsumeQueue, physicalOffset: number, size: number, storeTimestamp: number, entry: IndexEntry): void {
    if (queue.indexMark !== this.#mark) {
      queue.indexMark = this.#mark
      queue.indexNumber = this.#queueNumber(this.#topicNamed(queue.topic), queue.queueId)
    }
    this.#put(queue.indexNumber, queue.nextOffset - 1, physicalOffset, size, storeTimestamp, entry)
  }

  /** Places in the segment of the records with a key of this hash, newest first. */
  placesOf(hash: number): number[] {
    const places: number[] = []
    const wanted = hash >>> 0
    for (let at = this.#hashes.lastIndexOf(wanted, this.#keys - 1); at >= 0; ) {
      places.push(this.#keyPlaces[at]!)
      at = at === 0 ? -1 : this.#hashes.lastIndexOf(wanted, at - 1)
    }
    return this.#keys === 0 ? [] : places
  }

  /**
   * @param end log offset where the next segment starts
   * @returns the file's parts in order; yields undefined between steps
   */
  *encode(end: number): Generator<undefined, Buffer[]> {
    const { order, runs } = this.#sortUnits()
    yield
    const unitPages = yield* this.#encodeUnits(order)
    const keyPages = yield* this.#encodeKeys()
    const directory = this.#encodeDirectory(runs)
    yield
    return [this.#encodeHeader(end, runs.length, directory), unitPages, keyPages, directory]
  }

  /** Units by queue, in log order inside it: a counting sort. A run ends where queue offsets do not go on by one. */
  #sortUnits(): { order: Uint32Array; runs: { queue: number; firstUnit: number; count: number; offset: number }[] } {
    const ends = new Uint32Array(this.#queueCount + 1)
    for (let unit = 0; unit < this.#units; unit++) ends[this.#queueOf[unit]! + 1]!++
    for (let queue = 0; queue < this.#queueCount; queue++) ends[queue + 1]! += ends[queue]!
    const order = new Uint32Array(this.#units)
    for (let unit = 0; unit < this.#units; unit++) order[ends[this.#queueOf[unit]!]!++] = unit
    const runs: { queue: number; firstUnit: number; count: number; offset: number }[] = []
    let queue = -1
    let next = -1
    for (let at = 0; at < order.length; at++) {
      const unit = order[at]!
      if (this.#queueOf[unit] !== queue || this.#offsets[unit] !== next) {
        queue = this.#queueOf[unit]!
        runs.push({ queue, firstUnit: at, count: 0, offset: this.#offsets[unit]! })
      }
      next = this.#offsets[unit]! + 1
      runs.at(-1)!.count++
    }
    return { order, runs }
  }

  *#encodeUnits(order: Uint32Array): Generator<undefined, Buffer> {
    const bytes = Buffer.alloc(pagesOf(this.#units, UNITS_PER_PAGE) * PAGE_BYTES)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let page = 0, at = 0; at < order.length; page++) {
      const end = Math.min(order.length, at + UNITS_PER_PAGE)
      for (let position = page * PAGE_BYTES; at < end; at++, position += UNIT_BYTES) {
        const unit = order[at]!
        writeInt64(view, position, this.#start + this.#places[unit]!)
        view.setInt32(position + 8, this.#sizes[unit]!)
        writeInt64(view, position + 12, this.#tagsCodes[unit]!)
      }
      seal(bytes, view, page)
      if (page % 16 === 15) yield
    }
    return bytes
  }

  *#encodeKeys(): Generator<undefined, Buffer> {
    const sorted = yield* this.#sortKeys()
    const bytes = Buffer.alloc(pagesOf(this.#keys, KEYS_PER_PAGE) * PAGE_BYTES)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let page = 0, at = 0; at < sorted.length; page++) {
      const end = Math.min(sorted.length, at + KEYS_PER_PAGE)
      for (let position = page * PAGE_BYTES; at < end; at++, position += KEY_BYTES) {
        view.setUint32(position, this.#hashes[sorted[at]!]!)
        view.setUint32(position + 4, this.#keyPlaces[sorted[at]!]!)
      }
      seal(bytes, view, page)
      if (page % 16 === 15) yield
    }
    return bytes
  }

  /** Numbers of the keys by hash, those of one hash in log order: a radix sort, which keeps the order of equals. */
  *#sortKeys(): Generator<undefined, Uint32Array> {
    let sorted = new Uint32Array(this.#keys)
    let before = new Uint32Array(this.#keys)
    for (let key = 0; key < this.#keys; key++) sorted[key] = key
    for (let shift = 0; shift < 32; shift += PASS_BITS) {
      ;[sorted, before] = [before, sorted]
      const places = placesByValue(this.#hashes, this.#keys, shift)
      for (let from = 0; from < this.#keys; from += STEP_KEYS) {
        yield
        distribute(before, sorted, this.#hashes, shift, places, from, Math.min(this.#keys, from + STEP_KEYS))
      }
    }
    return sorted
  }

  #encodeDirectory(runs: readonly { queue: number; firstUnit: number; count: number; offset: number }[]): Buffer {
    const topics = [...this.#queues.values()].map(({ name }) => name)
    const queues: { topic: number; queueId: number }[] = []
    for (const [topic, { numbers }] of [...this.#queues.values()].entries()) {
      for (const [queueId, number] of numbers.entries()) if (number !== undefined) queues[number] = { topic, queueId }
    }
    const names = topics.reduce((sum, name) => sum + 2 + name.length, 0)
    const bytes = Buffer.alloc(4 + names + runs.length * RUN_BYTES)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    view.setUint32(0, topics.length)
    let at = 4
    for (const name of topics) {
      view.setUint16(at, name.length)
      name.copy(bytes, at + 2)
      at += 2 + name.length
    }
    for (const { queue, firstUnit, count, offset } of runs) {
      view.setUint32(at, queues[queue]!.topic)
      view.setUint32(at + 4, queues[queue]!.queueId)
      writeInt64(view, at + 8, offset)
      view.setUint32(at + 16, count)
      view.setUint32(at + 20, firstUnit)
      at += RUN_BYTES
    }
    return bytes
  }

  #encodeHeader(end: number, runs: number, directory: Buffer): Buffer {
    const bytes = Buffer.alloc(HEADER_BYTES)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    view.setUint32(HeaderAt.magic, INDEX_MAGIC)
    view.setUint32(HeaderAt.version, INDEX_VERSION)
    writeInt64(view, HeaderAt.start, this.#start)
    writeInt64(view, HeaderAt.end, end)
    writeInt64(view, HeaderAt.firstTimestamp, this.#firstTimestamp)
    writeInt64(view, HeaderAt.lastTimestamp, this.#lastTimestamp)
    view.setUint32(HeaderAt.units, this.#units)
    view.setUint32(HeaderAt.runs, runs)
    view.setUint32(HeaderAt.keys, this.#keys)
    view.setUint32(HeaderAt.directoryBytes, directory.length)
    view.setUint32(HeaderAt.directoryChecksum, crc32Of(directory, 0, directory.length))
    writeInt64(view, HeaderAt.used, this.#used)
    view.setUint32(HeaderAt.checksum, crc32Of(bytes, 0, HeaderAt.checksum))
    return bytes
  }

  #put(
    queue: number,
    queueOffset: number,
    physicalOffset: number,
    size: number,
    storeTimestamp: number,
    entry: IndexEntry,
  ): void {
    if (this.#units === this.#sizes.length) this.#growUnits()
    const unit = this.#units++
    const place = physicalOffset - this.#start
    this.#queueOf[unit] = queue
    this.#offsets[unit] = queueOffset
    this.#places[unit] = place
    this.#sizes[unit] = size
    this.#tagsCodes[unit] = entry.tagsCode
    const { keys, keyCount } = entry
    for (let key = 0; key < keyCount; key++) {
      if (this.#keys === this.#hashes.length) this.#growKeys()
      this.#hashes[this.#keys] = keys[key]!
      this.#keyPlaces[this.#keys++] = place
    }
    if (unit === 0) this.#firstTimestamp = storeTimestamp
    this.#lastTimestamp = storeTimestamp
    this.#used = physicalOffset + size
  }

  #topicOf(record: RecordView): QueueNumbers {
    const last = this.#lastTopic
    if (last !== undefined && isText(record.bytes, record.topicStart, record.topicEnd, last.name)) return last
    return this.#topicNamed(record.topic())
  }

  #topicNamed(topic: string): QueueNumbers {
    let known = this.#lastTopic
    if (known !== undefined && known.topic === topic) return known
    known = this.#queues.get(topic)
    if (known === undefined) this.#queues.set(topic, (known = { topic, name: Buffer.from(topic), numbers: [] }))
    return (this.#lastTopic = known)
  }

  #queueNumber({ numbers }: QueueNumbers, queueId: number): number {
    return (numbers[queueId] ??= this.#queueCount++)
  }

  #growUnits(): void {
    const capacity = this.#sizes.length * 2
    this.#queueOf = grown(this.#queueOf, new Uint32Array(capacity))
    this.#offsets = grown(this.#offsets, new Float64Array(capacity))
    this.#places = grown(this.#places, new Uint32Array(capacity))
    this.#sizes = grown(this.#sizes, new Uint32Array(capacity))
    this.#tagsCodes = grown(this.#tagsCodes, new Int32Array(capacity))
  }

  #growKeys(): void {
    const capacity = this.#hashes.length * 2
    this.#hashes = grown(this.#hashes, new Uint32Array(capacity))
    this.#keyPlaces = grown(this.#keyPlaces, new Uint32Array(capacity))
  }
}

function grown<T extends Uint32Array | Int32Array | Float64Array>(old: T, larger: T): T {
  larger.set(old)
  return larger
}

function isText(bytes: Buffer, start: number, end: number, text: Buffer): boolean {
  if (end - start !== text.length) return false
  for (let at = 0; at < text.length; at++) if (bytes[start + at] !== text[at]) return false
  return true
}

/** Where the first key with each value of these bits of its hash goes. */
function placesByValue(hashes: Uint32Array, count: number, shift: number): Uint32Array {
  const places = new Uint32Array(PASS_VALUES + 1)
  for (let key = 0; key < count; key++) places[((hashes[key]! >>> shift) & (PASS_VALUES - 1)) + 1]!++
  for (let value = 0; value < PASS_VALUES; value++) places[value + 1]! += places[value]!
  return places
}

function distribute(
  before: Uint32Array,
  sorted: Uint32Array,
  hashes: Uint32Array,
  shift: number,
  places: Uint32Array,
  from: number,
  to: number,
): void {
  for (let at = from; at < to; at++) {
    const key = before[at]!
    sorted[places[(hashes[key]! >>> shift) & (PASS_VALUES - 1)]!++] = key
  }
}

function seal(bytes: Buffer, view: DataView, page: number): void {
  const at = page * PAGE_BYTES
  view.setUint32(at + PAGE_CHECKSUM_AT, crc32Of(bytes, at, at + PAGE_CHECKSUM_AT))
}
