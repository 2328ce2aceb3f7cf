import { type PropertyScan, type RecordFields, type RecordView, recordSize, ScannedProperty } from '@tandemmq/protocol'
import { BusyError } from '../../broker-error.ts'
import { sourceOf } from '../../settles.ts'
import { SnapshotReader } from '../../snapshot.ts'
import type { AppendCompletion, DerivedState } from '../../store/index.ts'
import { Departures } from './departures.ts'
import { type GroupLine, PENDING } from './group-line.ts'
import { GroupLines } from './group-lines.ts'
import { HeldRecords } from './held-records.ts'
import { HoldingWatch } from './holding-watch.ts'
import { loadLines, saveLines } from './line-snapshot.ts'
import { Releases } from './releases.ts'
import type { GroupOrderOptions, GroupOrderStats, HeldGroup } from './types.ts'

const BUSY_RETRY_MS = 1_000

/**
 * Messages of one ordering key (`orderBy`, property __SHARDINGKEY) of one topic are seen in the order of their places, transactions included. A half
 * message takes its place when it is stored, and until it is settled the later messages of its key are held: stored and acknowledged,
 * in a topic of the broker's own. When it is settled, they become visible up to the next undecided half. All of it is a function of
 * the log: a held record waits, a record that names it as its source has released it.
 */
export class GroupOrder implements DerivedState {
  readonly #isEnabled: boolean
  readonly #heldMax: number
  readonly #lines: GroupLines
  /** Of the half messages in line, by log offset. */
  readonly #halves = new Map<number, GroupLine>()
  /** Held records by log offset, during the replay only. */
  #replayed: Map<number, { line: GroupLine; place: number }> | undefined = new Map()
  readonly #records: HeldRecords
  readonly #departures: Departures
  readonly #releases: Releases
  readonly #watch: HoldingWatch
  /** What {@link holds} found last. */
  #found: GroupLine | undefined
  #held = 0
  #heldBytes = 0
  #lostAtStart = 0

