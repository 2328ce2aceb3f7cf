import type { ChaosEvent, ReceivedEvent, Rule, Violation } from './event.ts'
import { MS } from './event.ts'

/**
 * How long a message that was in the hands of a process when it was killed takes until its group begins with it again; and how long
 * a broker takes until it serves again. Figures only: whether it comes at all is judged by AtLeastOnce.
 */
export class Redelivery implements Rule {
  readonly #open = new Map<string, ReceivedEvent>()
  readonly #waiting = new Map<string, number>()
  readonly #delaysMs: number[] = []
  readonly #restartsMs: number[] = []

  take(event: ChaosEvent): void {
    switch (event.event) {
      case 'recv': {
        const unit = `${event.group} ${event.id}`
        const killedAt = this.#waiting.get(unit)
        if (killedAt !== undefined) this.#delaysMs.push((event.t - killedAt) / MS)
        this.#waiting.delete(unit)
        this.#open.set(event.op, event)
        return
      }
      case 'done':
      case 'nack':
      case 'reject':
      case 'lost':
        this.#open.delete(event.op)
        return
      case 'fault':
        if (event.kind !== 'kill') return
        for (const [op, { proc, group, id }] of this.#open) {
          if (proc !== event.target) continue
          this.#waiting.set(`${group} ${id}`, event.t)
          this.#open.delete(op)
        }
        return
      case 'fault.end':
        if (event.target === 'broker' && event.readyMs !== undefined) this.#restartsMs.push(event.readyMs)
    }
  }

  violations(): Violation[] {
    return []
  }

  figures(): Record<string, number> {
    const p = (list: readonly number[], share: number): number => {
      const sorted = list.toSorted((a, b) => a - b)
      return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
    }
    return {
      'redelivered after a kill': this.#delaysMs.length,
      'redelivery delay p50 ms': p(this.#delaysMs, 0.5),
      'redelivery delay p99 ms': p(this.#delaysMs, 0.99),
      'broker restarts': this.#restartsMs.length,
      'restart p50 ms': p(this.#restartsMs, 0.5),
      'restart max ms': p(this.#restartsMs, 1),
    }
  }
}
