import type { ChaosEvent, Rule, Violation } from './event.ts'

/** A message whose cancellation was confirmed is never handled. */
export class CancelOrDeliver implements Rule {
  readonly #cancelled = new Set<string>()
  readonly #handled = new Map<string, number>()

  take(event: ChaosEvent): void {
    if (event.event === 'cancel.ok' && event.outcome === 'cancelled') this.#cancelled.add(event.id)
    if (event.event === 'recv' && !this.#handled.has(event.id)) this.#handled.set(event.id, event.t)
  }

  violations(): Violation[] {
    return [...this.#cancelled].flatMap((id) => {
      const t = this.#handled.get(id)
      return t === undefined
        ? []
        : [{ rule: 'CancelOrDeliver', text: `${id} was cancelled, and handled`, t, words: [id] }]
    })
  }

  figures(): Record<string, number> {
    return { cancelled: this.#cancelled.size }
  }
}
