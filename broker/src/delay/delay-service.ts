import {
  DEFAULT_DELAY_LEVELS,
  isRetryTopic,
  type PropertyScan,
  type RecordFields,
  type RecordView,
} from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import { KeyHash } from '../key-hash.ts'
import { isOpRecord } from '../op-record.ts'
import { sourceOf } from '../settles.ts'
import { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import type { AppendCompletion, DerivedState } from '../store/index.ts'
import { beyondHorizon, deliverAtOf, namesDelay } from './deliver-at.ts'
import { Deliveries } from './deliveries.ts'
import { type OnParked, Parking } from './in-flight.ts'
import { KeyedTimers } from './keyed-timers.ts'
import { type ParkedRecord, ParkedRecords } from './parked-records.ts'
import { TimerChanges } from './timer-changes.ts'
import { TimerList } from './timer-list.ts'
import { TimerState } from './timer-state.ts'
import { TimerTable } from './timer-table.ts'
import type {
  CancelDone,
  DelayServiceOptions,
  DelayStats,
  KeyedCancel,
  KeyedReschedule,
  NewTime,
  RescheduleDone,
  TimerPage,
  TimerQuery,
} from './types.ts'

/**
 * Delayed messages. A parked record waits in the log; at its time one append delivers a copy that names it, a cancel
 * is one op record that names it, so after a crash it is either pending or settled. Never early by the broker's wall
 * clock, also when that is set back; an append that fails is repeated until it is stored.
 *
 * @see broker.md 4, remoting.md 4.8
 */
export class DelayService implements DerivedState {
  readonly #clock: Clock
  readonly #rules: { levels: readonly number[]; horizonMs: number }
  readonly #records: ParkedRecords
  readonly #table: TimerTable
  /** Numbers of pending ones by physical offset, during the replay only. */
  #replayed: Map<number, number> | undefined = new Map()
  readonly #onParked: OnParked
  readonly #changes: TimerChanges
  readonly #keyed: KeyedTimers
  readonly #list: TimerList
  readonly #deliveries: Deliveries
  readonly #newestTimestamp: () => number

  constructor(options: DelayServiceOptions) {
    this.#clock = options.clock
    this.#rules = {
      levels: options.levels ?? DEFAULT_DELAY_LEVELS,
      horizonMs: options.horizonMs ?? 365 * 86_400_000,
    }
    this.#records = new ParkedRecords(options.log, new KeyHash(options.clock), this.#rules.levels)
    this.#table = new TimerTable({
      settledMax: options.settledMax ?? 100_000,
      settledWindowMs: options.settledWindowMs ?? 3_600_000,
    })
    const { clock, log, deletedBefore = () => 0, findByKey = () => [] } = options
    this.#newestTimestamp = options.newestTimestamp ?? (() => Number.POSITIVE_INFINITY)
    const { onLost, onOrphan, turnTimestamp = () => Number.POSITIVE_INFINITY } = options
    const parts = { clock, table: this.#table, records: this.#records, deletedBefore }
    this.#onParked = (physicalOffset, parked) => {
      this.#add(physicalOffset, parked)
      this.#deliveries.wake(parked.isRetry ? Number.NEGATIVE_INFINITY : parked.dueAt)
    }
    this.#changes = new TimerChanges({ ...parts, log, onMoved: this.#onParked })
    this.#keyed = new KeyedTimers({ ...parts, changes: this.#changes, findByKey })
    this.#list = new TimerList({ ...parts, keyed: this.#keyed })
    this.#deliveries = new Deliveries({ ...parts, changes: this.#changes, turnTimestamp, onLost, onOrphan })
  }

  /** Longest delay of messages from now on, ms. */
  set horizonMs(horizonMs: number) {
    this.#rules.horizonMs = horizonMs
  }

  /**
   * When the message is to be delivered, ms since 1970; 0 = at once.
   * @param scan over `bytes`
   * @throws {BrokerError} MESSAGE_ILLEGAL for a number that is none, or one beyond the horizon
   */
  deliverAt(scan: PropertyScan, bytes: Buffer): number {
    return namesDelay(scan) ? deliverAtOf(scan, bytes, this.#clock.now(), this.#rules) : 0
  }

  /**
   * Parks the message at hand until `deliverAt`. `fields` is rewritten on the way: afterwards it describes the parked
   * record (SCHEDULE_TOPIC_XXXX queue level - 1, or rmq_sys_wheel_timer queue 0).
   * @throws {BrokerError} MESSAGE_ILLEGAL when the properties have no room for the real destination
   */
  append(fields: RecordFields, deliverAt: number, completion?: AppendCompletion): void {
    let parked: Parking | undefined
    this.#records.append(fields, deliverAt, (fingerprint, isRetry) => {
      // Not when it is stored: on a full disk that is long after, and the wall clock may be set meanwhile.
      const steadyDueAt = this.#steadyOf(deliverAt)
      parked = new Parking(this.#onParked, { dueAt: deliverAt, fingerprint, isRetry, steadyDueAt }, completion)
      return parked
    })
    if (parked !== undefined) parked.physicalOffset = fields.physicalOffset
  }

  /**
   * Takes back what was sent to `topic` under `uniqueKey`. The answer is durable: `cancelled` will never be delivered,
   * `fired` was or is being delivered, `unknown` was never parked here, or settled too long ago to be remembered.
   * @throws {StoreError} when the log refuses; nothing was decided
   */
  cancel(topic: string, uniqueKey: string, done: CancelDone): void {
    this.#changes.cancel(topic, uniqueKey, done)
  }

  /**
   * Moves what was sent to `topic` under `uniqueKey` to another time. One record settles the old parked one and is the new
   * one, so a crash leaves exactly one of them. It keeps its unique key, so handles given out before stay good.
   * @throws {BrokerError} MESSAGE_ILLEGAL beyond the horizon; INVALID_PARAMETER for no time, or a retry topic
   * @throws {StoreError} when the log refuses; nothing was decided
   */
  reschedule(topic: string, uniqueKey: string, time: NewTime, done: RescheduleDone): void {
    this.#changes.reschedule(topic, uniqueKey, this.#newTime(topic, time), done)
  }

  /** As {@link cancel} for every message to `topic` that waits with this word in its KEYS, or has it as message id. */
  async cancelByKey(topic: string, key: string): Promise<KeyedCancel> {
    refuseRetries(topic)
    return this.#keyed.cancel(topic, key)
  }

  /** As {@link reschedule} for every message to `topic` that waits with this word in its KEYS, or has it as message id. */
  async rescheduleByKey(topic: string, key: string, time: NewTime): Promise<KeyedReschedule> {
    return this.#keyed.reschedule(topic, key, this.#newTime(topic, time))
  }

  /** What waits, by due time, in pages. @throws {BrokerError} INVALID_PARAMETER */
  list(query: TimerQuery): Promise<TimerPage> {
    return this.#list.page(query)
  }

  /** Rebuilds the index from one record of the log; records come in log order, before {@link start}. */
  replay(record: RecordView, bytes: Buffer): void {
    const replayed = this.#replayed
    if (replayed === undefined) throw new Error('replay after start')
    const source = sourceOf(record.preparedTransactionOffset)
    const settled = source < 0 ? undefined : replayed.get(source)
    const parked = this.#records.parked(record, bytes)
    if (settled !== undefined) {
      replayed.delete(source)
      const state = isOpRecord(record, bytes) ? TimerState.cancelled : TimerState.fired
      // A parked record in its place: it was moved to another time.
      if (parked !== undefined) this.#table.drop(settled)
      else this.#table.settle(settled, state, record.storeTimestamp)
    }
    if (parked === undefined) return
    replayed.set(record.physicalOffset, this.#add(record.physicalOffset, parked))
  }

  snapshot(before: number): Buffer[] {
    const writer = new SnapshotWriter().column(Int32Array.from(this.#records.hash.key))
    this.#table.save(writer, before)
    return writer.finish()
  }

  restore(snapshot: Buffer, first: number): void {
    const reader = new SnapshotReader(snapshot)
    const [k0, k1] = reader.int32(2)
    this.#records.hash.key = [k0 as number, k1 as number]
    const steadyOf = (dueAt: number): number => this.#steadyOf(dueAt)
    this.#table.load(reader, first, steadyOf, (physicalOffset, id) => this.#replayed?.set(physicalOffset, id))
  }

  /** After the replay: what is overdue is delivered now, in slices. */
  start(): void {
    this.#replayed = undefined
    if (this.#clock.now() < this.#newestTimestamp()) this.#shortenRetries()
    this.#deliveries.start()
  }

  close(): void {
    this.#deliveries.close()
  }

  /** Physical offset that retention must not pass, Infinity when nothing is parked. Visits every entry. */
  earliestPinned(): number {
    return this.#table.earliest()
  }

  stats(): DelayStats {
    const { cancelled, rescheduled } = this.#changes
    return { pending: this.#table.unsettled, cancelled, rescheduled, ...this.#deliveries.counts }
  }

  #add(physicalOffset: number, { dueAt, fingerprint, isRetry, steadyDueAt }: ParkedRecord): number {
    const steadyAt = isRetry ? (steadyDueAt ?? this.#steadyOf(dueAt)) : undefined
    return this.#table.add(physicalOffset, dueAt, fingerprint, steadyAt)
  }

  /** Across a restart only the wall clock can tell how long a retry has waited. */
  #steadyOf(dueAt: number): number {
    return this.#clock.monotonic() + Math.max(0, dueAt - this.#clock.now())
  }

  /** The clock was set back while the broker was down, or before it: no retry waits for longer than it was to. */
  #shortenRetries(): void {
    const now = this.#clock.now()
    this.#table.reorderSteady((id) => {
      const dueAt = this.#table.dueAt(id)
      const again = this.#table.state(id) === TimerState.pending && dueAt > now
      const latest = again ? this.#records.dueIfParkedAt(this.#table.physicalOffset(id), now) : 0
      return this.#steadyOf(latest === 0 ? dueAt : Math.min(dueAt, latest))
    })
  }

  #newTime(topic: string, { deliverAt, delayMs }: NewTime): number {
    refuseRetries(topic)
    const now = this.#clock.now()
    const at = deliverAt ?? now + (delayMs ?? Number.NaN)
    if (!Number.isSafeInteger(at) || at < 0 || (deliverAt === undefined && at < now)) {
      throw new BrokerError('INVALID_PARAMETER', 'deliverAt or delayMs must be a whole number of ms >= 0')
    }
    if (at > now + this.#rules.horizonMs) throw beyondHorizon(at - now, this.#rules.horizonMs)
    return Math.max(at, now)
  }
}

function refuseRetries(topic: string): void {
  if (isRetryTopic(topic)) throw new BrokerError('INVALID_PARAMETER', 'retries follow the policy of their group')
}
