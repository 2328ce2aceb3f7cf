import type { ChaosEvent, Rule, Violation } from './event.ts'

/** What a process handled to its end before it was told to end in order never begins again in that group. */
export class NoReturn implements Rule {
  readonly #broadcasting = new Set<string>()
  readonly #ops = new Map<string, { unit: string; id: string; proc: string }>()
  /** Ends of handlers by process; final once the process was told to end. */
  readonly #done = new Map<string, Map<string, string>>()
  readonly #final = new Map<string, string>()
  readonly #ending = new Set<string>()
  readonly #found: Violation[] = []

  take(event: ChaosEvent): void {
    switch (event.event) {
      case 'join':
        if (event.mode === 'broadcasting') this.#broadcasting.add(event.group)
        return
      case 'recv': {
        const reader = this.#broadcasting.has(event.group) ? `${event.group} at ${event.member}` : event.group
        const unit = `${reader} ${event.id}`
        const by = this.#final.get(unit)
        this.#ops.set(event.op, { unit, id: event.id, proc: event.proc })
        if (by === undefined || by === event.proc) return
        const text = `${event.id} began again in ${reader}, though ${by} had handled it to its end before it left`
        this.#found.push({ rule: 'NoReturn', text, t: event.t, words: [event.id] })
        return
      }
      case 'done': {
        const begun = this.#ops.get(event.op)
        if (begun === undefined) return
        this.#ops.delete(event.op)
        if (this.#ending.has(begun.proc)) this.#final.set(begun.unit, begun.proc)
        const done = this.#done.get(begun.proc) ?? new Map<string, string>()
        this.#done.set(begun.proc, done.set(begun.unit, begun.id))
        return
      }
      case 'fault':
        if (event.kind !== 'terminate') return
        this.#ending.add(event.target)
        for (const unit of this.#done.get(event.target)?.keys() ?? []) this.#final.set(unit, event.target)
    }
  }

  violations(): Violation[] {
    return this.#found
  }

  figures(): Record<string, number> {
    return { 'finished before an orderly end': this.#final.size, 'finished and come again': this.#found.length }
  }
}
