import type { Clock } from '@tandemmq/remoting'
import { BrokerError } from '../../broker-error.ts'
import type { Journal } from '../state-table.ts'
import { KEYED_REVIVE_QUEUE } from './keyed-leases.ts'
import { type Lease, LeaseQueue } from './lease-queue.ts'
import { OrderBatch, type OrderBatchJson } from './order-batch.ts'

const TABLE = 'leases'
/** Names come from strangers. */
const QUEUES_MAX = 200_000
/** Leases in one entry of a snapshot. */
const SNAPSHOT_LEASES = 1000

/**
 * What happened to a queue, in order; offsets of `taken` and `offered` after the first are differences. The end of what was offered is no
 * failed delivery as long as no consumer says that it begins. `deliveries`: those before that count, where there are any.
 */
type Step =
  | [name: 'taken' | 'offered', popTime: number, invisibleMs: number, reviveQueueId: number, ...offsets: number[]]
  | ['deliveries', ...offsetsAndCounts: number[]]
  | ['settled', ...offsets: number[]]
  | ['changed', offset: number, popTime: number, invisibleMs: number, reviveQueueId: number, notCounted?: 1]
  | ['cleared', next: number]
  | ['skipped', offset: number]
  | ['order', OrderBatchJson | null]

type Entry =
  | { queue: [id: number, group: string, topic: string, queueId: number, settledTo: number] }
  | { drop: number }
  | { id: number; next: number; steps: Step[] }

/**
 * Every queue that some group consumes by leases, kept in the journal table `leases`. An entry is in the journal's file before the
 * answer that rests on it leaves ({@link whenWritten}), so a process that is killed forgets nothing it has said; a power cut
 * may take the last second, after which acknowledged messages come again and none is lost.
 */
export class LeaseTable {
  readonly #clock: Clock
  readonly #journal: Journal
  readonly #byGroup = new Map<string, Map<string, LeaseQueue>>()
  readonly #byId = new Map<number, LeaseQueue>()
  #lastId = 0
  #dirty = new Map<LeaseQueue, Step[]>()
  #waiting: ((error?: Error) => void)[] = []
  #isScheduled = false

