import type { Clock } from '@tandemmq/remoting'
import type { Deadlines } from './deadlines.ts'
import { type Epoch, isOf } from './epoch.ts'
import type { LeaseFigures } from './lease-book.ts'
import type { LeaseEnds } from './lease-ends.ts'
import type { Lease, LeaseQueue } from './lease-queue.ts'
import type { LeaseTable } from './lease-table.ts'
import type { OrderedLeases } from './ordered-leases.ts'
import { ORDERED_REVIVE_QUEUE, type Receipt } from './receipt.ts'
import type { DeadEnd } from './revival.ts'

/** Shortest time there is: whoever asks next gets the message. */
const RELEASE_MS = 1

/** `again`: settled already, by this lease as far as anybody can tell. `stale`: the lease is over or was never there. */
export type AckOutcome = 'acked' | 'again' | 'stale' | 'notOfBatch'

/** What those who hold leases do with them: acknowledge, begin, prolong, give up. Only the newest receipt of a lease counts. */
export class LeaseReceipts {
  readonly #clock: Clock
  readonly #table: LeaseTable
  readonly #deadlines: Deadlines<Lease>
  readonly #ordered: OrderedLeases
  readonly #ends: LeaseEnds
  readonly #figures: LeaseFigures
  readonly #onSettled: (lease: Lease) => void

  constructor(options: {
    clock: Clock
    table: LeaseTable
    deadlines: Deadlines<Lease>
    ordered: OrderedLeases
    ends: LeaseEnds
    figures: LeaseFigures
    onSettled: (lease: Lease) => void
  }) {
    this.#clock = options.clock
    this.#table = options.table
    this.#deadlines = options.deadlines
    this.#ordered = options.ordered
    this.#ends = options.ends
    this.#figures = options.figures
    this.#onSettled = options.onSettled
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

  /** The answer with these messages reached nobody: they are to be had at once, and that was no delivery. */
  release(queue: LeaseQueue, offsets: readonly number[], epoch: Pick<Epoch, 'popTime' | 'reviveQueueId'>): void {
    for (const offset of offsets) {
      const lease = queue.find(offset)
      if (epoch.reviveQueueId === ORDERED_REVIVE_QUEUE) this.#ordered.uncount(queue, offset, epoch)
      else if (lease !== undefined && isOf(lease, epoch)) lease.isCounted = false
      this.#hide(queue, offset, epoch, RELEASE_MS)
    }
  }

  /** Settles a message. `offset` is within the queue. */
  ack(queue: LeaseQueue | undefined, offset: number, receipt: Receipt): AckOutcome {
    const outcome = this.#ack(queue, offset, receipt)
    if (outcome === 'acked') this.#figures.acked++
    else if (outcome === 'stale') this.#figures.stale++
    return outcome
  }

  /** A consumer begins with the message now. */
  begin(queue: LeaseQueue | undefined, offset: number, receipt: Receipt): void {
    if (queue !== undefined && receipt.reviveQueueId === ORDERED_REVIVE_QUEUE) {
      return this.#ordered.begin(queue, offset, receipt)
    }
    const lease = queue?.find(offset)
    if (lease !== undefined && isOf(lease, receipt)) lease.isCounted = true
  }

  /** Changes how long a message stays invisible, from now on. @returns the new epoch; undefined when the lease is over */
  hide(queue: LeaseQueue | undefined, offset: number, receipt: Receipt, invisibleMs: number): Epoch | undefined {
    const epoch = queue === undefined ? undefined : this.#hide(queue, offset, receipt, invisibleMs)
    if (epoch === undefined) this.#figures.stale++
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
      if (this.#ordered.bury(queue, offset, receipt, end, done)) return true
    }
    const lease = queue?.find(offset)
    if (lease === undefined || !isOf(lease, receipt)) {
      const isRepeat = lease === undefined && this.#ack(queue, offset, receipt) === 'again'
      if (isRepeat) done()
      else this.#figures.stale++
      return isRepeat
    }
    this.#ends.bury(lease, end, done)
    return true
  }

  #ack(queue: LeaseQueue | undefined, offset: number, receipt: Receipt): AckOutcome {
    if (queue === undefined) return 'stale'
    const ordered = this.#ordered.ack(queue, offset, receipt)
    if (ordered !== undefined) return ordered
    const lease = queue.find(offset)
    if (lease === undefined) {
      const isOver = offset >= queue.next || this.#clock.now() >= receipt.popTime + receipt.invisibleMs
      return isOver ? 'stale' : 'again'
    }
    if (!isOf(lease, receipt)) return 'stale'
    this.#onSettled(lease)
    return 'acked'
  }

  #hide(
    queue: LeaseQueue,
    offset: number,
    receipt: Pick<Epoch, 'popTime' | 'reviveQueueId'>,
    invisibleMs: number,
  ): Epoch | undefined {
    if (receipt.reviveQueueId === ORDERED_REVIVE_QUEUE) return this.#ordered.hide(queue, offset, receipt, invisibleMs)
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
}
