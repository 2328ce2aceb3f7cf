import { CalmTimes } from './calm-times.ts'
import type { GroupPolicy, HistoryEvent } from './history.ts'
import { Moves } from './moves.ts'
import type { WallJumps } from './wall-jumps.ts'

export type DeliveryRule =
  | 'AtLeastOnce'
  | 'DeadLetter'
  | 'NoResurrect'
  | 'LeaseExclusive'
  | 'Order'
  | 'QueueOrder'
  | 'RetrySchedule'

export interface DeliveryViolation {
  readonly rule: DeliveryRule
  readonly text: string
  readonly ids: readonly string[]
}

type Start = HistoryEvent & { event: 'handle.start' }
type End = HistoryEvent & { event: 'handle.end' }

export interface Delivery {
  readonly start: Start
  end: End | undefined
}

type DeliveryEvent = HistoryEvent & {
  event:
    | 'join'
    | 'fault'
    | 'heal'
    | 'member'
    | 'dead'
    | 'rewind.start'
    | 'rewind.ok'
    | 'forget.start'
    | 'forget.ok'
    | 'delete.start'
    | 'delete.ok'
    | 'handle.start'
    | 'handle.end'
}

interface Group {
  readonly policy: GroupPolicy
  readonly byId: Map<string, Delivery[]>
  readonly dead: Set<string>
  readonly moves: Moves
  /** Deliveries begun before may never be finished: the group was deleted. */
  forgottenUntil: number
}

const RESOLUTION_NS = 2e6

/** What a group's members did with its messages: each is finished, in order, by one at a time, and tried again in its time. */
export class Deliveries {
  readonly #groups = new Map<string, Group>()
  readonly #open = new Map<number, Delivery>()
  readonly #calm = new CalmTimes()
  readonly #clock: WallJumps
  readonly #moreLivesOf: (group: string, id: string, t: number) => number

  /** @param options.moreLivesOf how often a group may finish a message besides once, before an instant */
  constructor(options: { clock: WallJumps; moreLivesOf: (group: string, id: string, t: number) => number }) {
    this.#clock = options.clock
    this.#moreLivesOf = (group, id, t) => options.moreLivesOf(group, id, t)
  }

  take(event: DeliveryEvent): void {
    this.#calm.take(event)
    if (!('group' in event)) return
    if (event.event === 'join') {
      const { group, policy } = event
      if (policy === undefined || this.#groups.has(group)) return
      const [byId, dead, moves] = [new Map(), new Set<string>(), new Moves()]
      this.#groups.set(group, { policy, byId, dead, moves, forgottenUntil: -1 })
      return
    }
    const group = this.#groups.get(event.group)
    if (group === undefined) return
    if (event.event === 'handle.start') this.#begin(group, event)
    else if (event.event === 'handle.end') this.#end(event)
    else if (event.event === 'dead') group.dead.add(event.id)
    else if (event.event !== 'member') {
      group.moves.take(event)
      if (event.event === 'forget.start') group.forgottenUntil = Number.POSITIVE_INFINITY
      else if (event.event === 'forget.ok') group.forgottenUntil = event.t
    }
  }

  /** Whether deliveries of the group are begun and ended. */
  knows(group: string): boolean {
    return this.#groups.has(group)
  }

  /** The group was moved past what was sent so early, or the message lies among its dead letters. */
  mayMiss(name: string, id: string, message: { topic: string; startedAt: number }): boolean {
    const group = this.#groups.get(name)
    if (group === undefined) return false
    return group.dead.has(id) || message.startedAt <= group.moves.skippedUntil(message.topic)
  }

  /** @param isGone messages that nobody must get any more */
  unfinished(isGone: (id: string) => boolean): { id: string; group: string }[] {
    const found: { id: string; group: string }[] = []
    for (const [group, { policy, byId, dead, forgottenUntil, moves }] of this.#groups) {
      if (policy.mode === 'broadcasting') continue
      for (const [id, deliveries] of byId) {
        if (dead.has(id) || deliveries.some(({ end }) => end?.outcome === 'ok')) continue
        if (deliveries.some((one) => isGivenUp(one, policy)) || isGone(id)) continue
        const first = (deliveries[0] as Delivery).start
        if (first.t > forgottenUntil && !moves.mayPass(first)) found.push({ id, group })
      }
    }
    return found
  }

  /** @param isGone messages that nobody must get any more */
  violations(isGone: (id: string) => boolean): DeliveryViolation[] {
    const found: DeliveryViolation[] = []
    for (const { id, group } of this.unfinished(isGone)) {
      found.push({ rule: 'AtLeastOnce', text: `${group} began ${id} and never finished it`, ids: [id] })
    }
    for (const [name, group] of this.#groups) {
      if (group.policy.mode !== 'broadcasting') this.#judgeEach(name, group, found, isGone)
      if (group.policy.ordered) this.#judgeOrder(name, group, found)
    }
    return found
  }

  #begin(group: Group, start: Start): void {
    const delivery: Delivery = { start, end: undefined }
    this.#open.set(start.op, delivery)
    const known = group.byId.get(start.id)
    if (known === undefined) group.byId.set(start.id, [delivery])
    else known.push(delivery)
  }

