import type { Clock } from '@tandemmq/remoting'
import type { ConsumeQueue } from '../../store/index.ts'
import type { Offsets, QueueLookup } from '../offsets.ts'
import { Deadlines } from './deadlines.ts'
import type { Epoch } from './epoch.ts'
import { LeaseEnds } from './lease-ends.ts'
import { cutTo, firstOffset } from './lease-places.ts'
import type { Lease, LeaseQueue } from './lease-queue.ts'
import { LeaseReceipts } from './lease-receipts.ts'
import type { LeaseTable } from './lease-table.ts'
import { type KeyedMessage, LeasesByKey } from './leases-by-key.ts'
import type { Delivery } from './order-batch.ts'
import { OrderedLeases } from './ordered-leases.ts'
import type { Revival } from './revival.ts'

export interface LeaseFigures {
  /** Messages handed out, and acknowledged. */
  popped: number
  acked: number
  /** Leases that ran out. */
  expired: number
  /** Acks and extensions that were refused because the lease was over. */
  stale: number
  /** Leases dropped because the group was moved. */
  revoked: number
}

/** The rules of leases: who may hold what, what an ack does, what happens when time is up (broker.md 6.8). */
export class LeaseBook {
  readonly figures: LeaseFigures = { popped: 0, acked: 0, expired: 0, stale: 0, revoked: 0 }
  /** Set by whoever lets pops wait: the queue can give again, though nothing was appended to it. */
  onRoom: (queue: LeaseQueue) => void = () => {}
  readonly ordered: OrderedLeases
  /** What those who hold leases do with them. */
  readonly receipts: LeaseReceipts
  readonly #clock: Clock
  readonly #table: LeaseTable
  readonly #offsets: Offsets
  readonly #lookup: QueueLookup
  readonly #perQueueMax: number
  readonly #totalMax: number
  readonly #deadlines: Deadlines<Lease>
  readonly #byKey: LeasesByKey
  readonly #ends: LeaseEnds
  #total = 0

