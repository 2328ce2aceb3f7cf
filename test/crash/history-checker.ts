import { Cancellations } from './cancellations.ts'
import { DedupWindows } from './dedup-windows.ts'
import { Deliveries, type DeliveryRule } from './deliveries.ts'
import { ExtraRules, type ExtraRule } from './extra-rules.ts'
import { GroupProgress } from './group-progress.ts'
import type { HistoryEvent } from './history.ts'
import { disorder, holes, type Message, unknownMessage } from './queue-offsets.ts'
import { Removals } from './removals.ts'
import { SettingsKept } from './settings-kept.ts'

export type Rule =
  | 'NoLoss'
  | 'NoPhantom'
  | 'Stable'
  | 'DedupStored'
  | 'OffsetsDense'
  | 'OffsetsOrdered'
  | 'TxnAtomic'
  | 'DelayNeverEarly'
  | 'OffsetsKept'
  | 'Deleted'
  | 'Retention'
  | 'SettingsKept'
  | DeliveryRule
  | 'CancelXorDeliver'
  | 'DedupWindow'
  | ExtraRule
  | 'Accounting'

export interface Violation {
  readonly rule: Rule
  readonly text: string
  /** Message ids to look for in the logs. */
  readonly ids: readonly string[]
}

export interface HistoryReport {
  readonly sent: number
  readonly acknowledged: number
  readonly unknown: number
  readonly failed: number
  readonly committed: number
  readonly rolledBack: number
  readonly faults: number
  /** Distinct messages per group, and deliveries of one a group had got before (at-least-once allows them). */
  readonly groups: Readonly<Record<string, { readonly received: number; readonly again: number }>>
  readonly violations: readonly Violation[]
}

// The broker counts in whole ms, on both ends of a delay.
const DELAY_RESOLUTION_NS = 2e6
/** What a consumer fetched before a deletion waits for a handler at most so long. */
const CACHED_NS = 30e9

/**
 * Judges a run by what its clients wrote down and by nothing else: no product code, no look at the broker's files. Events
 * may come in any order; `report()` is meant for the end, when the faults are over and everything had time to arrive.
 */
export class HistoryChecker {
  readonly #messages = new Map<string, Message>()
  readonly #places = new Map<string, string>()
  readonly #groups = new Map<string, { topics: Set<string>; received: Map<string, number>; again: number }>()
  readonly #readAll: (HistoryEvent & { event: 'read.all' })[] = []
  readonly #readOffsets = new Map<string, Set<number>>()
  readonly #progress = new GroupProgress()
  readonly #removals = new Removals(this.#progress)
  readonly #settings = new SettingsKept()
  readonly #extra = new ExtraRules()
  readonly #deliveries = new Deliveries(this.#extra)
  readonly #cancellations = new Cancellations()
  readonly #dedup: DedupWindows
  readonly #seen: Violation[] = []
  #unknown = 0
  #failed = 0
  #faults = 0
  #acknowledged = 0

  /** @param options.dedupWindowMs of the broker; default Infinity: one message per dedup key, whatever their ages */
  constructor(options: { dedupWindowMs?: number } = {}) {
    this.#dedup = new DedupWindows(options.dedupWindowMs ?? Number.POSITIVE_INFINITY, this.#extra.clock)
  }

