import {
  DEFAULT_DELAY_LEVELS,
  type PropertyScan,
  type RecordFields,
  type RecordView,
  TandemError,
} from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import { KeyHash } from '../key-hash.ts'
import { isOpRecord, OpRecords } from '../op-record.ts'
import { sourceOf } from '../settles.ts'
import { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import type { AppendCompletion, DerivedState } from '../store/index.ts'
import { deliverAtOf } from './deliver-at.ts'
import { Firing, Parking, type TimerOwner } from './in-flight.ts'
import { ParkedRecords } from './parked-records.ts'
import type { CancelOutcome, DelayServiceOptions, DelayStats } from './types.ts'
import { TimerState, TimerTable } from './timer-table.ts'

/** Deliveries per turn: a backlog of overdue messages must not hold up everybody else. */
const FIRES_PER_SLICE = 500
/** Deliveries on their way to the disk. */
const FIRES_IN_FLIGHT_MAX = 4_096
/** The wall clock may be set forward while the timer sleeps by the other one: look at least so often. */
const WAKE_UP_MS = 1_000
const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 5_000

const takesNothing: ReadonlySet<string> = new Set(['STORE_FENCED', 'STORE_CLOSED', 'DISK_FULL'])

/**
 * Delayed messages. A parked record waits in the log; at its time one append delivers a copy that names it, a cancel
 * is one op record that names it, so after a crash it is either pending or settled. Never early by the broker's wall
 * clock, also when that is set back; an append that fails is repeated until it is stored.
 *
 * @see broker.md 4, remoting.md 4.8
 */
export class DelayService implements TimerOwner, DerivedState {
  readonly #clock: Clock
  readonly #rules: { levels: readonly number[]; horizonMs: number }
  readonly #onLost: ((physicalOffset: number) => void) | undefined
  readonly #records: ParkedRecords
  readonly #ops: OpRecords
  readonly #table: TimerTable
  /** Numbers of pending ones by physical offset, during the replay only. */
  #replayed: Map<number, number> | undefined = new Map()
  /** Cancels of the same message that wait for one op record. */
  readonly #cancelling = new Map<number, ((cancelled: boolean) => void)[]>()
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #running = false
  #scheduled = false
  #inFlight = 0
  #notBefore = 0
  #retryMs = RETRY_FIRST_MS
  #fired = 0
  #cancelled = 0
  #latestLateMs = 0
  #retried = 0
  #lost = 0

  constructor(options: DelayServiceOptions) {
    this.#clock = options.clock
    this.#rules = {
      levels: options.levels ?? DEFAULT_DELAY_LEVELS,
      horizonMs: options.horizonMs ?? 365 * 86_400_000,
    }
    this.#onLost = options.onLost
    this.#records = new ParkedRecords(options.log, new KeyHash(options.clock), this.#rules.levels)
    this.#ops = new OpRecords(options.log)
    this.#table = new TimerTable({
      settledMax: options.settledMax ?? 100_000,
      settledWindowMs: options.settledWindowMs ?? 3_600_000,
    })
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
  deliverAt(scan: PropertyScan, bytes: Buffer, nowMs: number): number {
    return deliverAtOf(scan, bytes, nowMs, this.#rules)
  }

  /**
   * Parks the message at hand until `deliverAt`. `fields` is rewritten on the way: afterwards it describes the parked
   * record (SCHEDULE_TOPIC_XXXX queue level - 1, or rmq_sys_wheel_timer queue 0).
   * @throws {BrokerError} MESSAGE_ILLEGAL when the properties have no room for the real destination
   */
  append(fields: RecordFields, deliverAt: number, completion?: AppendCompletion): void {
    let parked: Parking | undefined
    this.#records.append(fields, deliverAt, (fingerprint) => {
      parked = new Parking(this, deliverAt, fingerprint, completion)
      return parked
    })
    if (parked !== undefined) parked.physicalOffset = fields.physicalOffset
  }

  /**
   * Takes back what was sent to `topic` under `uniqueKey`. The answer is durable: `cancelled` will never be delivered,
   * `fired` was or is being delivered, `unknown` was never parked here, or settled too long ago to be remembered.
   * @throws {StoreError} when the log refuses; nothing was decided
   */
  cancel(topic: string, uniqueKey: string, done: (outcome: CancelOutcome) => void): void {
    const topicBytes = Buffer.from(topic, 'utf8')
    const key = Buffer.from(uniqueKey, 'utf8')
    const found: number[] = []
    const table = this.#table
    const fingerprint = this.#records.fingerprintOf(topicBytes, key)
    for (let id = table.first(fingerprint); id >= 0; id = table.next()) found.push(id)
    let answer: CancelOutcome = 'unknown'
    let waiting = 1
    const settle = (outcome: CancelOutcome): void => {
      if (outcome === 'fired' || (outcome === 'cancelled' && answer === 'unknown')) answer = outcome
      if (--waiting === 0) done(answer)
    }
    for (const id of found) {
      if (!this.#records.is(table.physicalOffset(id), topicBytes, key)) continue
      waiting++
      this.#cancelOne(id, settle)
    }
    settle('unknown')
  }

  /** Rebuilds the index from one record of the log; records come in log order, before {@link start}. */
  replay(record: RecordView, bytes: Buffer): void {
    const replayed = this.#replayed
    if (replayed === undefined) throw new Error('replay after start')
    const source = sourceOf(record.preparedTransactionOffset)
    const settled = source < 0 ? undefined : replayed.get(source)
    if (settled !== undefined) {
      replayed.delete(source)
      const state = isOpRecord(record, bytes) ? TimerState.cancelled : TimerState.fired
      this.#table.settle(settled, state, record.storeTimestamp)
    }
    const parked = this.#records.parked(record, bytes)
    if (parked === undefined) return
    replayed.set(record.physicalOffset, this.#table.add(record.physicalOffset, parked.dueAt, parked.fingerprint))
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
    this.#table.load(reader, first, (physicalOffset, id) => this.#replayed?.set(physicalOffset, id))
  }

  /** After the replay: what is overdue is delivered now, in slices. */
  start(): void {
    this.#replayed = undefined
    this.#running = true
    this.#arm()
  }

  close(): void {
    this.#running = false
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAt = Number.POSITIVE_INFINITY
  }

  /** Physical offset that retention must not pass, Infinity when nothing is parked. Visits every entry. */
  earliestPinned(): number {
    return this.#table.earliest()
  }

  stats(): DelayStats {
    return {
      pending: this.#table.unsettled,
      fired: this.#fired,
      cancelled: this.#cancelled,
      latestLateMs: this.#latestLateMs,
      retried: this.#retried,
      lost: this.#lost,
    }
  }

  /** The parked record is as safe as the flush policy promises: from now on it will be delivered. */
  parked(physicalOffset: number, dueAt: number, fingerprint: number): void {
    this.#table.add(physicalOffset, dueAt, fingerprint)
    if (dueAt < this.#timerAt) this.#arm()
  }

  fired(id: number, storeTimestamp: number): void {
    this.#fired++
    this.#inFlight--
    this.#retryMs = RETRY_FIRST_MS
    this.#table.settle(id, TimerState.fired, storeTimestamp)
    if (this.#inFlight === FIRES_IN_FLIGHT_MAX / 2) this.#arm()
  }

  /** The store broke under the copy: whether the log holds it is known after the restart, so it is not sent again. */
  fireFailed(): void {
    this.#inFlight--
  }

  #cancelOne(id: number, settle: (outcome: CancelOutcome) => void): void {
    const answer = (cancelled: boolean): void => settle(cancelled ? 'cancelled' : 'unknown')
    switch (this.#table.state(id)) {
      case TimerState.pending: {
        const physicalOffset = this.#table.physicalOffset(id)
        const waiters = [answer]
        const now = this.#clock.now()
        // Its delivery may have begun before, and somebody been told so: by a broker that died, or by one the log refused.
        if (this.#table.dueAt(id) <= now) return settle('fired')
        this.#table.move(id, TimerState.cancelling)
        const finish = (cancelled: boolean): void => {
          this.#cancelling.delete(id)
          for (const waiter of waiters) waiter(cancelled)
        }
        try {
          this.#ops.append(physicalOffset, now, {
            stored: () => {
              this.#cancelled++
              this.#table.settle(id, TimerState.cancelled, now)
              finish(true)
            },
            // Only the restart can tell whether the log holds the op record: neither delivered nor promised until then.
            failed: () => finish(false),
          })
        } catch (error) {
          this.#table.move(id, TimerState.pending)
          throw error
        }
        this.#cancelling.set(id, waiters)
        return
      }
      case TimerState.cancelling:
        if (this.#cancelling.get(id)?.push(answer) === undefined) settle('unknown')
        return
      case TimerState.cancelled:
        return settle('cancelled')
      default:
        return settle('fired')
    }
  }

  #fireDue(): void {
    this.#timer = undefined
    this.#timerAt = Number.POSITIVE_INFINITY
    if (!this.#running) return
    const now = this.#clock.now()
    let fired = 0
    while (fired < FIRES_PER_SLICE && this.#inFlight < FIRES_IN_FLIGHT_MAX && now >= this.#notBefore) {
      const dueAt = this.#table.nextDue
      const id = this.#table.takeDue(now)
      if (id < 0) break
      fired++
      this.#fire(id, now, dueAt)
    }
    this.#arm()
  }

  #fire(id: number, now: number, dueAt: number): void {
    const physicalOffset = this.#table.physicalOffset(id)
    this.#table.move(id, TimerState.firing)
    try {
      if (this.#records.appendFired(physicalOffset, new Firing(this, id, now))) {
        this.#inFlight++
        if (now - dueAt > this.#latestLateMs) this.#latestLateMs = now - dueAt
        return
      }
    } catch (error) {
      this.#tryAgain(id)
      // A store that takes nothing will not take the next one either.
      if (error instanceof TandemError && takesNothing.has(error.code)) this.#notBefore = now + this.#retryMs
      return
    }
    this.#lost++
    this.#table.drop(id)
    this.#onLost?.(physicalOffset)
  }

  #tryAgain(id: number): void {
    this.#retried++
    this.#table.move(id, TimerState.pending)
    this.#table.schedule(id, this.#clock.now() + this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS)
  }

  #arm(): void {
    if (!this.#running || this.#inFlight >= FIRES_IN_FLIGHT_MAX) return
    const dueAt = Math.max(this.#table.nextDue, this.#notBefore)
    if (dueAt >= this.#timerAt || dueAt === Number.POSITIVE_INFINITY) return
    const now = this.#clock.now()
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAt = Math.min(dueAt, now + WAKE_UP_MS)
    if (dueAt > now) this.#timer = this.#clock.setTimer(Math.min(dueAt - now, WAKE_UP_MS), () => this.#fireDue())
    else if (!this.#scheduled) {
      this.#scheduled = true
      this.#clock.soon(() => {
        this.#scheduled = false
        this.#fireDue()
      })
    }
  }
}
