import { PropertyScan, RecordView, SystemTopic } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { HashChains } from '../hash-chains.ts'
import { KeyHash } from '../key-hash.ts'
import { PropertyRewriter } from '../property-rewriter.ts'
import { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import type { DerivedState } from '../store/index.ts'

const FIRST_CAPACITY = 1024

export interface DedupWindowOptions {
  clock: Clock
  /** One stored record, copied; undefined when retention removed it. */
  read(physicalOffset: number): Buffer | undefined
  /** Age (by store time) at which a key is forgotten. Default 600,000 ms. */
  windowMs?: number
  /** Keys held at most; one more pushes out the oldest, counted in `evictedEarly`. Default 1,000,000. */
  entriesMax?: number
  /** Told once, when the first key younger than `windowMs` had to go. */
  onEvictedEarly?: () => void
}

/**
 * Which message of the last minutes had this key? A ring of (64-bit keyed fingerprint, physical offset, store second)
 * in order of arrival, found through a hash table: 32 bytes an entry when full. A fingerprint that matches is verified against the stored record, so the answer is exact. The window holds nothing that the log does not
 * say, and is rebuilt by replaying it.
 *
 * @see broker.md 8.3
 */
export class DedupWindow implements DerivedState {
  readonly #clock: Clock
  readonly #read: (physicalOffset: number) => Buffer | undefined
  readonly #windowMs: number
  readonly #entriesMax: number
  #onEvictedEarly: (() => void) | undefined
  readonly #hash: KeyHash
  #table = new HashChains()
  #highs = new Int32Array(FIRST_CAPACITY)
  #offsets = new Float64Array(FIRST_CAPACITY)
  /** Seconds since 1970, rounded down; the exact time is read from the record when it matters. */
  #seconds = new Uint32Array(FIRST_CAPACITY)
  #oldest = 0
  #size = 0
  #hits = 0
  #evictedEarly = 0
  readonly #verified = new StoredKey()

  constructor(options: DedupWindowOptions) {
    this.#clock = options.clock
    this.#read = options.read
    this.#windowMs = options.windowMs ?? 600_000
    this.#entriesMax = options.entriesMax ?? 1_000_000
    this.#onEvictedEarly = options.onEvictedEarly
    this.#hash = new KeyHash(options.clock)
  }

  /**
   * @param key holds the key in [start, end); an absent key (start < 0) or an empty one has no earlier message
   * @returns physical offset of the first message to `topic` with this key inside the window, -1 when there is none
   */
  find(topic: Buffer, key: Buffer, start: number, end: number): number {
    if (start < 0 || start >= end || this.#size === 0) return -1
    this.#hash.of(topic, 0, topic.length, key, start, end)
    const high = this.#hash.high
    for (let entry = this.#table.first(this.#hash.low); entry >= 0; entry = this.#table.next()) {
      if (this.#highs[entry] !== high) continue
      const physicalOffset = this.#offsets[entry] as number
      const record = this.#read(physicalOffset)
      if (record === undefined || !this.#verified.equals(record, topic, key, start, end)) continue
      if (this.#clock.now() - this.#verified.storeTimestamp >= this.#windowMs) continue
      this.#hits++
      return physicalOffset
    }
    return -1
  }

  /** Remembers the message just appended; call it once per message for which {@link find} answered -1. */
  add(topic: Buffer, key: Buffer, start: number, end: number, physicalOffset: number, storeTimestamp: number): void {
    if (start < 0 || start >= end) return
    this.#hash.of(topic, 0, topic.length, key, start, end)
    this.#insert(physicalOffset, storeTimestamp)
  }

  /** Rebuilds the window from one record of the log; copies made by the broker are not sends and are passed over. */
  replay(record: RecordView, bytes: Buffer): void {
    if (record.preparedTransactionOffset !== 0) return
    if (this.#clock.now() - record.storeTimestamp >= this.#windowMs) return
    const key = this.#verified
    if (!key.load(record, bytes)) return
    this.#hash.of(bytes, key.topicStart, key.topicEnd, bytes, key.start, key.end)
    this.#insert(record.physicalOffset, record.storeTimestamp)
  }

  snapshot(before: number): Buffer[] {
    const capacity = this.#highs.length
    let size = this.#size
    // The ring is in log order: only its end can lie behind `before`.
    while (size > 0 && (this.#offsets[(this.#oldest + size - 1) % capacity] as number) >= before) size--
    const lows = unrolled(this.#table.hashes, new Int32Array(size), this.#oldest, capacity)
    const highs = unrolled(this.#highs, new Int32Array(size), this.#oldest, capacity)
    const offsets = unrolled(this.#offsets, new Float64Array(size), this.#oldest, capacity)
    const seconds = unrolled(this.#seconds, new Uint32Array(size), this.#oldest, capacity)
    const key = Int32Array.from(this.#hash.key)
    return new SnapshotWriter()
      .column(key)
      .number(size)
      .column(lows)
      .column(highs)
      .column(offsets)
      .column(seconds)
      .finish()
  }

  restore(snapshot: Buffer, first: number): void {
    const reader = new SnapshotReader(snapshot)
    const [k0, k1] = reader.int32(2)
    this.#hash.key = [k0 as number, k1 as number]
    const size = reader.number()
    const lows = reader.int32(size)
    const highs = reader.int32(size)
    const offsets = reader.float64(size)
    const seconds = reader.uint32(size)
    const oldest = this.#clock.now() / 1000 - this.#windowMs / 1000
    for (let i = 0; i < size; i++) {
      if ((offsets[i] as number) < first || (seconds[i] as number) + 1 <= oldest) continue
      this.#put(lows[i] as number, highs[i] as number, offsets[i] as number, seconds[i] as number)
    }
  }

  stats(): { entries: number; hits: number; evictedEarly: number } {
    return { entries: this.#size, hits: this.#hits, evictedEarly: this.#evictedEarly }
  }

  #insert(physicalOffset: number, storeTimestamp: number): void {
    this.#put(this.#hash.low, this.#hash.high, physicalOffset, Math.floor(storeTimestamp / 1000))
  }

  #put(low: number, high: number, physicalOffset: number, second: number): void {
    this.#expire(second)
    if (this.#size === this.#entriesMax) this.#evictEarly()
    if (this.#size === this.#highs.length) this.#grow()
    let entry = this.#oldest + this.#size
    if (entry >= this.#highs.length) entry -= this.#highs.length
    this.#size++
    this.#highs[entry] = high
    this.#offsets[entry] = physicalOffset
    this.#seconds[entry] = second
    this.#table.add(low, entry)
  }

  #expire(second: number): void {
    const windowSeconds = Math.ceil(this.#windowMs / 1000)
    while (this.#size > 0 && second - (this.#seconds[this.#oldest] as number) > windowSeconds) this.#dropOldest()
  }

  #evictEarly(): void {
    this.#dropOldest()
    this.#evictedEarly++
    this.#onEvictedEarly?.()
    this.#onEvictedEarly = undefined
  }

  #dropOldest(): void {
    this.#table.remove(this.#oldest)
    this.#oldest = this.#oldest + 1 === this.#highs.length ? 0 : this.#oldest + 1
    this.#size--
  }

  /** Entry numbers change with the place in the ring, so the table is filled anew. */
  #grow(): void {
    const from = this.#oldest
    const capacity = this.#highs.length
    const highs = new Int32Array(capacity * 2)
    const offsets = new Float64Array(capacity * 2)
    const seconds = new Uint32Array(capacity * 2)
    const table = new HashChains()
    for (let i = 0; i < this.#size; i++) {
      const old = (from + i) % capacity
      highs[i] = this.#highs[old] as number
      offsets[i] = this.#offsets[old] as number
      seconds[i] = this.#seconds[old] as number
      table.add(this.#table.hashOf(old), i)
    }
    this.#table = table
    this.#highs = highs
    this.#offsets = offsets
    this.#seconds = seconds
    this.#oldest = 0
  }
}

/** The part of a ring that begins at `from`, in order. */
function unrolled<T extends Int32Array | Uint32Array | Float64Array>(
  ring: T,
  part: T,
  from: number,
  capacity: number,
): T {
  const tail = ring.subarray(from, Math.min(capacity, from + part.length))
  part.set(tail)
  part.set(ring.subarray(0, part.length - tail.length), tail.length)
  return part
}

const parkingTopics = [SystemTopic.HALF, SystemTopic.SCHEDULE, SystemTopic.TIMER].map((name) => Buffer.from(name))
const notSends = [SystemTopic.OP_HALF, '%RETRY%', '%DLQ%'].map((name) => Buffer.from(name))

/** Topic and key under which a stored record was sent. */
class StoredKey {
  readonly #view = new RecordView()
  readonly #scan = new PropertyScan()
  readonly #real = new PropertyRewriter({ drop: [], note: ['REAL_TOPIC'] })
  topicStart = 0
  topicEnd = 0
  start = 0
  end = 0
  storeTimestamp = 0

  /** @returns false when the record was not sent by a producer or has no key */
  load(record: RecordView, bytes: Buffer): boolean {
    this.topicStart = record.topicStart
    this.topicEnd = record.topicEnd
    this.storeTimestamp = record.storeTimestamp
    if (notSends.some((name) => startsWith(bytes, record.topicStart, record.topicEnd, name))) return false
    if (parkingTopics.some((name) => equal(bytes, record.topicStart, record.topicEnd, name))) {
      this.#real.load(bytes, record.propertiesStart, record.propertiesEnd)
      this.topicStart = this.#real.starts[0] as number
      this.topicEnd = this.#real.ends[0] as number
      if (this.topicStart < 0) return false
      if (startsWith(bytes, this.topicStart, this.topicEnd, notSends[1] as Buffer)) return false
    }
    this.#scan.scan(bytes, record.propertiesStart, record.propertiesEnd)
    const own = this.#scan.dedupKeyStart >= 0
    this.start = own ? this.#scan.dedupKeyStart : this.#scan.uniqKeyStart
    this.end = own ? this.#scan.dedupKeyEnd : this.#scan.uniqKeyEnd
    return this.start >= 0 && this.start < this.end
  }

  equals(record: Buffer, topic: Buffer, key: Buffer, start: number, end: number): boolean {
    this.#view.at(record, 0)
    return (
      this.load(this.#view, record) &&
      equal(record, this.topicStart, this.topicEnd, topic) &&
      this.end - this.start === end - start &&
      record.compare(key, start, end, this.start, this.end) === 0
    )
  }
}

function equal(bytes: Buffer, start: number, end: number, wanted: Buffer): boolean {
  return end - start === wanted.length && startsWith(bytes, start, end, wanted)
}

function startsWith(bytes: Buffer, start: number, end: number, wanted: Buffer): boolean {
  if (end - start < wanted.length) return false
  for (let i = 0; i < wanted.length; i++) if (bytes[start + i] !== wanted[i]) return false
  return true
}
