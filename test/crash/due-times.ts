import type { HistoryEvent } from './history.ts'
import type { WallJumps } from './wall-jumps.ts'

interface Due {
  readonly from: number
  readonly delayMs: number
}

/** When delayed messages may come: as sent, or as moved since. Old and new time never both count. */
export class DueTimes {
  readonly #clock: WallJumps
  /** Without an answer both may be true, for ever: the request may still be on its way. */
  readonly #unanswered = new Map<string, Due[]>()
  /** What replaced the first time, and what is asked for now. */
  readonly #moved = new Map<string, Due>()
  readonly #asked = new Map<string, Due>()

  constructor(clock: WallJumps) {
    this.#clock = clock
  }

  take(event: HistoryEvent): void {
    if (event.event === 'reschedule.start') {
      const { id, t, delayMs } = event
      const due = { from: t, delayMs }
      this.#asked.set(id, due)
      this.#unanswered.set(id, [...(this.#unanswered.get(id) ?? []), due])
    } else if (event.event === 'reschedule.ok') {
      const due = this.#asked.get(event.id)
      const others = this.#unanswered.get(event.id)?.filter((one) => one !== due) ?? []
      this.#unanswered.set(event.id, others)
      if (due !== undefined && event.outcome === 'rescheduled') this.#moved.set(event.id, due)
    }
  }

  /** @returns how much too early the message came, ns; not above 0 when it did not */
  earlyBy(id: string, message: { startedAt: number; delayMs: number; firstReceivedAt: number }): number {
    const { startedAt, delayMs, firstReceivedAt } = message
    const known = this.#moved.get(id) ?? { from: startedAt, delayMs }
    const early = [known, ...(this.#unanswered.get(id) ?? [])].map(
      ({ from, delayMs: ms }) => from + ms * 1e6 - this.#clock.gainedIn(from, firstReceivedAt) - firstReceivedAt,
    )
    return Math.min(...early)
  }
}
