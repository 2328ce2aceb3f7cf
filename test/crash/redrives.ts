import type { GroupPolicy, HistoryEvent } from './history.ts'

interface Redrive {
  readonly group: string
  readonly id: string
  readonly dead: number
  readonly startedAt: number
  isAcknowledged: boolean
  /** Places of its first deliveries: one copy, one place. */
  readonly places: Set<string>
  isFinished: boolean
}

export interface RedriveViolation {
  readonly rule: 'Redriven' | 'RedrivenOnce'
  readonly text: string
  readonly ids: readonly string[]
}

/** Dead letters sent back to their group: each comes once more, is finished or dies again, and never comes by two copies. */
export class Redrives {
  readonly #all = new Map<string, Redrive>()
  readonly #policies = new Map<string, GroupPolicy>()
  /** Under way, by op. */
  readonly #open = new Map<number, { redrive: Redrive; attempt: number }>()
  /** Highest offset each message has among the dead letters of a group. */
  readonly #dead = new Map<string, number>()
  readonly #begun = new Map<string, number[]>()

  take(event: HistoryEvent): void {
    switch (event.event) {
      case 'join':
        if (event.policy !== undefined) this.#policies.set(event.group, event.policy)
        return
      case 'redrive.start': {
        const { group, id, dead, t } = event
        const known = this.#all.get(keyOf(event))
        const name = `${group} ${id}`
        this.#begun.set(name, [...(this.#begun.get(name) ?? []), t])
        const fresh = {
          group,
          id,
          dead,
          startedAt: t,
          isAcknowledged: false,
          places: new Set<string>(),
          isFinished: false,
        }
        if (known === undefined) this.#all.set(keyOf(event), fresh)
        return
      }
      case 'redrive.ok': {
        const redrive = this.#all.get(keyOf(event))
        if (redrive !== undefined) redrive.isAcknowledged = true
        return
      }
      case 'handle.start':
        return this.#begin(event)
      case 'handle.end': {
        const open = this.#open.get(event.op)
        if (open === undefined) return
        const isLast = open.attempt >= (this.#policies.get(event.group)?.attemptsMax ?? Number.POSITIVE_INFINITY)
        if (event.outcome !== 'retry' || isLast) open.redrive.isFinished = true
        return
      }
      case 'dead': {
        const name = `${event.group} ${event.id}`
        this.#dead.set(name, Math.max(this.#dead.get(name) ?? -1, event.offset ?? -1))
        return
      }
      case 'forget.start':
      case 'forget.ok':
        // Its dead letters are numbered anew.
        for (const [key, { group }] of this.#all) if (group === event.group) this.#all.delete(key)
    }
  }

  /** How often the message was sent back to the group before `t`, or may have been. */
  begunBefore(group: string, id: string, t: number): number {
    return this.#begun.get(`${group} ${id}`)?.filter((at) => at <= t).length ?? 0
  }

  /** @param isGone messages that nobody must get any more */
  unfinished(isGone: (id: string) => boolean): { id: string; group: string }[] {
    return [...this.#all.values()]
      .filter(({ isAcknowledged, isFinished }) => isAcknowledged && !isFinished)
      .filter(({ group, id, dead }) => !isGone(id) && (this.#dead.get(`${group} ${id}`) ?? -1) <= dead)
  }

  /** @param isGone messages that nobody must get any more */
  violations(isGone: (id: string) => boolean): RedriveViolation[] {
    const found: RedriveViolation[] = []
    for (const { id, group } of this.unfinished(isGone)) {
      found.push({ rule: 'Redriven', text: `${id} was sent back to ${group}, which never finished it`, ids: [id] })
    }
    for (const { id, group, dead, places } of this.#all.values()) {
      if (places.size < 2) continue
      const text = `dead letter ${dead} of ${group} (${id}) came back from ${[...places].join(' and ')}`
      found.push({ rule: 'RedrivenOnce', text, ids: [id] })
    }
    return found
  }

  #begin({
    op,
    group,
    id,
    redriven,
    attempt,
    stored,
    queueId,
    offset,
  }: HistoryEvent & { event: 'handle.start' }): void {
    if (redriven === undefined) return
    const redrive = this.#all.get(`${group} ${id} ${redriven}`)
    if (redrive === undefined) return
    this.#open.set(op, { redrive, attempt })
    if (attempt === 1) redrive.places.add(`${stored}/${queueId}/${offset}`)
  }
}

function keyOf({ group, id, dead }: { group: string; id: string; dead: number }): string {
  return `${group} ${id} ${dead}`
}
