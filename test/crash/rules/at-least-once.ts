import type { ChaosEvent, Rule, Violation } from './event.ts'

interface Message {
  topic: string
  kind: string
  isAcknowledged: boolean
  decision: 'commit' | 'rollback' | undefined
  /** An operator asked to cancel it, and was not told that it was too late. */
  mayBeCancelled: boolean
  t: number
}

/**
 * Every acknowledged message ends in every group of its topic: a handler of it returned, or it is a dead letter of that group.
 * Of a broadcasting group it ends at each member. Takes the logs of a run that is not over, one after the other.
 */
export class AtLeastOnce implements Rule {
  readonly #messages = new Map<string, Message>()
  /** By group, and member when each gets everything. */
  readonly #readers = new Map<string, { topics: Set<string>; ended: Set<string> }>()
  readonly #ops = new Map<string, { reader: string; id: string }>()
  readonly #endedOps: string[] = []
  readonly #broadcasting = new Set<string>()
  readonly #attemptsMax = new Map<string, number>()
  readonly #expectsDeadLetters: boolean

  /**
   * @param options.expectsDeadLetters a refusal, or the beginning of a last attempt, counts as an end: for watching a run whose dead
   *   letters are read when it is over. Default false
   */
  constructor(options: { expectsDeadLetters?: boolean } = {}) {
    this.#expectsDeadLetters = options.expectsDeadLetters ?? false
  }

  take(event: ChaosEvent): void {
    switch (event.event) {
      case 'send.start':
        Object.assign(this.#message(event.id), { topic: event.topic, kind: event.kind, t: event.t })
        return
      case 'send.ok':
        this.#message(event.id).isAcknowledged = true
        return
      case 'local.commit':
      case 'local.rollback':
        this.#message(event.id).decision = event.event === 'local.commit' ? 'commit' : 'rollback'
        return
      case 'cancel.start':
        this.#message(event.id).mayBeCancelled = true
        return
      case 'cancel.ok':
        this.#message(event.id).mayBeCancelled = event.outcome === 'cancelled'
        return
      case 'join': {
        if (event.mode === 'broadcasting') this.#broadcasting.add(event.group)
        this.#attemptsMax.set(event.group, event.attemptsMax)
        this.#reader(this.#readerOf(event.group, event.member)).topics.add(event.topic)
        return
      }
      case 'recv':
        this.#ops.set(event.op, { reader: this.#readerOf(event.group, event.member), id: event.id })
        if (this.#expectsDeadLetters && event.attempt >= (this.#attemptsMax.get(event.group) ?? 0)) this.#end(event.op)
        return
      case 'done':
        this.#end(event.op)
        return
      case 'reject':
        if (this.#expectsDeadLetters) this.#end(event.op)
        return
      case 'stored':
        if (event.deadFor !== undefined) this.#reader(event.deadFor).ended.add(event.id)
    }
  }

  /** Acknowledged messages that somebody still has to handle, the first `max`. */
  missing(max = Number.POSITIVE_INFINITY): { id: string; reader: string }[] {
    for (const op of this.#endedOps.splice(0)) this.#end(op)
    const missing: { id: string; reader: string }[] = []
    for (const [id, message] of this.#messages) {
      const { topic, kind, isAcknowledged, decision, mayBeCancelled } = message
      const mustArrive = isAcknowledged && !mayBeCancelled && (kind !== 'half' || decision === 'commit')
      if (!mustArrive) continue
      for (const [reader, { topics, ended }] of this.#readers) {
        if (!topics.has(topic) || ended.has(id)) continue
        missing.push({ id, reader })
        if (missing.length >= max) return missing
      }
    }
    return missing
  }

  violations(): Violation[] {
    return this.missing().map(({ id, reader }) => ({
      rule: 'AtLeastOnce',
      text: `${id} was acknowledged, and ${reader} neither handled it to its end nor gave it up`,
      t: this.#message(id).t,
      words: [id],
    }))
  }

  figures(): Record<string, number> {
    return { lost: this.missing().length }
  }

  /** A log may be read before that of the process where the handler began. */
  #end(op: string): void {
    const begun = this.#ops.get(op)
    if (begun === undefined) {
      this.#endedOps.push(op)
      return
    }
    this.#reader(begun.reader).ended.add(begun.id)
  }

  #readerOf(group: string, member: string): string {
    return this.#broadcasting.has(group) ? `${group} at ${member}` : group
  }

  #reader(name: string): { topics: Set<string>; ended: Set<string> } {
    let reader = this.#readers.get(name)
    if (reader === undefined) this.#readers.set(name, (reader = { topics: new Set(), ended: new Set() }))
    return reader
  }

  #message(id: string): Message {
    let message = this.#messages.get(id)
    if (message === undefined) {
      message = {
        topic: '',
        kind: '',
        isAcknowledged: false,
        decision: undefined,
        mayBeCancelled: false,
        t: 0,
      }
      this.#messages.set(id, message)
    }
    return message
  }
}
