import { DueTimes } from './due-times.ts'
import type { HistoryEvent } from './history.ts'
import { Priorities } from './priorities.ts'
import { Questions } from './questions.ts'
import { Redrives } from './redrives.ts'
import { TagFilters } from './tag-filters.ts'
import { Unheard } from './unheard.ts'
import { WallJumps } from './wall-jumps.ts'

export type ExtraRule = 'Redriven' | 'RedrivenOnce' | 'TagFilter' | 'Reply' | 'Priority' | 'Unheard'

export interface ExtraViolation {
  readonly rule: ExtraRule
  readonly text: string
  readonly ids: readonly string[]
}

/** Rules of what only some histories contain; each looks for its own events among all. */
export class ExtraRules {
  readonly clock = new WallJumps()
  readonly dueTimes = new DueTimes(this.clock)
  readonly redrives = new Redrives()
  readonly tags = new TagFilters()
  readonly #questions = new Questions()
  readonly #priorities = new Priorities()
  readonly #unheard = new Unheard()
  readonly #others = [this.#questions, this.#priorities, this.#unheard]
  readonly #rules = [this.clock, this.dueTimes, this.redrives, this.tags, ...this.#others]

  take(event: HistoryEvent): void {
    for (const rule of this.#rules) rule.take(event)
  }

  /** Places of messages that were stored again, and might be: a jump of the clock had ended their dedup window. */
  readonly #copies = new Map<string, Set<string>>()

  /** @returns whether the message may be at `place` besides the place it had, at `t` */
  mayBeAgainAt(id: string, place: string, options: { startedAt: number; t: number; windowMs: number }): boolean {
    const { startedAt, t, windowMs } = options
    const gainedMs = this.clock.gainedIn(startedAt, t) / 1e6
    if (gainedMs === 0 || gainedMs + (t - startedAt) / 1e6 < windowMs) return false
    this.copied(id, place)
    return true
  }

  /** The message is at one more place, for a reason. */
  copied(id: string, place: string): void {
    this.#copies.set(id, (this.#copies.get(id) ?? new Set()).add(place))
  }

  /** How often the group may finish the message besides once, before `t`: it was redriven, or is there twice. */
  moreLivesOf(group: string, id: string, t: number): number {
    return this.redrives.begunBefore(group, id, t) + (this.#copies.get(id)?.size ?? 0)
  }

  /** @param isGone messages that nobody must get any more */
  violations(isGone: (id: string) => boolean): ExtraViolation[] {
    return [
      ...this.redrives.violations(isGone),
      ...this.tags.violations(),
      ...this.#questions.violations(),
      ...this.#priorities.violations(),
      ...this.#unheard.violations(),
    ]
  }
}