  constructor(options: GroupOrderOptions) {
    const { clock, log, onNews = () => {}, deletedBefore = () => 0 } = options
    this.#isEnabled = options.enabled ?? true
    this.#heldMax = options.heldMax ?? 1_000_000
    this.#lines = new GroupLines(clock)
    this.#records = new HeldRecords(log)
    this.#departures = new Departures(() => log.durableOffset)
    const parts = { records: this.#records, departures: this.#departures, deletedBefore, log: onNews }
    const onLeft = (line: GroupLine, size: number): void => this.#uncount(line, size)
    this.#releases = new Releases({ clock, ...parts, onLeft })
    this.#watch = new HoldingWatch({ clock, holding: this.#lines.holding, log: onNews })
  }

  /** False as long as nobody waits: then there is nothing to ask. */
  get isActive(): boolean {
    return this.#lines.size > 0
  }

  /** The half message of `topic` just stored at `physicalOffset` takes its place, if it has an ordering key. */
  reserve(topic: string, scan: PropertyScan, physicalOffset: number): void {
    const start = scan.start(ScannedProperty.SHARDING_KEY)
    if (start < 0 || !this.#isEnabled) return
    this.#reserve(topic, scan.bytes, start, scan.end(ScannedProperty.SHARDING_KEY), physicalOffset)
  }

  /** Whether a message to `topic` with these properties has to wait; then {@link append} takes it. */
  holds(topic: string, scan: PropertyScan): boolean {
    const start = scan.start(ScannedProperty.SHARDING_KEY)
    if (start < 0 || !this.#isEnabled) return false
    this.#found = this.#lines.find(topic, scan.bytes, start, scan.end(ScannedProperty.SHARDING_KEY))
    return this.#found !== undefined
  }

  /**
   * Appends the message about which {@link holds} was asked as a held one. `fields` is rewritten on the way: afterwards it
   * describes the held record.
   * @throws {BrokerError} SYSTEM_BUSY when too many are held; MESSAGE_ILLEGAL when the properties have no room for the destination
   */
  append(fields: RecordFields, completion?: AppendCompletion): void {
    const line = this.#found as GroupLine
    if (this.#held >= this.#heldMax) {
      throw new BusyError(`[HELD] ${this.#held} messages wait for undecided transactions of their keys`, BUSY_RETRY_MS)
    }
    this.#records.append(line.topic, fields, completion)
    const { physicalOffset } = fields
    const size = recordSize(fields)
    line.push(physicalOffset, physicalOffset, size)
    this.#count(line, size, fields.storeTimestamp)
    this.#releases.grew(size)
    // Who comes while the line is being released waits as well.
    if (line.isReady) this.#releases.ready(line)
  }

  /** Whether the message of this half, when it is committed, still has others before it. */
  mustWait(half: number): boolean {
    const line = this.#halves.get(half)
    return line !== undefined && line.firstPlace !== half
  }

  /** Appends the message of a committed half that has others before it; `fields` as for the message itself. */
  hold(half: number, fields: RecordFields, completion: AppendCompletion): void {
    const line = this.#halves.get(half) as GroupLine
    this.#records.append(line.topic, fields, completion)
    const size = recordSize(fields)
    this.#halves.delete(half)
    line.hold(half, fields.physicalOffset, size)
    this.#count(line, size, fields.storeTimestamp)
    this.#releases.grew(size)
  }

  /** The half was rolled back, or its message is appended where consumers see it: by the record at `by`. */
  settled(half: number, by: number): void {
    const line = this.#halves.get(half)
    if (line === undefined) return
    this.#halves.delete(half)
    this.#departures.add({ line, place: half, record: PENDING, size: 0, by })
    this.#leave(line, half)
    if (line.isReady) this.#releases.ready(line)
  }

  /** Messages that wait for exactly this half: 0 when it waits for another one itself. */
  heldBackBy(half: number): number {
    const line = this.#halves.get(half)
    return line !== undefined && line.firstPlace === half ? line.held : 0
  }

  /** Groups with held messages, since longest first. */
  list(limit = 1_000): HeldGroup[] {
    return [...this.#lines.holding].slice(0, limit).map((line) => this.#watch.describe(line))
  }

  /** Rebuilds the lines from one record of the log; records come in log order, before {@link start}. */
  replay(record: RecordView, bytes: Buffer): void {
    const replayed = this.#replayed
    if (replayed === undefined) throw new Error('replay after start')
    const source = sourceOf(record.preparedTransactionOffset)
    const { physicalOffset, size } = record
    const isHeld = this.#records.isHeld(record, bytes)
    if (source < 0 && !isHeld) {
      const group = this.#isEnabled && this.#records.isHalf(record, bytes) && this.#records.groupOf(record, bytes)
      if (group) this.#reserve(group.topic, bytes, group.keyStart, group.keyEnd, physicalOffset)
      return
    }
    const halfLine = source < 0 ? undefined : this.#halves.get(source)
    if (halfLine !== undefined) {
      this.#halves.delete(source)
      if (!isHeld) return this.#leave(halfLine, source)
      halfLine.hold(source, physicalOffset, size)
      replayed.set(physicalOffset, { line: halfLine, place: source })
      return this.#count(halfLine, size, record.storeTimestamp)
    }
    if (isHeld) {
      const group = this.#records.groupOf(record, bytes)
      if (group === undefined) return
      const line = this.#lines.findOrAdd(group.topic, bytes, group.keyStart, group.keyEnd)
      line.push(physicalOffset, physicalOffset, size)
      replayed.set(physicalOffset, { line, place: physicalOffset })
      return this.#count(line, size, record.storeTimestamp)
    }
    const released = replayed.get(source)
    if (released === undefined) return
    replayed.delete(source)
    this.#leave(released.line, released.place)
  }

  snapshot(before: number): Buffer[] {
    return saveLines(this.#lines, this.#departures, before)
  }

  restore(snapshot: Buffer, first: number): void {
    loadLines(new SnapshotReader(snapshot), this.#lines, ({ line, place, record, size, heldSince }) => {
      if (record === PENDING) {
        if (!this.#isEnabled || place < first) return
        line.push(place, PENDING, 0)
        this.#halves.set(place, line)
      } else if (record < first) this.#lostAtStart++
      else {
        line.push(place, record, size)
        this.#replayed?.set(record, { line, place })
        this.#count(line, size, heldSince)
      }
    })
    for (const line of this.#lines) if (line.isEmpty) this.#lines.remove(line)
  }

  /**
   * After the replay: what waits for nobody is released.
   * @param isPending whether a half message is still undecided
   */
  start(isPending: (half: number) => boolean): void {
    this.#replayed = undefined
    // Its record is gone or damaged: nobody could ever settle it.
    for (const [half, line] of this.#halves) {
      if (isPending(half)) continue
      this.#halves.delete(half)
      this.#leave(line, half)
    }
    const { holding } = this.#lines
    const bySince = [...holding].sort((a, b) => a.heldSince - b.heldSince)
    holding.clear()
    for (const line of bySince) {
      holding.add(line)
      if (line.isReady) this.#releases.ready(line)
    }
    this.#releases.start()
    this.#watch.start()
  }

  close(): void {
    this.#releases.close()
    this.#watch.close()
  }

  /** Physical offset that retention must not pass, Infinity when nothing is held. Visits every entry. */
  earliestPinned(): number {
    let earliest = this.#departures.earliestRecord()
    for (const line of this.#lines.holding) {
      line.each((_place, record) => {
        if (record >= 0 && record < earliest) earliest = record
      })
    }
    return earliest
  }

  stats(): GroupOrderStats {
    const { released, orphaned, lost } = this.#releases.counts
    return {
      groups: this.#lines.holding.size,
      held: this.#held,
      heldBytes: this.#heldBytes,
      oldestHeldMs: this.#watch.oldestMs(),
      released,
      orphaned,
      lost: lost + this.#lostAtStart,
    }
  }

  #reserve(topic: string, bytes: Buffer, start: number, end: number, physicalOffset: number): void {
    const line = this.#lines.findOrAdd(topic, bytes, start, end)
    line.push(physicalOffset, PENDING, 0)
    this.#halves.set(physicalOffset, line)
  }

  #count(line: GroupLine, size: number, storeTimestamp: number): void {
    this.#held++
    this.#heldBytes += size
    if (this.#lines.holding.has(line)) return
    line.heldSince = storeTimestamp
    this.#lines.holding.add(line)
  }

  #leave(line: GroupLine, place: number): void {
    const { held, heldBytes } = line
    line.leave(place)
    if (held > line.held) this.#uncount(line, heldBytes - line.heldBytes)
    else if (line.isEmpty) this.#lines.remove(line)
  }

  #uncount(line: GroupLine, size: number): void {
    this.#held--
    this.#heldBytes -= size
    if (line.held === 0) this.#lines.holding.delete(line)
    if (line.isEmpty) this.#lines.remove(line)
  }
}

/** What the rooms that append need of the order of groups. */
export type HoldsBack = Pick<GroupOrder, 'isActive' | 'holds' | 'append'>
