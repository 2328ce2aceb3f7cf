import { KeyedLeases } from './keyed-leases.ts'
import type { OrderBatch } from './order-batch.ts'

/** One message of one group that a consumer holds. */
export interface Lease {
  readonly queue: LeaseQueue
  readonly offset: number
  /** With `reviveQueueId` the epoch, see Receipt. */
  popTime: number
  reviveQueueId: number
  invisibleMs: number
  /** Monotonic ms. */
  deadline: number
  /** Of its entry among the deadlines, 0 = none. */
  timer: number
  /** It ended and its copy is on the way: an ack comes too late. */
  isReviving: boolean
  /** It was read from the journal: a copy may have been made before the stop. */
  readonly isRestored: boolean
  /**
   * Its end is a failed delivery. False while a consumer that tells when it begins has not begun: a process that died of one message must
   * not use up the attempts of those that waited beside it, nor may a message become a dead letter that no handler has seen.
   */
  isCounted: boolean
  /** Order is kept by this key (see KeyedLeases); undefined = it is not. */
  key: string | undefined
  /** Keyed: nobody holds it; it waits to be handed out, first or again. */
  isWaiting: boolean
  /** Keyed: deliveries before this one that count. */
  deliveries: number
  /** Keyed: it was handed out, whether that counts or not. */
  wasOut: boolean
  /** Copies that could not be made. */
  failures: number
}

/**
 * What a group holds and has settled of one queue. Offsets before {@link next} were handed out or passed over; of those the ones
 * with a lease are open, all others settled. So its size is that of the leases, whatever went through.
 */
export class LeaseQueue {
  /** In the journal. */
  readonly id: number
  readonly group: string
  readonly topic: string
  readonly queueId: number
  /** First offset that was never handed out; consumed in order: the first one not settled. */
  next: number
  order: OrderBatch | undefined
  /** Of the deadline of `order`, 0 = none. */
  orderTimer = 0
  /** `order` was read from the journal. */
  isOrderRestored = false
  /** Offsets of `order` on their way to the dead letter topic. */
  readonly burying = new Set<number>()
  /** Its leases keep the order of keys; undefined while there are none such. */
  keyed: KeyedLeases | undefined
  /** Of queue 0 of a topic with priorities: pops of the topic that found something. */
  turn = 0
  /** A pop found messages and no room for their leases: it must be told when there is. */
  isHungry = false
  /** Settled offset the offsets room was told last. */
  committed = -1
  readonly #leases = new Map<number, Lease>()
  #settledTo: number

  constructor(id: number, group: string, topic: string, queueId: number, start: number) {
    this.id = id
    this.group = group
    this.topic = topic
    this.queueId = queueId
    this.next = start
    this.#settledTo = start
  }

  /** Messages under a lease, in order or not. */
  get leased(): number {
    return this.#leases.size
  }

  /** Everything before it is settled. */
  get settledTo(): number {
    if (this.#leases.size === 0) this.#settledTo = this.next
    while (this.#settledTo < this.next && !this.#leases.has(this.#settledTo)) this.#settledTo++
    return this.#settledTo
  }

  get leases(): Iterable<Lease> {
    return this.#leases.values()
  }

  find(offset: number): Lease | undefined {
    return this.#leases.get(offset)
  }

  /** @returns the lease it replaces */
  add(lease: Lease): Lease | undefined {
    const before = this.#leases.get(lease.offset)
    this.#leases.set(lease.offset, lease)
    if (lease.offset < this.#settledTo) this.#settledTo = lease.offset
    if (lease.offset >= this.next) this.next = lease.offset + 1
    return before
  }

  remove(offset: number): Lease | undefined {
    const lease = this.#leases.get(offset)
    if (lease !== undefined) this.#leases.delete(offset)
    return lease
  }

  /** Forgets everything and goes on at `next`. @returns the leases that ended by it */
  clear(next: number): Lease[] {
    const ended = [...this.#leases.values()]
    this.#leases.clear()
    this.next = this.#settledTo = next
    this.order = undefined
    this.keyed = undefined
    return ended
  }

  /** Somebody else settled everything before `offset`. @returns the leases that ended by it */
  skipTo(offset: number): Lease[] {
    const ended = [...this.#leases.values()].filter((lease) => lease.offset < offset)
    for (const lease of ended) this.#leases.delete(lease.offset)
    if (this.order !== undefined && this.next < offset) this.order = undefined
    if (this.keyed !== undefined && ended.length > 0) this.keyed = KeyedLeases.of(this.#leases.values())
    if (this.next < offset) this.next = offset
    if (this.#settledTo < offset) this.#settledTo = offset
    return ended
  }
}
