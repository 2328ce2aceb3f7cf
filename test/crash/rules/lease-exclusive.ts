import type { ChaosEvent, ReceivedEvent, Rule, Violation } from './event.ts'
import { MS } from './event.ts'

interface Holder {
  op: string
  id: string
  proc: string
  t: number
}

interface Contest {
  first: Holder
  second: ReceivedEvent
  until: number
  unit: string
}

export interface LeaseExclusiveOptions {
  /**
   * How long two may go on with one message: the one whose lease is over hears of it with its next renewal. Default half of the
   * group's lease and 1,000 ms.
   */
  graceMs?: number
}

/**
 * One message of a lease group, or one key of a group that keeps order, is in one handler at a time. A holder that was killed or
 * stood still holds nothing from then on, nor does one whose lease had run out before its handler began.
 */
export class LeaseExclusive implements Rule {
  readonly #graceMs: number | undefined
  readonly #groups = new Map<string, { byKey: boolean; leaseMs: number }>()
  readonly #keys = new Map<string, string>()
  readonly #holders = new Map<string, Holder[]>()
  readonly #units = new Map<string, string>()
  /** Both began; a violation when neither ends within the grace. By the op of each. */
  readonly #contested = new Map<string, Contest[]>()
  readonly #found: Violation[] = []
  #overlaps = 0
  #now = 0

  constructor(options: LeaseExclusiveOptions = {}) {
    this.#graceMs = options.graceMs
  }

  take(event: ChaosEvent): void {
    this.#now = event.t
    switch (event.event) {
      case 'join': {
        const byKey = event.mode === 'ordered' || event.mode === 'lease-ordered'
        if (!byKey && event.mode !== 'lease') return
        this.#groups.set(event.group, { byKey, leaseMs: event.invisibleMs ?? 0 })
        return
      }
      case 'send.start':
        if (event.key !== undefined) this.#keys.set(event.id, event.key)
        return
      case 'recv':
        return this.#begin(event)
      case 'done':
      case 'nack':
      case 'reject':
      case 'lost':
        return this.#end(event.op, event.t)
      case 'fault':
        if (event.kind === 'kill' || event.kind === 'stop') this.#gone(event.target, event.t)
    }
  }

  violations(): Violation[] {
    const open = new Set([...this.#contested.values()].flat())
    return [...this.#found, ...[...open].filter(({ until }) => until < this.#now).map(told)]
  }

  figures(): Record<string, number> {
    return { 'handed over while still at work': this.#overlaps, 'leases overlapping': this.violations().length }
  }

  #begin(event: ReceivedEvent): void {
    const group = this.#groups.get(event.group)
    if (group === undefined) return
    const { popTime, wall } = event
    if (popTime !== undefined && wall > popTime + group.leaseMs) return
    const key = group.byKey ? this.#keys.get(event.id) : event.id
    if (key === undefined) return
    const unit = `${event.group} ${key}`
    const holders = this.#holders.get(unit) ?? []
    const graceMs = this.#graceMs ?? group.leaseMs / 2 + 1_000
    for (const first of holders) {
      this.#overlaps++
      const contest = { first, second: event, until: event.t + graceMs * MS, unit }
      for (const op of [first.op, event.op]) this.#contested.set(op, [...(this.#contested.get(op) ?? []), contest])
    }
    holders.push({ op: event.op, id: event.id, proc: event.proc, t: event.t })
    this.#holders.set(unit, holders)
    this.#units.set(event.op, unit)
  }

  #end(op: string, t: number): void {
    const unit = this.#units.get(op)
    if (unit === undefined) return
    this.#units.delete(op)
    const others = (this.#holders.get(unit) ?? []).filter((holder) => holder.op !== op)
    if (others.length === 0) this.#holders.delete(unit)
    else this.#holders.set(unit, others)
    for (const contest of this.#contested.get(op) ?? []) {
      const { first, second, until } = contest
      if (t > until) this.#found.push(told(contest))
      const other = first.op === op ? second.op : first.op
      const left = (this.#contested.get(other) ?? []).filter((one) => one !== contest)
      if (left.length === 0) this.#contested.delete(other)
      else this.#contested.set(other, left)
    }
    this.#contested.delete(op)
  }

  #gone(proc: string, t: number): void {
    for (const holders of [...this.#holders.values()]) {
      for (const holder of holders) if (holder.proc === proc) this.#end(holder.op, t)
    }
  }
}

function told({ first, second, unit }: Contest): Violation {
  return {
    rule: 'LeaseExclusive',
    text: `${second.proc} got ${second.id} while ${first.proc} had ${first.id} in hand, and both kept it (${unit})`,
    t: second.t,
    words: [first.op, second.op, first.id],
  }
}
