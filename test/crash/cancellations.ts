import type { HistoryEvent } from './history.ts'

/** Delayed messages that were cancelled, or perhaps were: never both reported cancelled and delivered. */
export class Cancellations {
  /** Undefined while there was no answer. */
  readonly #outcomes = new Map<string, string | undefined>()

  take(event: HistoryEvent & { event: 'cancel.start' | 'cancel.ok' }): void {
    if (event.event === 'cancel.start') this.#outcomes.set(event.id, this.#outcomes.get(event.id))
    else this.#outcomes.set(event.id, event.outcome)
  }

  /** Nobody has to get it: it was cancelled, or nobody knows. */
  mayBeGone(id: string): boolean {
    return this.#outcomes.has(id) && this.#outcomes.get(id) !== 'fired'
  }

  violations(isReceived: (id: string) => boolean): { rule: 'CancelXorDeliver'; text: string; ids: string[] }[] {
    return [...this.#outcomes]
      .filter(([id, outcome]) => outcome === 'cancelled' && isReceived(id))
      .map(([id]) => ({ rule: 'CancelXorDeliver', text: `${id} was cancelled and arrived`, ids: [id] }))
  }
}
