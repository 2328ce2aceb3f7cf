/** What the journal keeps of an ordered batch: popTime, invisibleMs, attemptId, then offset, count, acked, visible at
 * (wall clock), and for how long it was hidden when that is not `invisibleMs`. */
export type OrderBatchJson = [
  popTime: number,
  invisibleMs: number,
  attemptId: string,
  messages: [offset: number, count: number, acked: 0 | 1, visibleAt: number, hiddenMs?: number][],
]

interface Ordered {
  readonly offset: number
  /** Deliveries before this one. */
  readonly count: number
  isAcked: boolean
  /** Monotonic ms. */
  visibleAt: number
  /** Since it was popped, or hidden last. */
  hiddenMs: number
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
    offsets: readonly number[]
    counts: readonly number[]
    visibleAt: number
  }) {
    this.popTime = batch.popTime
    this.invisibleMs = batch.invisibleMs
    this.attemptId = batch.attemptId
    const { visibleAt, counts, invisibleMs: hiddenMs } = batch
    this.#messages = batch.offsets.map((offset, i) => {
      return { offset, count: counts[i] ?? 0, isAcked: false, visibleAt, hiddenMs }
    })
  }

  /** @param toMonotonic turns a time of the wall clock into one of the monotonic clock, at most `leftMax` ms from now */
  static of(json: OrderBatchJson, toMonotonic: (wall: number, leftMax: number) => number): OrderBatch {
    const [popTime, invisibleMs, attemptId, messages] = json
    const offsets = messages.map(([offset]) => offset)
    const counts = messages.map(([, count]) => count)
    const batch = new OrderBatch({ popTime, invisibleMs, attemptId, offsets, counts, visibleAt: 0 })
    for (const [i, [, , acked, visibleAt, hiddenMs = invisibleMs]] of messages.entries()) {
      const message = batch.#messages[i] as Ordered
      message.isAcked = acked === 1
      message.hiddenMs = hiddenMs
      message.visibleAt = toMonotonic(visibleAt, hiddenMs)
    }
    return batch
  }

  json(toWall: (monotonic: number) => number): OrderBatchJson {
    const messages = this.#messages.map((message): OrderBatchJson[3][number] => {
      const { offset, count, isAcked, visibleAt, hiddenMs } = message
      const acked = isAcked ? 1 : 0
      const at = Math.ceil(toWall(visibleAt))
      return hiddenMs === this.invisibleMs ? [offset, count, acked, at] : [offset, count, acked, at, hiddenMs]
    })
    return [this.popTime, this.invisibleMs, this.attemptId, messages]
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

  /** Deliveries of it with this one. */
  deliveriesOf(offset: number): number {
    return (this.#find(offset)?.count ?? 0) + 1
  }

  /** @returns false when it was acknowledged before */
  ack(offset: number): boolean {
    const message = this.#find(offset)
    if (message === undefined || message.isAcked) return false
    message.isAcked = true
    return true
  }

  /** @param now monotonic ms @returns false when the message is not held */
  hide(offset: number, now: number, hiddenMs: number): boolean {
    const message = this.#find(offset)
    if (message === undefined || message.isAcked) return false
    message.visibleAt = now + hiddenMs
    message.hiddenMs = hiddenMs
    return true
  }

  /** How often each of `offsets` was delivered before a next delivery of them. */
  countsOf(offsets: readonly number[], attemptId: string): number[] {
    const again = attemptId !== '' && attemptId === this.attemptId
    return offsets.map((offset) => {
      const before = this.#find(offset)
      return before === undefined ? 0 : before.count + (again ? 0 : 1)
    })
  }

  /** Unacknowledged messages that had all the redeliveries they may have. */
  spent(redeliveriesMax: number): number[] {
    return this.#messages
      .filter(({ isAcked, count }) => !isAcked && count >= redeliveriesMax)
      .map(({ offset }) => offset)
  }

  #find(offset: number): Ordered | undefined {
    return this.#messages.find((message) => message.offset === offset)
  }
}