  #end(end: End): void {
    const delivery = this.#open.get(end.op)
    if (delivery !== undefined) delivery.end = end
    this.#open.delete(end.op)
  }

  #judgeEach(name: string, group: Group, found: DeliveryViolation[], isGone: (id: string) => boolean): void {
    const { policy, byId, dead, forgottenUntil, moves } = group
    for (const [id, deliveries] of byId) {
      const isDone = dead.has(id) || deliveries.some(({ end }) => end?.outcome === 'ok')
      const givenUp = deliveries.find((one) => isGivenUp(one, policy))
      const isExcused = givenUp !== undefined && (givenUp.start.t <= forgottenUntil || moves.mayPass(givenUp.start))
      if (givenUp !== undefined && !isDone && !isGone(id) && !isExcused) {
        found.push({ rule: 'DeadLetter', text: `${name} gave ${id} up, and it is no dead letter`, ids: [id] })
      }
      this.#judgePairs(name, group, id, deliveries, found)
      this.#judgeSchedule(name, policy, id, deliveries, found)
    }
  }

  #judgePairs(
    name: string,
    { policy, moves }: Group,
    id: string,
    deliveries: readonly Delivery[],
    found: DeliveryViolation[],
  ): void {
    for (let at = 1; at < deliveries.length; at++) {
      const [before, after] = [deliveries[at - 1] as Delivery, deliveries[at] as Delivery]
      if (!this.#isCalm(name, before.start, after.start)) continue
      const overlap = before.end === undefined || before.end.t > after.start.t
      if (!overlap && before.end?.outcome !== 'ok') continue
      // In order nothing is copied: a message has one life, wherever the group is.
      const starts = policy.ordered ? [] : deliveries.slice(0, at + 1).map(({ start }) => start)
      const others = deliveries.slice(0, at - 1).filter((one) => this.#isFinished(name, one)).length
      const more = this.#moreLivesOf(name, id, after.start.t)
      if (others + 1 < Math.max(1, moves.livesOf(starts)) + more) continue
      const members = `${before.start.member} and ${after.start.member}`
      if (overlap) found.push({ rule: 'LeaseExclusive', text: `${members} of ${name} both had ${id}`, ids: [id] })
      else found.push({ rule: 'NoResurrect', text: `${name} finished ${id} and got it again`, ids: [id] })
    }
  }

  /** For good: while faults are about, the acknowledgement may have been lost. */
  #isFinished(name: string, { start, end }: Delivery): boolean {
    return end?.outcome === 'ok' && this.#calm.isCalm(name, start.t, end.t)
  }

  /** Delivery n + 1 against the earliest failure of delivery n: any of several copies may come again. */
  #judgeSchedule(
    name: string,
    policy: GroupPolicy,
    id: string,
    deliveries: readonly Delivery[],
    found: DeliveryViolation[],
  ): void {
    for (const { start } of deliveries) {
      if (start.attempt < 2) continue
      const failed = deliveries.filter((one) => one.start.attempt === start.attempt - 1 && one.start.t < start.t)
      const first = failed[0]
      // A lease that ran out, or could not be given back, comes again by another rule.
      if (first === undefined || (policy.mode === 'lease' && !this.#isCalm(name, first.start, start))) continue
      if (failed.some(({ end }) => end?.outcome !== 'retry')) continue
      const dueAt = Math.min(...failed.map(({ end }) => (end as End).t + pauseNs(end as End, policy, start.attempt)))
      const earlyNs = dueAt - start.t - this.#clock.gainedOverRestartIn(first.start.t, start.t)
      if (earlyNs <= RESOLUTION_NS) continue
      const early = (earlyNs / 1e6).toFixed(0)
      const text = `attempt ${start.attempt} of ${id} in ${name} was ${early} ms early`
      found.push({ rule: 'RetrySchedule', text, ids: [id] })
    }
  }

  #judgeOrder(name: string, group: Group, found: DeliveryViolation[]): void {
    const lanes = new Map<string, Delivery[]>()
    for (const deliveries of group.byId.values()) {
      for (const one of deliveries) {
        const { topic, stored, queueId, key } = one.start
        const isFirst = topic === stored
        // Leases keep the order of a key; the other modes that of the queue.
        const lane = group.policy.mode === 'lease' ? `key ${key}` : `${topic}/${queueId}`
        if (isFirst) pushTo(lanes, lane, one)
      }
    }
    for (const [lane, deliveries] of lanes) this.#judgeLane(name, group, lane, deliveries, found)
  }

  #judgeLane(name: string, group: Group, lane: string, all: readonly Delivery[], found: DeliveryViolation[]): void {
    const rule = group.policy.mode === 'lease' ? 'Order' : 'QueueOrder'
    const byOffset = new Map<number, Delivery[]>()
    for (const one of all) pushTo(byOffset, one.start.offset, one)
    let before: Delivery[] | undefined
    for (const [, deliveries] of [...byOffset].toSorted(([a], [b]) => a - b)) {
      const [first] = deliveries
      const [previous] = before ?? []
      if (first !== undefined && previous !== undefined && before !== undefined) {
        const done = before.filter((one) => one.end?.outcome === 'ok' || isGivenUp(one, group.policy))
        const doneAt = Math.min(...done.map(({ end }) => (end as End).t))
        if (first.start.t < doneAt && !isPassedOver(group, previous.start, first.start.t, doneAt)) {
          const ids = [previous.start.id, first.start.id]
          found.push({ rule, text: `${name} began ${ids[1]} before ${ids[0]} was done (${lane})`, ids })
        }
      }
      before = deliveries
    }
    // What takes no time ends, and the next begins, in one instant.
    const inTime = all.toSorted((a, b) => a.start.t - b.start.t || a.start.op - b.start.op)
    for (let at = 1; at < inTime.length; at++) {
      const [one, next] = [inTime[at - 1] as Delivery, inTime[at] as Delivery]
      if (one.end !== undefined && one.end.t <= next.start.t) continue
      if (one.start.id === next.start.id || !this.#isCalm(name, one.start, next.start)) continue
      const text = `${one.start.member} and ${next.start.member} of ${name} worked at once (${lane})`
      found.push({ rule, text, ids: [one.start.id, next.start.id] })
    }
  }

  #isCalm(name: string, from: Start, to: Start): boolean {
    // Who leases a message has it alone whatever becomes of the queues.
    const sharesQueues = this.#groups.get(name)?.policy.mode !== 'lease'
    return this.#calm.isCalm(name, from.t, to.t, sharesQueues ? from.topic : undefined)
  }
}

/** Why a message may be finished at `doneAt`, and one behind it begin at `t` before that. */
function isPassedOver({ moves, dead }: Group, { id, topic, storedWall }: Start, t: number, doneAt: number): boolean {
  if (moves.mayHavePassed(topic, storedWall, t)) return true
  // Given up when its deliveries had begun and none had ended; an operator who moves the group back brings it again.
  return dead.has(id) && (doneAt === Number.POSITIVE_INFINITY || moves.isBetween(t, doneAt))
}

function isGivenUp({ start, end }: Delivery, policy: GroupPolicy): boolean {
  return end?.outcome === 'reject' || (end?.outcome === 'retry' && start.attempt >= policy.attemptsMax)
}

function pauseNs(end: End, policy: GroupPolicy, attempt: number): number {
  const byPolicy = policy.retryMs[Math.min(attempt - 2, policy.retryMs.length - 1)] ?? 0
  return (end.delayMs ?? byPolicy) * 1e6
}

function pushTo<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}
