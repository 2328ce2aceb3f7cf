/**
 * What the journal keeps of an ordered batch: popTime, invisibleMs, attemptId, then offset, count, acked, visible at (wall clock), and
 * 1 if this delivery does not count; last the time (wall clock) at which this was written.
 */
export type OrderBatchJson = [
  popTime: number,
  invisibleMs: number,
  attemptId: string,
  messages: [offset: number, count: number, acked: 0 | 1, visibleAt: number, notCounted?: 1][],
  writtenAt?: number,
]

/** Of the journal: see Lease.isCounted. */
const NOT_COUNTED = 1

/** What a consumer is told of a message that is delivered in order. */
export interface Delivery {
  readonly offset: number
  /** Deliveries before this one that count. */
  readonly count: number
}

interface Ordered extends Delivery {
  /** Its end without an acknowledgement is a failed delivery, see Lease.isCounted. */
  isCounted: boolean
  isAcked: boolean
  /** Monotonic ms. */
  visibleAt: number
}

/**
 * The one outstanding batch of a queue that is consumed in order: nothing else of the queue is delivered until all of it is
 * acknowledged, or what is left is visible again (broker.md 6.6).
 */
export class OrderBatch {
  readonly popTime: number
  readonly invisibleMs: number
  /** The same request again, its answer lost, gets the batch at once; '' when the client names none. */
  readonly attemptId: string
  readonly #messages: Ordered[]

  constructor(batch: {
    popTime: number
    invisibleMs: number
    attemptId: string
    deliveries: readonly Delivery[]
    isCounted: boolean
    visibleAt: number
  }) {
    this.popTime = batch.popTime
    this.invisibleMs = batch.invisibleMs
    this.attemptId = batch.attemptId
    const { visibleAt, isCounted } = batch
    this.#messages = batch.deliveries.map((delivery) => ({ ...delivery, isCounted, isAcked: false, visibleAt }))
  }

  /** @param toMonotonic turns a time of the wall clock into one of the monotonic clock, not more than `msMax` from now */
  static of(json: OrderBatchJson, toMonotonic: (wall: number, msMax: number) => number): OrderBatch {
    const [popTime, invisibleMs, attemptId, messages, writtenAt = 0] = json
    const deliveries = messages.map(([offset, count]): Delivery => ({ offset, count }))
    const batch = new OrderBatch({ popTime, invisibleMs, attemptId, deliveries, isCounted: true, visibleAt: 0 })
    for (const [i, [, , acked, visibleAt, notCounted]] of messages.entries()) {
      const message = batch.#messages[i] as Ordered
      message.isAcked = acked === 1
      message.isCounted = notCounted !== NOT_COUNTED
      // The wall clock may have been set back since: nothing waits longer than it was to.
      message.visibleAt = toMonotonic(visibleAt, Math.max(visibleAt - writtenAt, 0))
    }
    return batch
  }

  /** @param now wall clock */
  json(toWall: (monotonic: number) => number, now: number): OrderBatchJson {
    const messages = this.#messages.map((message): OrderBatchJson[3][number] => {
      const { offset, count, isAcked, visibleAt, isCounted } = message
      const kept: OrderBatchJson[3][number] = [offset, count, isAcked ? 1 : 0, Math.ceil(toWall(visibleAt))]
      if (!isCounted) kept.push(NOT_COUNTED)
      return kept
    })
    return [this.popTime, this.invisibleMs, this.attemptId, messages, now]
  }

  /** Messages of it that somebody holds. */
  held(now: number): number {
    return this.#messages.filter(({ isAcked, visibleAt }) => !isAcked && visibleAt > now).length
  }

  /** When the last of it becomes visible, monotonic ms; -Infinity when it is done. */
  get blockedUntil(): number {
    let until = Number.NEGATIVE_INFINITY
    for (const { isAcked, visibleAt } of this.#messages) if (!isAcked && visibleAt > until) until = visibleAt
    return until
  }

  isBlocked(now: number, attemptId: string): boolean {
    if (attemptId !== '' && attemptId === this.attemptId) return false
    return this.blockedUntil > now
  }

  /** Offset the group has consumed up to. */
  get next(): number {
    const first = this.#messages.find(({ isAcked }) => !isAcked)
    return first?.offset ?? (this.#messages.at(-1)?.offset ?? -1) + 1
  }

  get isDone(): boolean {
    return this.#messages.every(({ isAcked }) => isAcked)
  }

  has(offset: number): boolean {
    return this.#find(offset) !== undefined
  }

  /** Whether it is of this batch and not acknowledged. */
  isOpen(offset: number): boolean {
    return this.#find(offset)?.isAcked === false
  }

  /** Deliveries of it that count, this one included. */
  deliveriesOf(offset: number): number {
    const message = this.#find(offset)
    return message === undefined ? 1 : deliveries(message)
  }

  /** A consumer begins with it now. */
  begin(offset: number): void {
    const message = this.#find(offset)
    if (message !== undefined) message.isCounted = true
  }

  /** Nobody got it. */
  uncount(offset: number): void {
    const message = this.#find(offset)
    if (message !== undefined) message.isCounted = false
  }

  /** @returns false when it was acknowledged before */
  ack(offset: number): boolean {
    const message = this.#find(offset)
    if (message === undefined || message.isAcked) return false
    message.isAcked = true
    return true
  }

  /** @returns false when the message is not held */
  hide(offset: number, visibleAt: number): boolean {
    const message = this.#find(offset)
    if (message === undefined || message.isAcked) return false
    message.visibleAt = visibleAt
    return true
  }

  /** What is to be told of each of `offsets` when they are delivered next. */
  nextOf(offsets: readonly number[], attemptId: string): Delivery[] {
    const again = attemptId !== '' && attemptId === this.attemptId
    return offsets.map((offset) => {
      const before = this.#find(offset)
      if (before === undefined) return { offset, count: 0 }
      return { offset, count: again ? before.count : deliveries(before) }
    })
  }

  /** Unacknowledged messages that had all the redeliveries they may have, the last of which began. */
  spent(redeliveriesMax: number): number[] {
    return this.#messages
      .filter((message) => !message.isAcked && message.isCounted && deliveries(message) > redeliveriesMax)
      .map(({ offset }) => offset)
  }

  #find(offset: number): Ordered | undefined {
    return this.#messages.find((message) => message.offset === offset)
  }
}

/** With this one. The first counts in any case, see Revival. */
const deliveries = ({ count, isCounted }: Ordered): number => count + (isCounted || count === 0 ? 1 : 0)
