import { TandemError } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import { Firing } from './in-flight.ts'
import type { ParkedRecords } from './parked-records.ts'
import type { TimerChanges } from './timer-changes.ts'
import { TimerState, type TimerTable } from './timer-table.ts'

/** Deliveries per turn: a backlog of overdue messages must not hold up everybody else. */
const FIRES_PER_SLICE = 500
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
  onLost?: ((physicalOffset: number) => void) | undefined
  onOrphan?: ((topic: string, physicalOffset: number) => void) | undefined
}

/**
 * Delivers what is due: never early by the wall clock, in slices, again and again until the log takes it. While the disk
 * is full or the store is read-only everything waits.
 */
export class Deliveries {
  readonly #options: DeliveriesOptions
  readonly #clock: Clock
  readonly #table: TimerTable
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #running = false
  #scheduled = false
  #inFlight = 0
  #notBefore = 0
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
    this.#timer = undefined
    this.#timerAt = Number.POSITIVE_INFINITY
  }

  /** Something new is in the table. */
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
    const { counts } = this
    const { records, deletedBefore, onLost } = this.#options
    const physicalOffset = this.#table.physicalOffset(id)
    this.#table.move(id, TimerState.firing)
    const isDeleted = (topic: string): boolean => physicalOffset < deletedBefore(topic)
    try {
      const result = records.appendFired(physicalOffset, isDeleted, new Firing(this, id, now))
      if (result !== undefined) {
        if (result !== 'appended') this.#discard(id, now, result.orphanOf)
        this.#inFlight++
        if (now - dueAt > counts.latestLateMs) counts.latestLateMs = now - dueAt
        return
      }
    } catch (error) {
      this.#tryAgain(id)
      // A store that takes nothing will not take the next one either.
      if (error instanceof TandemError && takesNothing.has(error.code)) this.#notBefore = now + this.#retryMs
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