  /** Messages acknowledged so far. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  take(event: HistoryEvent): void {
    this.#extra.take(event)
    switch (event.event) {
      case 'send.start': {
        const message = this.#message(event.id)
        // A repeat under the same id began when its first attempt did.
        if (message.startedAt > 0) return
        const { topic, kind, hash, t, delayMs = 0 } = event
        Object.assign(message, { topic, kind, hash, startedAt: t, delayMs })
        return this.#dedup.sent(event)
      }
      case 'send.ok':
        return this.#stored(event)
      case 'send.unknown':
        this.#unknown++
        return
      case 'send.fail':
        this.#failed++
        this.#message(event.id).failed = String(event.code)
        return
      case 'local.commit':
      case 'local.rollback':
        this.#message(event.id).decision = event.event === 'local.commit' ? 'commit' : 'rollback'
        return
      case 'join':
        this.#group(event.group).topics.add(event.topic)
        return this.#deliveries.take(event)
      case 'recv':
        return this.#received(event)
      case 'read.all':
        this.#readAll.push(event)
        return this.#removals.takeStart(event.topic, event.queueId, event.minOffset)
      case 'fault':
        this.#progress.fault(event.t)
        this.#faults++
        return this.#deliveries.take(event)
      case 'heal':
      case 'member':
      case 'dead':
      case 'rewind.start':
      case 'rewind.ok':
      case 'forget.start':
      case 'forget.ok':
      case 'handle.end':
        return this.#deliveries.take(event)
      case 'handle.start':
        this.#begun(event)
        this.#dedup.delivered(event)
        return this.#deliveries.take(event)
      case 'cancel.start':
      case 'cancel.ok':
        return this.#cancellations.take(event)
      case 'account':
        if (event.told !== event.due) {
          const text = `${event.what}: the broker says ${event.told}, the history ${event.due}`
          this.#seen.push({ rule: 'Accounting', text, ids: [] })
        }
        return
      case 'delete.start':
      case 'delete.ok':
        this.#deliveries.take(event)
        return this.#removals.takeDeletion(event)
      case 'commit.start':
      case 'commit.ok':
      case 'offset.read':
        return this.#progress.take(event)
      case 'put.start':
      case 'put.ok':
      case 'put.read':
        return this.#settings.take(event)
    }
  }

  /** Ids that some group must still get, with that group. */
  missing(): { id: string; group: string }[] {
    const missing: { id: string; group: string }[] = []
    for (const [id, message] of this.#messages) {
      if (message.okAt === 0 || (message.kind === 'half' && message.decision !== 'commit')) continue
      if (this.#removals.mayBeGone(message) || this.#cancellations.mayBeGone(id)) continue
      for (const [group, { topics, received }] of this.#groups) {
        if (!topics.has(message.topic) || received.has(id) || !this.#extra.tags.isFor(group, id)) continue
        if (this.#deliveries.mayMiss(group, id, message)) continue
        missing.push({ id, group })
      }
    }
    return missing
  }

  /** Deliveries that some group has begun and neither finished nor given up. */
  unfinished(): { id: string; group: string }[] {
    const isGone = (id: string): boolean => this.#isGone(id)
    return [...this.#deliveries.unfinished(isGone), ...this.#extra.redrives.unfinished(isGone)]
  }

  report(): HistoryReport {
    const violations = [...this.#seen]
    for (const { id, group } of this.missing()) {
      violations.push({ rule: 'NoLoss', text: `${id} was acknowledged and never reached ${group}`, ids: [id] })
    }
    let [sent, committed, rolledBack] = [0, 0, 0]
    for (const [id, message] of this.#messages) {
      if (message.startedAt > 0) sent++
      if (message.decision === 'commit') committed++
      if (message.decision === 'rollback') rolledBack++
      this.#judge(id, message, violations)
      const removal = this.#removals.judge(id, message)
      if (removal !== undefined) violations.push({ ...removal, ids: [id] })
    }
    violations.push(...this.#progress.violations((topic) => this.#removals.wasDeleted(topic)))
    violations.push(...this.#settings.violations())
    violations.push(...this.#deliveries.violations((id) => this.#isGone(id)))
    violations.push(...this.#cancellations.violations((id) => (this.#messages.get(id)?.firstReceivedAt ?? 0) > 0))
    violations.push(...this.#dedup.violations(), ...this.#extra.violations((id) => this.#isGone(id)))
    violations.push(...holes(this.#readAll, this.#readOffsets), ...disorder(this.#messages))
    const groups: Record<string, { received: number; again: number }> = {}
    for (const [name, { received, again }] of this.#groups) groups[name] = { received: received.size, again }
    return {
      sent,
      acknowledged: this.#acknowledged,
      unknown: this.#unknown,
      failed: this.#failed,
      committed,
      rolledBack,
      faults: this.#faults,
      groups,
      violations,
    }
  }

  #message(id: string): Message {
    let message = this.#messages.get(id)
    if (message === undefined) {
      message = unknownMessage()
      this.#messages.set(id, message)
    }
    return message
  }

  #isGone(id: string): boolean {
    const message = this.#messages.get(id)
    return message === undefined || this.#removals.mayBeGone(message)
  }

  #group(name: string) {
    let group = this.#groups.get(name)
    if (group === undefined) {
      group = { topics: new Set(), received: new Map(), again: 0 }
      this.#groups.set(name, group)
    }
    return group
  }

  #stored(event: HistoryEvent & { event: 'send.ok' }): void {
    const { id, t, queueId, offset } = event
    const message = this.#message(id)
    // The answer may tell the place of another message with the same key.
    if (this.#dedup.answered(event, message.topic)) return
    if (message.okAt > 0) return
    message.okAt = t
    this.#acknowledged++
    // A producer writes start before ok, so the kind is known here.
    if (message.kind === 'delayed' || message.kind === 'half') return
    message.okQueue = `${message.topic}/${queueId}`
    message.okOffset = offset
    this.#at(message, id, `${message.okQueue}/${offset}`, t)
  }

  #received(event: HistoryEvent & { event: 'recv' }): void {
    const { id, hash, topic, queueId, offset, t } = event
    this.#dedup.seen(event)
    const message = this.#message(id)
    if (message.firstReceivedAt === 0 || t < message.firstReceivedAt) message.firstReceivedAt = t
    if (message.hashReceived !== undefined && message.hashReceived !== hash) {
      this.#seen.push({ rule: 'Stable', text: `the body of ${id} changed between two reads`, ids: [id] })
    }
    message.hashReceived = hash
    const askedAt = this.#deliveries.knows(event.group) ? t - CACHED_NS : t
    const queue = `${topic}/${queueId}`
    const place = `${queue}/${offset}`
    const isElsewhere = message.place !== undefined && message.place !== place
    if (!isElsewhere || !this.#removals.mayBeRepeat(message, t)) {
      message.lastReceivedAt = Math.max(message.lastReceivedAt, askedAt)
    }
    this.#at(message, id, place, t)
    const group = this.#group(event.group)
    const times = group.received.get(id) ?? 0
    if (times > 0) group.again++
    group.received.set(id, times + 1)
    const key = `${event.group} ${queue}`
    const offsets = this.#readOffsets.get(key) ?? new Set()
    this.#readOffsets.set(key, offsets.add(offset))
  }

  /** A delivery may be the first one seen of a message, and from another place than its own. */
  #begun({ id, group, t }: HistoryEvent & { event: 'handle.start' }): void {
    const message = this.#message(id)
    if (message.firstReceivedAt === 0 || t < message.firstReceivedAt) message.firstReceivedAt = t
    message.hashReceived ??= message.hash
    const { received } = this.#group(group)
    if (!received.has(id)) received.set(id, 1)
  }

  /** One place holds one message for ever, and one message has one place. */
  #at(message: Message, id: string, place: string, t: number): void {
    const there = this.#places.get(place)
    if (there === undefined) this.#places.set(place, id)
    else if (there !== id) {
      this.#seen.push({ rule: 'Stable', text: `${place} was ${there} and is ${id}`, ids: [there, id] })
    }
    if (message.place === undefined) message.place = place
    else if (message.place !== place && !this.#mayBeAgainAt(message, id, place, t)) {
      this.#seen.push({ rule: 'DedupStored', text: `${id} is at ${message.place} and at ${place}`, ids: [id] })
    }
  }

  #mayBeAgainAt(message: Message, id: string, place: string, t: number): boolean {
    const { startedAt } = message
    if (this.#removals.mayBeRepeat(message, t)) {
      this.#extra.copied(id, place)
      return true
    }
    return this.#extra.mayBeAgainAt(id, place, { startedAt, t, windowMs: this.#dedup.windowMs })
  }

  #judge(id: string, message: Message, violations: Violation[]): void {
    if (message.firstReceivedAt === 0) return
    const found = (rule: Rule, text: string): void => void violations.push({ rule, text, ids: [id] })
    if (message.startedAt === 0) return found('NoPhantom', `${id} was received and never sent`)
    if (message.hashReceived !== message.hash)
      found('NoPhantom', `${id} arrived with another body than it was sent with`)
    if (message.failed !== undefined) found('NoPhantom', `${id} was refused (${message.failed}) and arrived`)
    if (message.kind === 'half' && message.decision !== 'commit') {
      found('TxnAtomic', `${id} arrived, though its transaction was ${message.decision ?? 'never decided'}`)
    }
    const early = this.#extra.dueTimes.earlyBy(id, message)
    if (message.delayMs > 0 && early > DELAY_RESOLUTION_NS) {
      found('DelayNeverEarly', `${id} arrived ${(early / 1e6).toFixed(1)} ms early`)
    }
  }
}
