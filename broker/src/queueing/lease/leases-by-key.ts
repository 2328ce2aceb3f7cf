import type { Clock } from '@tandemmq/remoting'
import type { Deadlines } from './deadlines.ts'
import { KEYED_REVIVE_QUEUE, KeyedLeases } from './keyed-leases.ts'
import type { Epoch } from './epoch.ts'
import type { Lease, LeaseQueue } from './lease-queue.ts'
import type { LeaseTable } from './lease-table.ts'
import type { Delivery } from './order-batch.ts'
import type { Revival } from './revival.ts'
import { revivalPauseMs } from './revival-pause.ts'

/** A message and its `orderBy`. */
export interface KeyedMessage {
  readonly offset: number
  readonly key: string
}

/** Leases that keep the order of each key: one message of a key is out at a time, redelivered in its place. */
export class LeasesByKey {
  readonly #clock: Clock
  readonly #table: LeaseTable
  readonly #revival: Revival
  readonly #redeliveriesMax: (group: string) => number
  readonly #deadlines: Deadlines<Lease>
  readonly #onAdded: () => void
  readonly #onSettled: (lease: Lease) => void
  readonly #onRoom: (queue: LeaseQueue) => void

  /**
   * @param options.deadlines of all leases; when one of a lease with a key has come, {@link expired} is to be called
   * @param options.onAdded there is one lease more
   * @param options.onSettled a dead letter took the place of the lease's message
   * @param options.onRoom the queue can give again
   */
  constructor(options: {
    clock: Clock
    table: LeaseTable
    revival: Revival
    redeliveriesMax: (group: string) => number
    deadlines: Deadlines<Lease>
    onAdded: () => void
    onSettled: (lease: Lease) => void
    onRoom: (queue: LeaseQueue) => void
  }) {
    this.#clock = options.clock
    this.#table = options.table
    this.#revival = options.revival
    this.#redeliveriesMax = options.redeliveriesMax
    this.#deadlines = options.deadlines
    this.#onAdded = options.onAdded
    this.#onSettled = options.onSettled
    this.#onRoom = options.onRoom
  }

  /** A queue read from the journal: the keys of its leases are in the records. */
  recover(queue: LeaseQueue): void {
    for (const lease of queue.leases) {
      if (lease.reviveQueueId === KEYED_REVIVE_QUEUE) lease.key = this.#revival.orderKeyOf(queue, lease.offset)
    }
    queue.keyed = KeyedLeases.of(queue.leases)
  }

  /**
   * @param picks messages to hand out: waiting ones, then new ones
   * @param behind new ones whose key has an earlier message that is not settled
   */
  take(
    queue: LeaseQueue,
    picks: readonly KeyedMessage[],
    behind: readonly KeyedMessage[],
    epoch: Epoch & { isCounted: boolean },
    next: number,
  ): Delivery[] {
    const keyed = (queue.keyed ??= new KeyedLeases())
    const held = picks.map(({ offset, key }) => {
      const lease = queue.find(offset) ?? this.#add(queue, offset, key, epoch)
      Object.assign(lease, epoch, { isWaiting: false, deadline: this.#clock.monotonic() + epoch.invisibleMs })
      keyed.handOut(offset)
      lease.timer = this.#deadlines.add(lease.deadline, lease)
      return lease
    })
    const waiting = behind.map(({ offset, key }) => this.#add(queue, offset, key, { ...epoch, invisibleMs: 0 }))
    queue.next = next
    this.#table.noteTaken(queue, held)
    if (waiting.length > 0) this.#table.noteTaken(queue, waiting)
    return held.map((lease) => {
      lease.wasOut = true
      return { offset: lease.offset, count: lease.deliveries }
    })
  }

  /** A lease with a key ended. @returns whether the queue may have something to give now */
  leave(lease: Lease): boolean {
    const { queue } = lease
    const { keyed } = queue
    if (keyed === undefined) return false
    const isNext = keyed.settle(lease, queue)
    if (!keyed.isEmpty) return isNext
    queue.keyed = undefined
    // Whoever does not ask for keys had to wait.
    return true
  }

  /** Handed out again in its place, or a dead letter when it had all its deliveries: what is behind it waits meanwhile. */
  expired(lease: Lease): void {
    const { queue, offset } = lease
    // The first delivery counts in any case, see Revival.
    if (lease.wasOut && lease.failures === 0 && (lease.isCounted || lease.deliveries === 0)) lease.deliveries++
    if (!lease.isCounted || lease.deliveries <= this.#redeliveriesMax(queue.group)) {
      // Once: it may wait for long, and be read from the journal meanwhile.
      lease.isCounted = false
      lease.isWaiting = true
      if (queue.keyed?.giveBack(lease) === true) this.#onRoom(queue)
      return
    }
    lease.isReviving = true
    this.#revival.bury(queue, offset, { deliveries: lease.deliveries, reason: '' }, (error) => {
      if (queue.find(offset) !== lease) return
      if (error === undefined) return this.#onSettled(lease)
      lease.isReviving = false
      lease.timer = this.#deadlines.add(this.#clock.monotonic() + revivalPauseMs(lease), lease)
    })
  }

  #add(queue: LeaseQueue, offset: number, key: string, epoch: Epoch): Lease {
    const { popTime, invisibleMs, reviveQueueId } = epoch
    const lease: Lease = {
      ...{ queue, offset, popTime, invisibleMs, reviveQueueId, key, deadline: Number.NEGATIVE_INFINITY, timer: 0 },
      ...{ isReviving: false, isRestored: false, isCounted: false, isWaiting: true, deliveries: 0, wasOut: false },
      failures: 0,
    }
    queue.add(lease)
    queue.keyed?.add(lease)
    this.#onAdded()
    return lease
  }
}