  constructor(options: {
    clock: Clock
    table: LeaseTable
    offsets: Offsets
    revival: Revival
    lookup: QueueLookup
    redeliveriesMax: (group: string) => number
    perQueueMax: number
    totalMax: number
  }) {
    this.#clock = options.clock
    this.#table = options.table
    this.#offsets = options.offsets
    this.#lookup = options.lookup
    this.#perQueueMax = options.perQueueMax
    this.#totalMax = options.totalMax
    this.#deadlines = new Deadlines(options.clock, (lease) => this.#onExpired(lease))
    this.ordered = new OrderedLeases({
      ...options,
      onSettled: (queue) => this.#commit(queue),
      onRoom: (queue) => this.onRoom(queue),
    })
    const shared = { ...options, deadlines: this.#deadlines, onSettled: (lease: Lease) => this.#settle(lease) }
    this.#ends = new LeaseEnds(shared)
    this.receipts = new LeaseReceipts({ ...shared, ends: this.#ends, ordered: this.ordered, figures: this.figures })
    this.#byKey = new LeasesByKey({
      ...shared,
      onAdded: () => this.#total++,
      onRoom: (queue) => this.onRoom(queue),
    })
    this.#offsets.onRewound = (group, topic, queueId, offset) => this.#onRewound(group, topic, queueId, offset)
    for (const queue of this.#table.all()) this.#recover(queue)
  }

  /** Messages under a lease that is not in order. */
  get live(): number {
    return this.#total
  }

  /** Where the group would go on, without making it a consumer of the queue. */
  startOf(group: string, source: ConsumeQueue, fromEnd: boolean): number {
    const known = this.#table.find(group, source.topic, source.queueId)
    if (known !== undefined) return Math.max(known.next, source.minOffset)
    return firstOffset(this.#offsets, group, source, fromEnd)
  }

  /** The group's part of the queue, brought in line with resets, other consumers' commits and retention. */
  open(group: string, source: ConsumeQueue, fromEnd: boolean): LeaseQueue {
    const { topic, queueId, minOffset, maxOffset } = source
    let queue = this.#table.find(group, topic, queueId)
    if (queue === undefined) {
      queue = this.#table.create(group, topic, queueId, this.startOf(group, source, fromEnd))
      this.#commit(queue)
    }
    if (this.#offsets.hasPendingResets && this.#offsets.hasReset(group, topic, queueId)) {
      this.#offsets.takeReset(group, topic, queueId, this.#offsets.committed(group, topic, queueId))
    }
    const committed = this.#offsets.committed(group, topic, queueId)
    if (committed > queue.settledTo) {
      this.#revoke(queue.skipTo(committed))
      if (queue.keyed?.hasReady === true) this.#clock.soon(() => this.onRoom(queue))
      this.#table.note(queue, ['skipped', committed])
    }
    if (queue.next < minOffset) this.passOver(queue, minOffset)
    // An asynchronous flush lost the end of the log: its offsets will name other messages.
    if (queue.next > maxOffset) this.#rewind(queue, maxOffset)
    return queue
  }

  /** Leases the queue has room for. */
  roomOf(queue: LeaseQueue): number {
    return Math.min(this.#perQueueMax - queue.leased, this.#totalMax - this.#total)
  }

  /** Everything before `next` that nobody holds is settled. */
  passOver(queue: LeaseQueue, next: number): void {
    if (next <= queue.next) return
    queue.next = next
    this.#table.note(queue)
    this.#commit(queue)
  }

  /**
   * @param offsets ascending, none before `queue.next`
   * @param isCounted false: the consumer says when it begins with a message
   */
  take(queue: LeaseQueue, offsets: readonly number[], epoch: Epoch, next: number, isCounted = true): void {
    const deadline = this.#clock.monotonic() + epoch.invisibleMs
    const leases = offsets.map((offset): Lease => {
      const lease = {
        ...{ queue, offset, ...epoch, deadline, isCounted },
        ...{ timer: 0, isReviving: false, isRestored: false, failures: 0 },
        ...{ key: undefined, isWaiting: false, deliveries: 0, wasOut: true },
      }
      lease.timer = this.#deadlines.add(deadline, lease)
      queue.add(lease)
      return lease
    })
    this.#total += leases.length
    this.figures.popped += leases.length
    queue.next = next
    this.#table.noteTaken(queue, leases)
    this.#commit(queue)
  }

  /** As {@link take}, in the order of each key, see {@link LeasesByKey.take}. */
  takeKeyed(
    queue: LeaseQueue,
    picks: readonly KeyedMessage[],
    behind: readonly KeyedMessage[],
    epoch: Epoch & { isCounted: boolean },
    next: number,
  ): Delivery[] {
    this.figures.popped += picks.length
    const deliveries = this.#byKey.take(queue, picks, behind, epoch, next)
    this.#commit(queue)
    return deliveries
  }

  /** As {@link take}, in order. */
  takeInOrder(
    queue: LeaseQueue,
    offsets: readonly number[],
    epoch: Pick<Epoch, 'popTime' | 'invisibleMs'> & { isCounted: boolean },
    attemptId: string,
  ): Delivery[] {
    this.figures.popped += offsets.length
    return this.ordered.take(queue, offsets, epoch, attemptId)
  }

  /** A waiting message cannot be read any more: retention took it. */
  lost(queue: LeaseQueue, offset: number): void {
    const lease = queue.find(offset)
    if (lease !== undefined) this.#settle(lease)
  }

  dropTopic(topic: string): void {
    for (const queue of this.#table.dropTopic(topic)) this.#revoke(queue.clear(queue.next))
  }

  dropGroup(group: string): void {
    for (const queue of this.#table.dropGroup(group)) this.#revoke(queue.clear(queue.next))
  }

  close(): void {
    this.#deadlines.close()
    this.ordered.close()
  }

  #settle(lease: Lease): void {
    const { queue, offset } = lease
    queue.remove(offset)
    this.#end([lease])
    this.#table.noteSettled(queue, offset)
    this.#commit(queue)
    if (lease.key !== undefined && this.#byKey.leave(lease)) return this.onRoom(queue)
    if (!queue.isHungry) return
    queue.isHungry = false
    this.onRoom(queue)
  }

  #onExpired(lease: Lease): void {
    lease.timer = 0
    if (lease.failures === 0 && lease.wasOut) this.figures.expired++
    if (lease.key !== undefined) return this.#byKey.expired(lease)
    this.#ends.expired(lease)
  }

  #onRewound(group: string, topic: string, queueId: number, offset: number): void {
    const queue = this.#table.find(group, topic, queueId)
    if (queue === undefined) return
    this.#rewind(queue, offset)
    queue.committed = offset
    this.onRoom(queue)
  }

  #rewind(queue: LeaseQueue, offset: number): void {
    this.ordered.forget(queue)
    this.#revoke(queue.clear(offset))
    this.#table.note(queue, ['cleared', offset])
  }

  #revoke(leases: readonly Lease[]): void {
    this.figures.revoked += leases.length
    this.#end(leases)
  }

  /** They are out of their queue. */
  #end(leases: readonly Lease[]): void {
    for (const { timer } of leases) if (timer !== 0) this.#deadlines.cancel(timer)
    this.#total -= leases.length
  }

  #commit(queue: LeaseQueue): void {
    const settled = queue.settledTo
    if (settled === queue.committed) return
    const outcome = this.#offsets.commit(queue.group, queue.topic, queue.queueId, settled)
    if (outcome !== 'resetPending') queue.committed = settled
  }

  /** The table is written before the offsets are, so it knows better how far the group is. */
  #recover(queue: LeaseQueue): void {
    const source = this.#lookup(queue.topic, queue.queueId)
    if (source !== undefined && queue.next > source.maxOffset) cutTo(this.#table, queue, source.maxOffset)
    for (const lease of queue.leases) {
      lease.timer = this.#deadlines.add(lease.deadline, lease)
      this.#total++
    }
    this.#byKey.recover(queue)
    this.ordered.recover(queue)
    this.#commit(queue)
  }
}
