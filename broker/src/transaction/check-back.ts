import { TandemError } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { LogWriter } from '../log-writer.ts'
import { BACK_OFF_MS, CheckSchedule } from './check-schedule.ts'
import type { HalfMessage } from './half-message.ts'

/** Checks per turn and pause before the next slice: a backlog of open transactions must not become a flood. */
const CHECKS_PER_SLICE = 100
const SLICE_PAUSE_MS = 10

/**
 * Asks producers what became of their undecided half messages, each again and again with growing pauses, until they say.
 * Only answered asks count as attempts.
 */
export class CheckBack {
  readonly #clock: Clock
  readonly #log: LogWriter
  readonly #intervalMs: number
  readonly #ask: (half: HalfMessage, record: Buffer) => boolean
  readonly #schedule: CheckSchedule
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #running = false
  /** Halves about which nobody could be asked. */
  #missed = 0
  /** Check-backs handed to a live producer. */
  sent = 0
  /** Answers to check-backs, whatever they say. */
  answers = 0
  /** Check-backs for which there was none. */
  unanswerable = 0

  constructor(options: {
    clock: Clock
    log: LogWriter
    /** Longest pause. */
    intervalMs: number
    ask(half: HalfMessage, record: Buffer): boolean
    /** The unsettled half at a physical offset. */
    find(physicalOffset: number): HalfMessage | undefined
  }) {
    this.#clock = options.clock
    this.#log = options.log
    this.#intervalMs = options.intervalMs
    this.#ask = options.ask
    this.#schedule = new CheckSchedule(options.find)
  }

  /** The first check of `half`, so many ms from now. */
  add(half: HalfMessage, delayMs: number): void {
    this.#schedule.add(half, this.#clock.monotonic() + delayMs)
    if (half.dueAt < this.#timerAt) this.#arm()
  }

  /** A decision was taken. */
  forget(half: HalfMessage): void {
    this.#miss(half, false)
    this.#schedule.remove(half)
  }

  /** A producer said something about `half`, even if only that it does not know. */
  answered(half: HalfMessage): void {
    half.attempts++
    this.answers++
  }

  /** Until the next check; undefined when there will be none. */
  dueInMs(half: HalfMessage): number | undefined {
    return half.queued === 'no' ? undefined : Math.max(0, half.dueAt - this.#clock.monotonic())
  }

  /**
   * Those of `halves` about which nobody could be asked, and about which somebody of this group or domain may be asked,
   * are due now.
   */
  producerOnline(halves: Iterable<HalfMessage>, who: { group: string } | { domain: string }): void {
    // Nobody was missed, which is nearly always so: a thousand producers that come back cost nothing.
    if (this.#missed === 0) return
    const now = this.#clock.monotonic()
    for (const half of halves) {
      if (!half.missed || half.queued === 'no') continue
      if ('group' in who ? half.group !== who.group : half.domain !== who.domain) continue
      this.#miss(half, false)
      half.step = 0
      this.#schedule.add(half, now)
    }
    this.#arm()
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

  #arm(notBefore = 0): void {
    if (!this.#running) return
    const at = Math.max(this.#schedule.nextAt, notBefore)
    if (at === this.#timerAt) return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAt = at
    if (at === Number.POSITIVE_INFINITY) return
    this.#timer = this.#clock.setTimer(Math.max(0, at - this.#clock.monotonic()), () => this.#check())
  }

  #check(): void {
    this.#timer = undefined
    this.#timerAt = Number.POSITIVE_INFINITY
    const now = this.#clock.monotonic()
    let checked = 0
    while (checked < CHECKS_PER_SLICE) {
      const half = this.#schedule.takeDue(now)
      if (half === undefined) break
      checked++
      this.#checkOne(half, now)
    }
    this.#arm(checked === CHECKS_PER_SLICE ? now + SLICE_PAUSE_MS : 0)
  }

  #checkOne(half: HalfMessage, now: number): void {
    if (half.state !== 'pending') return
    const handed = this.#hand(half)
    if (handed) {
      half.asked++
      this.sent++
    } else this.unanswerable++
    this.#miss(half, !handed)
    const pause = BACK_OFF_MS[Math.min(half.step++, BACK_OFF_MS.length - 1)] as number
    this.#schedule.add(half, now + Math.min(pause, this.#intervalMs))
  }

  #miss(half: HalfMessage, missed: boolean): void {
    if (half.missed !== missed) this.#missed += missed ? 1 : -1
    half.missed = missed
  }

  #hand(half: HalfMessage): boolean {
    try {
      const record = this.#log.read(half.physicalOffset, true)
      return record !== undefined && this.#ask(half, record)
    } catch (error) {
      // A record that cannot be read, a connection that broke: nobody was asked, and the others must be.
      if (error instanceof TandemError) return false
      throw error
    }
  }
}
