import type { ChaosEvent, Rule, Violation } from './event.ts'
import { MS } from './event.ts'

/** Broker and clients count in whole ms, at both ends of a delay. */
const RESOLUTION_MS = 2
/** What the broker stamps on a message is when it began the turn of its loop in which it stored it. */
const STAMP_RESOLUTION_MS = 500

interface Delayed {
  startedAt: number
  startedWall: number
  delayMs: number
  deliverAt: number
}

/**
 * No handler begins with a delayed message before its time: neither by the clock on the wall, nor by the one that only counts;
 * and what the broker stored for readers it stored at its time or later, as far as its stamp can tell.
 */
export class DelayNeverEarly implements Rule {
  readonly #delayed = new Map<string, Delayed>()
  readonly #found: Violation[] = []
  readonly #lateMs: number[] = []
  readonly #seen = new Set<string>()

  take(event: ChaosEvent): void {
    if (event.event === 'send.start') {
      const { id, t, wall, delayMs, deliverAt } = event
      if (delayMs === undefined && deliverAt === undefined) return
      // A repeat of a send under the same id has the time of the first one.
      if (this.#delayed.has(id)) return
      const ms = delayMs ?? (deliverAt ?? 0) - wall
      this.#delayed.set(id, { startedAt: t, startedWall: wall, delayMs: ms, deliverAt: deliverAt ?? wall + ms })
    } else if (event.event === 'recv' || event.event === 'stored') {
      const message = this.#delayed.get(event.id)
      if (message === undefined) return
      if (event.event === 'recv') this.#judge(event, message)
      const early = message.deliverAt - event.storedAt
      if (early > STAMP_RESOLUTION_MS) this.#tell(event, `${event.id} was stored for its readers ${early} ms early`)
    }
  }

  violations(): Violation[] {
    return this.#found
  }

  figures(): Record<string, number> {
    const sorted = this.#lateMs.toSorted((a, b) => a - b)
    return {
      delayed: this.#delayed.size,
      early: this.#found.length,
      'delayed late p50 ms': Math.round(sorted[sorted.length >> 1] ?? 0),
    }
  }

  #judge(event: ChaosEvent & { event: 'recv' }, message: Delayed): void {
    const elapsedMs = (event.t - message.startedAt) / MS
    const lateMs = elapsedMs - message.delayMs
    if (lateMs < -RESOLUTION_MS) this.#tell(event, `${event.id} was handled ${(-lateMs).toFixed(1)} ms early`)
    else if (event.wall < message.deliverAt - RESOLUTION_MS) {
      this.#tell(event, `${event.id} was handled ${message.deliverAt - event.wall} ms early by the clock on the wall`)
    }
    const first = `${event.group} ${event.id}`
    if (!this.#seen.has(first)) this.#lateMs.push(lateMs)
    this.#seen.add(first)
  }

  #tell(event: ChaosEvent & { id: string }, text: string): void {
    this.#found.push({ rule: 'DelayNeverEarly', text, t: event.t, words: [event.id] })
  }
}
