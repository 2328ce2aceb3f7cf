import type { Clock } from '@tandemmq/remoting'
import { Deadlines } from './deadlines.ts'
import type { Epoch } from './epoch.ts'
import type { AckOutcome } from './lease-receipts.ts'
import type { LeaseQueue } from './lease-queue.ts'
import type { LeaseTable } from './lease-table.ts'
import { type Delivery, OrderBatch } from './order-batch.ts'
import { ORDERED_REVIVE_QUEUE, type Receipt } from './receipt.ts'
import type { DeadEnd, Revival } from './revival.ts'

/** After a dead letter that could not be stored. */
const BURY_AGAIN_MS = 1_000

/** Queues consumed in order: one batch at a time, redelivered in place (broker.md 6.6). */
export class OrderedLeases {
  readonly #clock: Clock
  readonly #table: LeaseTable
  readonly #revival: Revival
  readonly #redeliveriesMax: (group: string) => number
  readonly #onSettled: (queue: LeaseQueue) => void
  readonly #onRoom: (queue: LeaseQueue) => void
  readonly #deadlines: Deadlines<LeaseQueue>

  /**
   * @param options.onSettled the group's offset may have moved
   * @param options.onRoom the queue can give again
   */
  constructor(options: {
    clock: Clock
    table: LeaseTable
    revival: Revival
    redeliveriesMax: (group: string) => number
    onSettled: (queue: LeaseQueue) => void
    onRoom: (queue: LeaseQueue) => void
  }) {
    this.#clock = options.clock
    this.#table = options.table
    this.#revival = options.revival
    this.#redeliveriesMax = options.redeliveriesMax
    this.#onSettled = options.onSettled
    this.#onRoom = options.onRoom
    this.#deadlines = new Deadlines(options.clock, (queue) => {
      queue.orderTimer = 0
      this.#onRoom(queue)
    })
  }

  /** A queue read from the journal. */
  recover(queue: LeaseQueue): void {
    this.#arm(queue)
  }

  /** Whether somebody holds a part of the queue in order; a batch that nobody holds any more is forgotten. */
  holds(queue: LeaseQueue): boolean {
    if (queue.order === undefined) return false
    if (queue.burying.size > 0 || queue.order.isBlocked(this.#clock.monotonic(), '')) return true
    this.#set(queue, undefined)
    return false
  }

  /**
   * Whether a pop in order may have the next messages now. Messages that had all their redeliveries are sent to the dead letter
   * topic first, and the queue waits for it.
   */
  mayTake(queue: LeaseQueue, attemptId: string): boolean {
    if (queue.leased > 0 || queue.burying.size > 0) return false
    const { order } = queue
    if (order === undefined) return true
    if (order.isBlocked(this.#clock.monotonic(), attemptId)) return false
    if (attemptId !== '' && attemptId === order.attemptId) return true
    const spent = order.spent(this.#redeliveriesMax(queue.group))
    for (const offset of spent) this.#bury(queue, order, offset, { reason: '' }, () => {})
    return spent.length === 0
  }

  /** @param epoch `isCounted`: see {@link LeaseBook.take} */
  take(
    queue: LeaseQueue,
    offsets: readonly number[],
    epoch: Pick<Epoch, 'popTime' | 'invisibleMs'> & { isCounted: boolean },
    attemptId: string,
  ): Delivery[] {
    const first = (offset: number): Delivery => ({ offset, count: 0 })
    const deliveries = queue.order?.nextOf(offsets, attemptId) ?? offsets.map(first)
    const visibleAt = this.#clock.monotonic() + epoch.invisibleMs
    queue.next = offsets[0] as number
    this.#set(queue, new OrderBatch({ ...epoch, attemptId, deliveries, visibleAt }))
    this.#onSettled(queue)
    return deliveries
  }

  /** A consumer begins with a message of the batch that is out. Kept with the {@link hide} that follows. */
  begin(queue: LeaseQueue, offset: number, receipt: Receipt): void {
    if (queue.order?.popTime === receipt.popTime) queue.order.begin(offset)
  }

  /** Nobody got the message. Kept with the {@link hide} that follows. */
  uncount(queue: LeaseQueue, offset: number, { popTime }: Pick<Epoch, 'popTime'>): void {
    if (queue.order?.popTime === popTime) queue.order.uncount(offset)
  }

  /** Undefined: the receipt is not of the batch that is out. */
  ack(queue: LeaseQueue, offset: number, receipt: Receipt): AckOutcome | undefined {
    const { order } = queue
    if (receipt.reviveQueueId !== ORDERED_REVIVE_QUEUE || order?.popTime !== receipt.popTime) return undefined
    if (!order.has(offset)) return 'notOfBatch'
    if (!order.ack(offset)) return 'again'
    this.#afterAck(queue, order)
    return 'acked'
  }

  /** Makes a message of the batch that is out a dead letter. @returns false when the receipt is of another one */
  bury(queue: LeaseQueue, offset: number, receipt: Receipt, end: DeadEnd, done: (error?: Error) => void): boolean {
    const { order } = queue
    if (order?.popTime !== receipt.popTime || !order.isOpen(offset) || queue.burying.has(offset)) return false
    this.#bury(queue, order, offset, end, done)
    return true
  }

  hide(queue: LeaseQueue, offset: number, receipt: Pick<Epoch, 'popTime'>, invisibleMs: number): Epoch | undefined {
    const { order } = queue
    if (order?.popTime !== receipt.popTime) return undefined
    if (!order.hide(offset, this.#clock.monotonic() + invisibleMs)) return undefined
    this.#set(queue, order)
    // The batch keeps its epoch, so the receipt says the new time from there (AckMessageProcessor.java).
    const { popTime } = order
    const shown = Math.max(this.#clock.now() + invisibleMs - popTime, 0)
    return { popTime, invisibleMs: shown, reviveQueueId: ORDERED_REVIVE_QUEUE }
  }

  /** The group was moved: the batch is nobody's. */
  forget(queue: LeaseQueue): void {
    this.#disarm(queue)
    queue.order = undefined
  }

  close(): void {
    this.#deadlines.close()
  }

  #afterAck(queue: LeaseQueue, order: OrderBatch): void {
    queue.next = order.next
    this.#set(queue, order.isDone ? undefined : order)
    this.#onSettled(queue)
    if (!order.isBlocked(this.#clock.monotonic(), '')) this.#onRoom(queue)
  }

  #set(queue: LeaseQueue, order: OrderBatch | undefined): void {
    this.#disarm(queue)
    if (queue.order !== order) queue.isOrderRestored = false
    queue.order = order
    this.#arm(queue)
    this.#table.noteOrder(queue)
  }

  #arm(queue: LeaseQueue): void {
    const until = queue.order?.blockedUntil ?? Number.NEGATIVE_INFINITY
    if (until > this.#clock.monotonic()) queue.orderTimer = this.#deadlines.add(until, queue)
  }

  #disarm(queue: LeaseQueue): void {
    if (queue.orderTimer !== 0) this.#deadlines.cancel(queue.orderTimer)
    queue.orderTimer = 0
  }

  #bury(queue: LeaseQueue, order: OrderBatch, offset: number, end: DeadEnd, done: (error?: Error) => void): void {
    queue.burying.add(offset)
    const { reason, deliveries = order.deliveriesOf(offset) } = end
    this.#revival.bury(queue, offset, { deliveries, reason }, (error) => {
      queue.burying.delete(offset)
      if (queue.order === order) {
        if (error === undefined) {
          if (order.ack(offset)) this.#afterAck(queue, order)
        } else {
          this.#disarm(queue)
          queue.orderTimer = this.#deadlines.add(this.#clock.monotonic() + BURY_AGAIN_MS, queue)
        }
      }
      done(error)
    })
  }
}
