import { TandemError } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import { Firing } from './in-flight.ts'
import type { ParkedRecords } from './parked-records.ts'
import type { TimerChanges } from './timer-changes.ts'
import { TimerState } from './timer-state.ts'
import type { TimerTable } from './timer-table.ts'

/** Deliveries per turn: a backlog of overdue messages must not hold up everybody else. */
const FIRES_PER_SLICE = 500
/** And not for longer: records read from a slow disk take their time. */
const SLICE_MS = 4
const LOOK_AT_CLOCK_EVERY = 32
/** Deliveries on their way to the disk. */
const FIRES_IN_FLIGHT_MAX = 4_096
/** The wall clock may be set forward while the timer sleeps by the other one: look at least so often. */
const WAKE_UP_MS = 1_000
const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 5_000

const takesNothing: ReadonlySet<string> = new Set(['STORE_FENCED', 'STORE_CLOSED', 'DISK_FULL'])

interface DeliveriesOptions {
  clock: Clock
  table: TimerTable
  records: ParkedRecords
  changes: TimerChanges
  /** Log offset before which the messages of a topic are deleted. */
  deletedBefore: (topic: string) => number
  /** What the log stamps the next record with when that may be earlier than the clock shows. */
  turnTimestamp: () => number
  onLost?: ((physicalOffset: number) => void) | undefined
  onOrphan?: ((topic: string, physicalOffset: number) => void) | undefined
}

/**
 * Delivers what is due: never early by the wall clock, also when that is set back; retries of consumers by the steady
 * clock, so that no jump hurries or holds them. In slices, again and again until the log takes it: while the disk is full or
 * the store is read-only everything waits.
 */
export class Deliveries {
  readonly #options: DeliveriesOptions
  readonly #clock: Clock
  readonly #table: TimerTable
  #timer: Timer | undefined
  /** What the timer waits for, by the wall clock and by the steady one. */
  #timerAt = Number.POSITIVE_INFINITY
  #timerSteady = Number.POSITIVE_INFINITY
  #running = false
  #scheduled = false
  #inFlight = 0
  /** By the steady clock. */
  #notBefore = Number.NEGATIVE_INFINITY
  #retryMs = RETRY_FIRST_MS
  readonly counts = { fired: 0, orphaned: 0, latestLateMs: 0, retried: 0, lost: 0 }

  constructor(options: DeliveriesOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#table = options.table
  }

  start(): void {
    this.#running = true
    this.#arm()
  }

  close(): void {
    this.#running = false
    this.#timer?.cancel()
    this.#disarm()
  }

  /** Something new is in the table, due at `dueAt` by the wall clock. */
  wake(dueAt: number): void {
    if (dueAt < this.#timerAt) this.#arm()
  }

  /** The copy is stored. */
  fired(id: number, storeTimestamp: number): void {
    this.counts.fired++
    this.#landed()
    this.#table.settle(id, TimerState.fired, storeTimestamp)
  }

  /** The store broke under the copy: whether the log holds it is known after the restart, so it is not sent again. */
  fireFailed(): void {
    this.#inFlight--
  }

  #landed(): void {
    this.#inFlight--
    this.#retryMs = RETRY_FIRST_MS
    if (this.#inFlight === FIRES_IN_FLIGHT_MAX / 2) this.#arm()
  }

  #fireDue(): void {
    this.#disarm()
    if (!this.#running) return
    // A delivery must not be stored with a time before its due time either: then it waits for the next turn.
    const now = Math.min(this.#clock.now(), this.#options.turnTimestamp())
    const steady = this.#clock.monotonic()
    let fired = 0
    while (fired < FIRES_PER_SLICE && this.#inFlight < FIRES_IN_FLIGHT_MAX && steady >= this.#notBefore) {
      const id = this.#table.takeDue(now, steady)
      if (id < 0) break
      fired++
      this.#fire(id, now)
      if (fired % LOOK_AT_CLOCK_EVERY === 0 && this.#clock.monotonic() - steady > SLICE_MS) break
    }
    this.#arm()
  }

  #fire(id: number, now: number): void {
    const { counts } = this
    const lateMs = this.#table.isSteady(id) ? 0 : now - this.#table.dueAt(id)
    const { records, deletedBefore, onLost } = this.#options
    const physicalOffset = this.#table.physicalOffset(id)
    this.#table.move(id, TimerState.firing)
    const isDeleted = (topic: string): boolean => physicalOffset < deletedBefore(topic)
    try {
      const result = records.appendFired(physicalOffset, isDeleted, new Firing(this, id, now))
      if (result !== undefined) {
        if (result !== 'appended') this.#discard(id, now, result.orphanOf)
        this.#inFlight++
        if (lateMs > counts.latestLateMs) counts.latestLateMs = lateMs
        return
      }
    } catch (error) {
      this.#tryAgain(id)
      // A store that takes nothing will not take the next one either.
      if (error instanceof TandemError && takesNothing.has(error.code))
        this.#notBefore = this.#clock.monotonic() + this.#retryMs
      return
    }
    counts.lost++
    this.#table.drop(id)
    onLost?.(physicalOffset)
  }

  /** Deleting a topic deletes what waits for it, even if there is one of that name again: said when the time comes. */
  #discard(id: number, now: number, topic: string): void {
    const physicalOffset = this.#table.physicalOffset(id)
    const stored = (): void => {
      this.counts.orphaned++
      this.#landed()
      this.#table.settle(id, TimerState.cancelled, now)
      this.#options.onOrphan?.(topic, physicalOffset)
    }
    this.#options.changes.discard(id, now, { stored, failed: () => this.fireFailed() })
  }

  #tryAgain(id: number): void {
    this.counts.retried++
    this.#table.move(id, TimerState.pending)
    this.#table.postpone(id, this.#clock.monotonic() + this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS)
  }

  #disarm(): void {
    this.#timer = undefined
    this.#timerAt = this.#timerSteady = Number.POSITIVE_INFINITY
  }

  #arm(): void {
    if (!this.#running || this.#inFlight >= FIRES_IN_FLIGHT_MAX) return
    const { nextDue, nextLater } = this.#table
    if (nextDue === Number.POSITIVE_INFINITY && nextLater === Number.POSITIVE_INFINITY) return
    const now = this.#clock.now()
    const steady = this.#clock.monotonic()
    const dueIn = Math.max(Math.min(nextDue - now, nextLater - steady), this.#notBefore - steady)
    const wait = Math.min(dueIn, WAKE_UP_MS)
    if (steady + wait >= this.#timerSteady) return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerSteady = steady + wait
    this.#timerAt = now + wait
    if (wait > 0) this.#timer = this.#clock.setTimer(wait, () => this.#fireDue())
    else if (!this.#scheduled) {
      this.#scheduled = true
      this.#clock.soon(() => {
        this.#scheduled = false
        this.#fireDue()
      })
    }
  }
}
