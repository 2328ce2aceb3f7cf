import type { Clock } from '@tandemmq/remoting'
import type { ConsumeQueue } from '../../store/index.ts'
import type { Offsets, QueueLookup } from '../offsets.ts'
import { Deadlines } from './deadlines.ts'
import type { Lease, LeaseQueue } from './lease-queue.ts'
import type { LeaseTable } from './lease-table.ts'
import { type KeyedMessage, LeasesByKey } from './leases-by-key.ts'
import type { Delivery } from './order-batch.ts'
import { OrderedLeases } from './ordered-leases.ts'
import { ORDERED_REVIVE_QUEUE, type Receipt } from './receipt.ts'
import type { DeadEnd, Revival } from './revival.ts'
import { REVIVAL_PAUSE_FIRST_MS, revivalPauseMs } from './revival-pause.ts'

/** `again`: settled already, by this lease as far as anybody can tell. `stale`: the lease is over or was never there. */
export type AckOutcome = 'acked' | 'again' | 'stale' | 'notOfBatch'

/** What every lease of one pop has in common. */
export type Epoch = Pick<Lease, 'popTime' | 'invisibleMs' | 'reviveQueueId'>

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
  readonly #clock: Clock
  readonly #table: LeaseTable
  readonly #offsets: Offsets
  readonly #revival: Revival
  readonly #lookup: QueueLookup
  readonly #perQueueMax: number
  readonly #totalMax: number
  readonly #deadlines: Deadlines<Lease>
  readonly #byKey: LeasesByKey
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
    this.#revival = options.revival
    this.#lookup = options.lookup
    this.#perQueueMax = options.perQueueMax
    this.#totalMax = options.totalMax
    this.#deadlines = new Deadlines(options.clock, (lease) => this.#onExpired(lease))
    this.ordered = new OrderedLeases({
      ...options,
      onSettled: (queue) => this.#commit(queue),
      onRoom: (queue) => this.onRoom(queue),
    })
    this.#byKey = new LeasesByKey({
      ...options,
      deadlines: this.#deadlines,
      onAdded: () => this.#total++,
      onSettled: (lease) => this.#settle(lease),
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
    const committed = this.#offsets.committed(group, source.topic, source.queueId)
    if (committed >= 0) return Math.min(Math.max(committed, source.minOffset), source.maxOffset)
    // broker.md 6.2.4: the end means the last message, and the beginning as long as nothing of the queue is gone.
    if (!fromEnd || source.minOffset === 0) return source.minOffset
    return Math.max(source.minOffset, source.maxOffset - 1)
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

  /** Whether the lease is alive and of this epoch. */
  holds(queue: LeaseQueue, offset: number, epoch: Pick<Epoch, 'popTime' | 'reviveQueueId'>): boolean {
    const lease = queue.find(offset)
    return lease !== undefined && isOf(lease, epoch)
  }

  /** A consumer gets messages that it holds once more, its answer lost: only the receipts of this epoch count. */
  renew(queue: LeaseQueue, offsets: readonly number[], epoch: Epoch): void {
    for (const offset of offsets) {
      const lease = queue.find(offset)
      if (lease !== undefined) this.#prolong(lease, epoch)
    }
  }

  /** Settles a message. `offset` is within the queue. */
  ack(queue: LeaseQueue | undefined, offset: number, receipt: Receipt): AckOutcome {
    const outcome = this.#ack(queue, offset, receipt)
    if (outcome === 'acked') this.figures.acked++
    else if (outcome === 'stale') this.figures.stale++
    return outcome
  }

  /** A waiting message cannot be read any more: retention took it. */
  lost(queue: LeaseQueue, offset: number): void {
    const lease = queue.find(offset)
    if (lease !== undefined) this.#settle(lease)
  }

  /** A consumer begins with the message now. */
  begin(queue: LeaseQueue | undefined, offset: number, receipt: Receipt): void {
    if (queue !== undefined && receipt.reviveQueueId === ORDERED_REVIVE_QUEUE) {
      return this.ordered.begin(queue, offset, receipt)
    }
    const lease = queue?.find(offset)
    if (lease !== undefined && isOf(lease, receipt)) lease.isCounted = true
  }

  /** Changes how long a message stays invisible, from now on. @returns the new epoch; undefined when the lease is over */
  hide(queue: LeaseQueue | undefined, offset: number, receipt: Receipt, invisibleMs: number): Epoch | undefined {
    const epoch = queue === undefined ? undefined : this.#hide(queue, offset, receipt, invisibleMs)
    if (epoch === undefined) this.figures.stale++
    return epoch
  }

  /**
   * Makes a leased message a dead letter in one act: there is no moment at which it is both or neither.
   * @param done with an error: the lease goes on, and its end brings the message again
   * @returns false when the lease is over; true also for the repeat of one that was settled
   */
  bury(
    queue: LeaseQueue | undefined,
    offset: number,
    receipt: Receipt,
    end: DeadEnd,
    done: (error?: Error) => void,
  ): boolean {
    if (queue !== undefined && receipt.reviveQueueId === ORDERED_REVIVE_QUEUE) {
      if (this.ordered.bury(queue, offset, receipt, end, done)) return true
    }
    const lease = queue?.find(offset)
    if (lease === undefined || !isOf(lease, receipt)) {
      const isRepeat = lease === undefined && this.#ack(queue, offset, receipt) === 'again'
      if (isRepeat) done()
      else this.figures.stale++
      return isRepeat
    }
    lease.isReviving = true
    this.#deadlines.cancel(lease.timer)
    lease.timer = 0
    this.#revival.bury(lease.queue, offset, end, (error) => {
      if (lease.queue.find(offset) === lease) {
        if (error === undefined) this.#settle(lease)
        else {
          lease.isReviving = false
          lease.timer = this.#deadlines.add(
            Math.max(lease.deadline, this.#clock.monotonic() + REVIVAL_PAUSE_FIRST_MS),
            lease,
          )
        }
      }
      done(error)
    })
    return true
  }

  /** Log offset of the first message somebody holds; Infinity when there is none. */
  earliestPinned(): number {
    let earliest = Number.POSITIVE_INFINITY
    for (const queue of this.#table.all()) {
      if (queue.leased === 0 && queue.order === undefined) continue
      const source = this.#lookup(queue.topic, queue.queueId)
      const offset = queue.settledTo
      if (source === undefined || offset < source.minOffset || offset >= source.maxOffset) continue
      if (source.size(offset) > 0) earliest = Math.min(earliest, source.physicalOffset(offset))
    }
    return earliest
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

  #ack(queue: LeaseQueue | undefined, offset: number, receipt: Receipt): AckOutcome {
    if (queue === undefined) return 'stale'
    const ordered = this.ordered.ack(queue, offset, receipt)
    if (ordered !== undefined) return ordered
    const lease = queue.find(offset)
    if (lease === undefined) {
      const isOver = offset >= queue.next || this.#clock.now() >= receipt.popTime + receipt.invisibleMs
      return isOver ? 'stale' : 'again'
    }
    if (!isOf(lease, receipt)) return 'stale'
    this.#settle(lease)
    return 'acked'
  }

  #hide(queue: LeaseQueue, offset: number, receipt: Receipt, invisibleMs: number): Epoch | undefined {
    if (receipt.reviveQueueId === ORDERED_REVIVE_QUEUE) return this.ordered.hide(queue, offset, receipt, invisibleMs)
    const lease = queue.find(offset)
    if (lease === undefined || !isOf(lease, receipt)) return undefined
    // Never the old epoch: the old receipt ends here.
    const popTime = Math.max(this.#clock.now(), lease.popTime + 1)
    this.#prolong(lease, { popTime, invisibleMs, reviveQueueId: lease.reviveQueueId })
    return lease
  }

  #prolong(lease: Lease, { popTime, invisibleMs, reviveQueueId }: Epoch): void {
    lease.popTime = popTime
    lease.invisibleMs = invisibleMs
    lease.reviveQueueId = reviveQueueId
    lease.deadline = this.#clock.monotonic() + invisibleMs
    this.#deadlines.cancel(lease.timer)
    lease.timer = this.#deadlines.add(lease.deadline, lease)
    this.#table.noteChanged(lease.queue, lease)
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
    lease.isReviving = true
    this.#revival.revive(lease, (error) => {
      if (lease.queue.find(lease.offset) !== lease) return
      if (error === undefined) return this.#settle(lease)
      // Nobody else has the message yet, so an ack may still settle it.
      lease.isReviving = false
      lease.timer = this.#deadlines.add(this.#clock.monotonic() + revivalPauseMs(lease), lease)
    })
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
    if (source !== undefined && queue.next > source.maxOffset) this.#cutTo(queue, source.maxOffset)
    for (const lease of queue.leases) {
      lease.timer = this.#deadlines.add(lease.deadline, lease)
      this.#total++
    }
    this.#byKey.recover(queue)
    this.ordered.recover(queue)
    this.#commit(queue)
  }

  #cutTo(queue: LeaseQueue, maxOffset: number): void {
    const kept = [...queue.leases].filter(({ offset }) => offset < maxOffset)
    queue.clear(maxOffset)
    for (const lease of kept) queue.add(lease)
    this.#table.note(queue, ['cleared', maxOffset])
    for (const lease of kept) this.#table.noteTaken(queue, [lease])
  }
}

const isOf = (lease: Lease, receipt: Pick<Epoch, 'popTime' | 'reviveQueueId'>): boolean =>
  lease.popTime === receipt.popTime &&
  lease.reviveQueueId === receipt.reviveQueueId &&
  !lease.isReviving &&
  !lease.isWaiting