  constructor(options: { clock: Clock; journal: Journal }) {
    this.#clock = options.clock
    this.#journal = options.journal
    this.#journal.register(TABLE, {
      apply: (entry) => this.#apply(entry as Entry),
      snapshot: () => this.#snapshot(),
    })
  }

  find(group: string, topic: string, queueId: number): LeaseQueue | undefined {
    return this.#byGroup.get(group)?.get(keyOf(topic, queueId))
  }

  /** @throws {BrokerError} SYSTEM_BUSY when there are too many */
  create(group: string, topic: string, queueId: number, start: number): LeaseQueue {
    if (this.#byId.size >= QUEUES_MAX) throw new BrokerError('SYSTEM_BUSY', `${QUEUES_MAX} queues are leased already`)
    const queue = this.#put(this.#lastId + 1, group, topic, queueId, start)
    this.#journal.append(TABLE, { queue: [queue.id, group, topic, queueId, start] } satisfies Entry)
    this.#schedule()
    return queue
  }

  all(): Iterable<LeaseQueue> {
    return this.#byId.values()
  }

  get size(): number {
    return this.#byId.size
  }

  dropTopic(topic: string): LeaseQueue[] {
    return this.#dropWhere((queue) => queue.topic === topic)
  }

  dropGroup(group: string): LeaseQueue[] {
    return this.#dropWhere((queue) => queue.group === group)
  }

  noteTaken(queue: LeaseQueue, leases: readonly Lease[]): void {
    const [first] = leases
    if (first === undefined) return this.note(queue)
    let before = 0
    const offsets = leases.map(({ offset }) => {
      const step = offset - before
      before = offset
      return step
    })
    this.note(queue, [takenOrOffered(first), first.popTime, first.invisibleMs, first.reviveQueueId, ...offsets])
    if (first.reviveQueueId !== KEYED_REVIVE_QUEUE) return
    const counts = leases.flatMap(({ offset, deliveries }) => (deliveries > 0 ? [offset, deliveries] : []))
    if (counts.length > 0) this.note(queue, ['deliveries', ...counts])
  }

  noteSettled(queue: LeaseQueue, offset: number): void {
    const last = this.#dirty.get(queue)?.at(-1)
    if (last !== undefined && last[0] === 'settled') last.push(offset)
    else this.note(queue, ['settled', offset])
  }

  noteChanged(queue: LeaseQueue, { offset, popTime, invisibleMs, reviveQueueId, isCounted }: Lease): void {
    if (isCounted) this.note(queue, ['changed', offset, popTime, invisibleMs, reviveQueueId])
    else this.note(queue, ['changed', offset, popTime, invisibleMs, reviveQueueId, 1])
  }

  noteOrder(queue: LeaseQueue): void {
    this.note(queue, ['order', queue.order?.json((at) => this.#toWall(at), Math.floor(this.#clock.now())) ?? null])
  }

  /** The queue's `next` is kept in any case. */
  note(queue: LeaseQueue, step?: Step): void {
    let steps = this.#dirty.get(queue)
    if (steps === undefined) this.#dirty.set(queue, (steps = []))
    if (step !== undefined) steps.push(step)
    this.#schedule()
  }

  /** Calls back at the end of this turn, when everything noted so far is in the journal's file; with an error when it never will be. */
  whenWritten(callback: (error?: Error) => void): void {
    this.#waiting.push(callback)
    this.#schedule()
  }

  /** Writes what was noted, and calls back who waits. */
  flush(): void {
    const dirty = this.#dirty
    const waiting = this.#waiting
    this.#dirty = new Map()
    this.#waiting = []
    let failure: Error | undefined
    try {
      for (const [queue, steps] of dirty) {
        if (this.#byId.get(queue.id) !== queue) continue
        this.#journal.append(TABLE, { id: queue.id, next: queue.next, steps } satisfies Entry)
      }
      this.#journal.commit()
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
    }
    for (const callback of waiting) callback(failure)
  }

  /** Wall clock to monotonic, for times that were stored. */
  toMonotonic(wall: number, durationMax: number): number {
    const left = Math.min(Math.max(wall - this.#clock.now(), 0), durationMax)
    return this.#clock.monotonic() + left
  }

  #toWall(monotonic: number): number {
    return this.#clock.now() + monotonic - this.#clock.monotonic()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.soon(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  #put(id: number, group: string, topic: string, queueId: number, start: number): LeaseQueue {
    const queue = new LeaseQueue(id, group, topic, queueId, start)
    let queues = this.#byGroup.get(group)
    if (queues === undefined) this.#byGroup.set(group, (queues = new Map()))
    queues.set(keyOf(topic, queueId), queue)
    this.#byId.set(id, queue)
    if (id > this.#lastId) this.#lastId = id
    return queue
  }

  #dropWhere(test: (queue: LeaseQueue) => boolean): LeaseQueue[] {
    const dropped = [...this.#byId.values()].filter(test)
    for (const queue of dropped) {
      this.#drop(queue)
      this.#journal.append(TABLE, { drop: queue.id } satisfies Entry)
    }
    return dropped
  }

  #drop(queue: LeaseQueue): void {
    this.#byId.delete(queue.id)
    const queues = this.#byGroup.get(queue.group)
    queues?.delete(keyOf(queue.topic, queue.queueId))
    if (queues?.size === 0) this.#byGroup.delete(queue.group)
  }

  #apply(entry: Entry): void {
    if ('queue' in entry) {
      const before = this.#byId.get(entry.queue[0])
      if (before !== undefined) this.#drop(before)
      this.#put(...entry.queue)
      return
    }
    const queue = this.#byId.get('drop' in entry ? entry.drop : entry.id)
    if (queue === undefined) return
    if ('drop' in entry) return this.#drop(queue)
    for (const step of entry.steps) this.#applyStep(queue, step)
    queue.next = entry.next
  }

  #applyStep(queue: LeaseQueue, step: Step): void {
    switch (step[0]) {
      case 'taken':
      case 'offered': {
        const [name, popTime, invisibleMs, reviveQueueId, ...steps] = step
        const isCounted = name === 'taken'
        let offset = 0
        for (const one of steps) {
          offset += one
          queue.add(this.#restored({ queue, offset, popTime, invisibleMs, reviveQueueId, isCounted }))
        }
        return
      }
      case 'deliveries':
        for (let at = 1; at < step.length; at += 2) {
          const lease = queue.find(step[at] as number)
          if (lease !== undefined) lease.deliveries = step[at + 1] as number
        }
        return
      case 'changed': {
        const [, offset, popTime, invisibleMs, reviveQueueId, notCounted] = step
        const before = queue.find(offset)
        if (before === undefined) return
        const isCounted = notCounted !== 1
        const lease = this.#restored({ queue, offset, popTime, invisibleMs, reviveQueueId, isCounted })
        lease.deliveries = before.deliveries
        lease.wasOut ||= before.wasOut
        queue.add(lease)
        return
      }
      case 'settled':
        for (const offset of step.slice(1)) queue.remove(offset as number)
        return
      case 'cleared':
        queue.clear(step[1])
        return
      case 'skipped':
        queue.skipTo(step[1])
        return
      case 'order':
        queue.order = undefined
        if (step[1] === null) return
        queue.order = OrderBatch.of(step[1], (wall, msMax) => this.toMonotonic(wall, msMax))
        queue.isOrderRestored = true
    }
  }

  #restored(lease: Pick<Lease, 'queue' | 'offset' | 'popTime' | 'invisibleMs' | 'reviveQueueId' | 'isCounted'>): Lease {
    const { popTime, invisibleMs } = lease
    const deadline = this.toMonotonic(popTime + invisibleMs, invisibleMs)
    // Which key, the record says. What only waited behind another one of its key has no time of its own.
    const keyed = { key: undefined, isWaiting: false, deliveries: 0, wasOut: invisibleMs > 0 }
    return { ...lease, ...keyed, deadline, timer: 0, isReviving: false, isRestored: true, failures: 0 }
  }

  *#snapshot(): Iterable<Entry> {
    for (const queue of this.#byId.values()) {
      const { id, group, topic, queueId, next } = queue
      yield { queue: [id, group, topic, queueId, queue.settledTo] }
      let steps: Step[] = []
      for (const lease of queue.leases) {
        const { popTime, invisibleMs, reviveQueueId, offset, deliveries } = lease
        steps.push([takenOrOffered(lease), popTime, invisibleMs, reviveQueueId, offset])
        if (deliveries > 0) steps.push(['deliveries', offset, deliveries])
        if (steps.length < SNAPSHOT_LEASES) continue
        yield { id, next, steps }
        steps = []
      }
      if (queue.order !== undefined)
        steps.push(['order', queue.order.json((at) => this.#toWall(at), Math.floor(this.#clock.now()))])
      yield { id, next, steps }
    }
  }
}

/** Topic names cannot contain an @. */
const keyOf = (topic: string, queueId: number): string => `${topic}@${queueId}`

const takenOrOffered = ({ isCounted }: Lease): 'taken' | 'offered' => (isCounted ? 'taken' : 'offered')
