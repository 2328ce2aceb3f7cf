import { failpoints } from '../failpoint.ts'
import type { Clock, Logger } from '../foundation.ts'
import { messageOf } from '../outbox-error.ts'
import type { Decision, EndOutcome, Half, HalfSender } from './half-sender.ts'

const RETRY_MS = [200, 1_000, 3_000]
/** Calls under way: an END that waited for the answer to another one would be late by a round trip and a sync of the broker's disk. */
const CALLS_MAX = 4

interface Settlement {
  readonly transactionId: string
  readonly halves: readonly Half[]
  readonly decision: Decision
  /** The broker has acknowledged the end of every half. */
  readonly onSettled: () => void
  attempt: number
}

export interface SettlerOptions {
  sender: HalfSender
  clock: Clock
  logger: Logger
  /** The broker holds something else than was decided, or has lost a half. */
  onAnomaly(text: string): void
}

/**
 * Tells the broker what became of halves: END for all transactions that ended meanwhile in one call. What it cannot
 * deliver, the broker asks for (check-back), so nothing here is kept over a crash.
 */
export class Settler {
  readonly #options: SettlerOptions
  #queue: Settlement[] = []
  #isScheduled = false
  #calls = 0
  #idle: (() => void)[] = []
  #closed = false

  constructor(options: SettlerOptions) {
    this.#options = options
  }

  /** Halves whose END is not acknowledged yet. */
  pending = 0

  /** @param onSettled runs when the broker has acknowledged the end of every half; never when it holds something else */
  add(transactionId: string, halves: readonly Half[], decision: Decision, onSettled: () => void): void {
    this.pending += halves.length
    this.#enqueue({ transactionId, halves, decision, onSettled, attempt: 0 })
  }

  #enqueue(settlement: Settlement): void {
    this.#queue.push(settlement)
    this.#schedule()
  }

  /** One turn later: transactions whose COMMITs were answered by the same read share the call. */
  #schedule(): void {
    if (this.#isScheduled || this.#calls >= CALLS_MAX) return
    this.#isScheduled = true
    this.#options.clock.soon(() => this.#flush())
  }

  #flush(): void {
    this.#isScheduled = false
    const batch = this.#queue
    this.#queue = []
    this.#calls++
    const ended = (): void => this.#ended()
    this.#end(batch).then(ended, ended)
  }

  #ended(): void {
    this.#calls--
    if (this.#queue.length > 0) this.#schedule()
    else if (this.#calls === 0 && !this.#isScheduled) for (const done of this.#idle.splice(0)) done()
  }

  /** Never rejects. */
  async #end(batch: readonly Settlement[]): Promise<void> {
    try {
      const ends = batch.flatMap(({ halves, decision }) => halves.map((half) => ({ half, decision })))
      const answer = this.#options.sender.endMany(ends)
      failpoints?.hit('P12')
      const outcomes = await answer
      failpoints?.hit('P13')
      let at = 0
      for (const settlement of batch) {
        this.#acknowledge(settlement, outcomes.slice(at, at + settlement.halves.length))
        at += settlement.halves.length
      }
    } catch (error) {
      for (const settlement of batch) this.#retry(settlement, messageOf(error))
    }
  }

  #acknowledge(settlement: Settlement, outcomes: EndOutcome[]): void {
    const { transactionId, halves, decision } = settlement
    if (outcomes.some((outcome) => outcome === 'pending')) return this.#retry(settlement, 'still pending')
    this.pending -= halves.length
    const wanted: EndOutcome = decision === 'commit' ? 'committed' : 'rolledBack'
    const wrong = outcomes.find((outcome) => outcome !== wanted)
    if (wrong === undefined) return settlement.onSettled()
    // A half the broker does not know needs no rollback; a committed one it does not know is a lost message.
    if (decision === 'rollback' && wrong === 'unknown') return settlement.onSettled()
    this.#options.onAnomaly(`END(${decision}) of ${transactionId} was answered ${wrong}`)
  }

  #retry(settlement: Settlement, why: string): void {
    const delayMs = RETRY_MS[settlement.attempt++]
    if (delayMs === undefined || this.#closed) {
      this.pending -= settlement.halves.length
      this.#options.logger.warn(`END of ${settlement.transactionId} is left to the check-back: ${why}`)
      return
    }
    this.#options.clock.setTimer(delayMs, () => this.#enqueue(settlement))
  }

  /** Sends what is queued; no retries from now on. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#queue.length > 0 || this.#calls > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }
}
