import type { ConsumedMessage } from '../../message/consumed-message.ts'

/** One message on its way through a handler. */
export class Delivery {
  readonly message: ConsumedMessage
  readonly queueOffset: number
  readonly window: ConsumeWindow
  isFinished = false
  /** Monotonic ms; 0 = not started. */
  startedAt = 0

  constructor(message: ConsumedMessage, queueOffset: number, window: ConsumeWindow) {
    this.message = message
    this.queueOffset = queueOffset
    this.window = window
  }
}

/**
 * Messages of one queue between pull and commit, in queue order. What may be committed is the smallest offset that is
 * not finished: everything before it will never be needed again, everything from it on may be delivered again.
 */
export class ConsumeWindow {
  #deliveries: Delivery[] = []
  #head = 0
  #next: number
  #count = 0
  #bytes = 0

  /** @param offset the first offset to be pulled */
  constructor(offset: number) {
    this.#next = offset
  }

  /** Messages that are not finished. */
  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bytes
  }

  get commitOffset(): number {
    return this.#deliveries[this.#head]?.queueOffset ?? this.#next
  }

  add(message: ConsumedMessage, queueOffset: number): Delivery {
    const delivery = new Delivery(message, queueOffset, this)
    this.#deliveries.push(delivery)
    this.#count++
    this.#bytes += message.storedBytes
    return delivery
  }

  /** Everything before `offset` was pulled, whether or not it was for us. */
  pulledTo(offset: number): void {
    if (offset > this.#next) this.#next = offset
  }

  /** @returns false when it was finished before */
  finish(delivery: Delivery): boolean {
    if (delivery.isFinished) return false
    delivery.isFinished = true
    this.#count--
    this.#bytes -= delivery.message.storedBytes
    while (this.#deliveries[this.#head]?.isFinished === true) this.#head++
    if (this.#head > 64 && this.#head * 2 > this.#deliveries.length) {
      this.#deliveries = this.#deliveries.slice(this.#head)
      this.#head = 0
    }
    return true
  }
}
