import type { RecordView } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import { KeyHash } from '../key-hash.ts'
import { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import type { DerivedState } from '../store/index.ts'
import { KeyRings } from './key-rings.ts'
import { StoredKey } from './stored-key.ts'

const SAID_AGAIN_MS = 60_000

/** What the window wants to know of a topic. */
export interface DedupTopic {
  readonly nameBytes: Buffer
  /** ms; 0 = off, below 0 = the broker's. */
  readonly dedupWindowMs: number
}

export interface DedupWindowOptions {
  clock: Clock
  /** One stored record, copied; undefined when retention removed it. */
  read(physicalOffset: number): Buffer | undefined
  /** Age (by store time) at which a key is forgotten, of topics that say nothing else; 0 = off. Default 600,000 ms. */
  windowMs?: number
  /** Unique ids held at most; more push out the oldest, counted in `evictedEarly`. Default 4,000,000. */
  entriesMax?: number
  /** Keys of the application held at most; they never leave early, more are refused. Default 10,000,000. */
  ownKeysMax?: number
  /** `dedupWindowMs` of the topic with this name, for records met in the log. Default -1 for all. */
  windowOf?: (bytes: Buffer, start: number, end: number) => number
  /** Records of the topic before this log offset were deleted with it. Default 0. */
  deletedBefore?: (topic: string) => number
  /** Told what an operator has to know, each kind of news once a minute. */
  log?: (line: string) => void
}

type Counts = Pick<DedupStats, 'hits' | 'conflicts' | 'evictedEarly' | 'refused' | 'unverified'>

export interface DedupStats {
  /** Keys held: all, and those of applications among them. */
  entries: number
  ownKeys: number
  /** Memory of the tables. */
  bytes: number
  /** Repeats recognised. */
  hits: number
  /** Of them with another body than the first one. */
  conflicts: number
  /** Unique ids that left before their time. */
  evictedEarly: number
  /** Sends refused because there was no room for the key of an application. */
  refused: number
  /** Fingerprints whose record retention had removed: could not be verified, taken for new. */
  unverified: number
}

/**
 * Which message of the last minutes had this key? 64-bit keyed fingerprints with log offsets, those of applications (DEDUP_KEY) apart from
 * the unique ids of all other messages, so that traffic cannot push out what somebody asked for by name. A fingerprint that matches is
 * verified against the stored record, so the answer is exact. The window holds nothing that the log does not say, and is rebuilt by replaying it.
 *
 * @see broker.md 8.3
 */
export class DedupWindow implements DerivedState {
  readonly #clock: Clock
  readonly #read: (physicalOffset: number) => Buffer | undefined
  readonly #windowMs: number
  readonly #windowOf: (bytes: Buffer, start: number, end: number) => number
  readonly #deletedBefore: (topic: string) => number
  readonly #log: (line: string) => void
  readonly #hash: KeyHash
  readonly #ids: KeyRings
  readonly #own: KeyRings
  readonly #stored = new StoredKey()
  readonly #said = new Map<string, number>()
  readonly #counts: Counts = { hits: 0, conflicts: 0, evictedEarly: 0, refused: 0, unverified: 0 }
  /** Where the key {@link find} looked for last belongs; undefined: nowhere. */
  #rings: KeyRings | undefined
  #ringMs = 0

  constructor(options: DedupWindowOptions) {
    this.#clock = options.clock
    this.#read = options.read
    this.#windowMs = options.windowMs ?? 600_000
    this.#windowOf = options.windowOf ?? (() => -1)
    this.#deletedBefore = options.deletedBefore ?? (() => 0)
    this.#log = options.log ?? (() => {})
    this.#hash = new KeyHash(options.clock)
    this.#ids = new KeyRings(this.#windowMs, options.entriesMax ?? 4_000_000)
    this.#own = new KeyRings(this.#windowMs, options.ownKeysMax ?? 10_000_000)
  }

  /**
   * @param key holds the key in [start, end); an absent key (start < 0) or an empty one has no earlier message
   * @param isOwn it is the application's, not a unique id
   * @returns physical offset of the first message to `topic` with this key inside the window, -1 when there is none
   */
  find(topic: DedupTopic, key: Buffer, start: number, end: number, isOwn: boolean): number {
    const windowMs = topic.dedupWindowMs < 0 ? this.#windowMs : topic.dedupWindowMs
    this.#rings = undefined
    if (windowMs === 0 || start < 0 || start >= end) return -1
    const name = topic.nameBytes
    this.#hash.of(name, 0, name.length, key, start, end)
    const rings = isOwn ? this.#own : this.#ids
    this.#rings = rings
    this.#ringMs = windowMs
    for (const ring of rings.rings) {
      for (let at = ring.first(this.#hash.low, this.#hash.high); at >= 0; at = ring.next()) {
        if (this.#isRepeat(at, windowMs, name, key, start, end)) return at
      }
    }
    return -1
  }

  /** Remembers the message just appended, under the key {@link find} did not find. */
  add(physicalOffset: number, storeTimestamp: number): void {
    if (this.#rings !== undefined) this.#put(this.#rings, this.#ringMs, physicalOffset, storeTimestamp)
  }

  /**
   * To be asked before keys of applications are appended.
   * @throws {BrokerError} SYSTEM_BUSY when there is no room for them
   */
  admit(keys: number): void {
    if (this.#own.size + keys <= this.#own.entriesMax) return
    this.#own.expire(Math.floor(this.#clock.now() / 1000))
    if (this.#own.size + keys <= this.#own.entriesMax) return
    this.#counts.refused++
    const what = `${this.#own.size} dedup keys are held, dedupOwnKeysMax is ${this.#own.entriesMax}`
    this.#say('refused', `${what}: messages with a dedup key are refused until the oldest have had their time`)
    throw new BrokerError('SYSTEM_BUSY', `[DEDUP] ${what}, retry after 1000 ms`)
  }

  /** Another body came under the key of the record at `physicalOffset`. */
  countConflict(): void {
    this.#counts.conflicts++
  }

  /** Rebuilds the window from one record of the log; copies made by the broker are not sends and are passed over. */
  replay(record: RecordView, bytes: Buffer): void {
    if (record.preparedTransactionOffset !== 0) return
    const key = this.#stored
    if (!key.load(record, bytes)) return
    const own = this.#windowOf(bytes, key.topicStart, key.topicEnd)
    const windowMs = own < 0 ? this.#windowMs : own
    if (this.#clock.now() - record.storeTimestamp >= windowMs) return
    this.#hash.of(bytes, key.topicStart, key.topicEnd, bytes, key.start, key.end)
    this.#put(key.isOwn ? this.#own : this.#ids, windowMs, record.physicalOffset, record.storeTimestamp)
  }

  /** Gives back the memory of keys that had their time; otherwise that happens as others come. */
  expire(): void {
    const second = Math.floor(this.#clock.now() / 1000)
    this.#ids.expire(second)
    this.#own.expire(second)
  }

  /** Log offset from which records are needed to verify keys of applications; Infinity when there are none. */
  earliestPinned(): number {
    this.expire()
    return this.#own.oldestOffset
  }

  snapshot(before: number): Buffer[] {
    const writer = new SnapshotWriter().column(Int32Array.from(this.#hash.key))
    this.#ids.save(writer, before)
    this.#own.save(writer, before)
    return writer.finish()
  }

  restore(snapshot: Buffer, first: number): void {
    const reader = new SnapshotReader(snapshot)
    const [k0, k1] = reader.int32(2)
    this.#hash.key = [k0 as number, k1 as number]
    const second = Math.floor(this.#clock.now() / 1000)
    this.#ids.load(reader, first, second)
    this.#own.load(reader, first, second)
  }

  stats(): DedupStats {
    const ownKeys = this.#own.size
    const bytes = this.#ids.bytes + this.#own.bytes
    return { entries: this.#ids.size + ownKeys, ownKeys, bytes, ...this.#counts }
  }

  #isRepeat(at: number, windowMs: number, topic: Buffer, key: Buffer, start: number, end: number): boolean {
    // Whose topic was deleted cannot be read, and is nothing that retention took too early.
    if (at < this.#deletedBefore(topic.toString())) return false
    const record = this.#read(at)
    if (record === undefined) {
      this.#counts.unverified++
      this.#say('unverified', `retention removed ${at} within its dedup window: a repeat of it is taken for new`)
      return false
    }
    if (!this.#stored.equals(record, topic, key, start, end)) return false
    if (this.#clock.now() - this.#stored.storeTimestamp >= windowMs) return false
    this.#counts.hits++
    return true
  }

  #put(rings: KeyRings, windowMs: number, physicalOffset: number, storeTimestamp: number): void {
    const second = Math.floor(storeTimestamp / 1000)
    const ring = rings.ringFor(windowMs)
    ring.expire(second)
    if (rings === this.#ids && rings.size >= rings.entriesMax) this.#evictIds(second)
    ring.add(this.#hash.low, this.#hash.high, physicalOffset, second)
  }

  #evictIds(second: number): void {
    this.#ids.expire(second)
    if (this.#ids.size < this.#ids.entriesMax) return
    this.#counts.evictedEarly += this.#ids.evict()
    const reach = second - this.#ids.reachesBackTo
    const max = this.#ids.entriesMax
    this.#say(
      'evictedEarly',
      `more than ${max} unique ids (dedupEntriesMax) came within ${reach} s: older ones are forgotten`,
    )
  }

  #say(what: keyof Counts, line: string): void {
    const now = this.#clock.monotonic()
    if (now - (this.#said.get(what) ?? Number.NEGATIVE_INFINITY) < SAID_AGAIN_MS) return
    this.#said.set(what, now)
    this.#log(line)
  }
}
