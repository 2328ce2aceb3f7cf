import { type CheckAnswer, TandemError } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { LogWriter } from '../log-writer.ts'
import { type CheckLaneOwner, CheckLanes, type CheckPeer } from './check-lanes.ts'
import { BACK_OFF_MS, CheckSchedule } from './check-schedule.ts'
import type { HalfMessage } from './half-message.ts'

/** Single checks per turn and pause before the next slice: a backlog of open transactions must not become a flood. */
const CHECKS_PER_SLICE = 100
const SLICE_PAUSE_MS = 10
/** Halves put into waiting lines per turn; their number on the wire is limited there. */
const LINED_UP_PER_SLICE = 5_000

export interface CheckBackOptions {
  clock: Clock
  log: LogWriter
  /** Longest pause. */
  intervalMs: number
  /** CHECK_TRANSACTION_STATE, one for one half; false: there is nobody. */
  ask(half: HalfMessage, record: Buffer): boolean
  /** Whoever is to be asked next, if it takes many at once. */
  peerOf(half: HalfMessage): CheckPeer | undefined
  transactionIdOf(half: HalfMessage): string | undefined
  /** The unsettled half at a physical offset. */
  find(physicalOffset: number): HalfMessage | undefined
  /** What a client answered; afterwards `half` may still be pending. @throws {StoreError} */
  decide(half: HalfMessage, decision: 'commit' | 'rollback'): void
}

/**
 * Asks producers what became of their undecided half messages, each again and again with growing pauses, until they say.
 * Only answered asks count as attempts.
 */
export class CheckBack implements CheckLaneOwner {
  readonly #options: CheckBackOptions
  readonly #clock: Clock
  readonly #schedule: CheckSchedule
  readonly #lanes = new CheckLanes(this)
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #running = false
  /** Halves about which nobody could be asked. */
  #missed = 0
  /** Half messages somebody was asked about, alone or among many. */
  sent = 0
  /** Answers to that, whatever they say. */
  answers = 0
  /** Answers "that is not my database". */
  notMine = 0
  /** Halves of batched requests that were not answered: the client said nothing in time, or its connection broke. */
  lost = 0
  /** Check-backs for which there was nobody to ask. */
  unanswerable = 0

  constructor(options: CheckBackOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#schedule = new CheckSchedule(options.find)
  }

  /** Batched requests sent. */
  get requests(): number {
    return this.#lanes.requests
  }

  /** The first check of `half`, so many ms from now. */
  add(half: HalfMessage, delayMs: number): void {
    this.#schedule.add(half, this.#clock.monotonic() + delayMs)
    if (half.dueAt < this.#timerAt) this.#arm()
  }

  /** A decision was taken. */
  forget(half: HalfMessage): void {
    this.#miss(half, false)
    if (half.queued === 'lane') this.#lanes.remove(half)
    else this.#schedule.remove(half)
  }

  /** A producer answered about this half alone, even if only that it does not know. */
  heard(half: HalfMessage): void {
    half.attempts++
    this.answers++
  }

  /** Until the next check; undefined when there will be none. */
  dueInMs(half: HalfMessage): number | undefined {
    return half.queued === 'no' ? undefined : Math.max(0, half.dueAt - this.#clock.monotonic())
  }

  /** Its last request was not answered in time. */
  isSilent(connectionId: number): boolean {
    return this.#lanes.isSilent(connectionId)
  }

  connectionClosed(connectionId: number): void {
    this.#lanes.connectionClosed(connectionId)
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

  transactionIdOf(half: HalfMessage): string | undefined {
    return this.#options.transactionIdOf(half)
  }

  unreadable(half: HalfMessage): void {
    this.unanswerable++
    this.#again(half)
  }

  asking(half: HalfMessage): void {
    this.#miss(half, false)
    half.asked++
    this.sent++
  }

  answered(half: HalfMessage, answer: CheckAnswer): void {
    this.heard(half)
    if (answer === 'notMine') this.notMine++
    if (answer === 'commit' || answer === 'rollback') {
      try {
        this.#options.decide(half, answer)
      } catch (error) {
        // The log takes nothing now: as if nobody had answered.
        if (!(error instanceof TandemError)) throw error
      }
    }
    if (half.queued === 'asked') this.#again(half)
  }

  unanswered(half: HalfMessage, isGone: boolean): void {
    this.lost++
    if (half.queued !== 'asked') return
    if (isGone) this.released(half)
    else this.#again(half)
  }

  released(half: HalfMessage): void {
    half.queued = 'no'
    if (half.state === 'pending') this.add(half, 0)
  }

  schedulePump(): void {
    this.#clock.soon(() => {
      if (this.#running) this.#lanes.pump()
    })
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
    let single = 0
    for (let n = 0; n < LINED_UP_PER_SLICE && single < CHECKS_PER_SLICE; n++) {
      const half = this.#schedule.takeDue(now)
      if (half === undefined) break
      if (half.state !== 'pending') continue
      const peer = this.#options.peerOf(half)
      if (peer !== undefined) {
        this.#miss(half, false)
        this.#lanes.add(half, peer)
      } else {
        single++
        this.#checkOne(half)
      }
    }
    this.#arm(single === CHECKS_PER_SLICE ? now + SLICE_PAUSE_MS : 0)
  }

  #checkOne(half: HalfMessage): void {
    const handed = this.#hand(half)
    if (handed) {
      half.asked++
      this.sent++
    } else this.unanswerable++
    this.#miss(half, !handed)
    this.#again(half)
  }

  /** The next check after the pause that is due. */
  #again(half: HalfMessage): void {
    half.queued = 'no'
    if (half.state !== 'pending') return
    const pause = BACK_OFF_MS[Math.min(half.step++, BACK_OFF_MS.length - 1)] as number
    this.add(half, Math.min(pause, this.#options.intervalMs))
  }

  #miss(half: HalfMessage, missed: boolean): void {
    if (half.missed !== missed) this.#missed += missed ? 1 : -1
    half.missed = missed
  }

  #hand(half: HalfMessage): boolean {
    try {
      const record = this.#options.log.read(half.physicalOffset, true)
      return record !== undefined && this.#options.ask(half, record)
    } catch (error) {
      // A record that cannot be read, a connection that broke: nobody was asked, and the others must be.
      if (error instanceof TandemError) return false
      throw error
    }
  }
}
