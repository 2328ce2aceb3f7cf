/** How much may wait in a consumer, per queue and in all. Checked before a pull, so one batch may exceed it. */
export interface CacheLimits {
  readonly queueMessagesMax: number
  readonly queueBytesMax: number
  readonly totalMessagesMax: number
  readonly totalBytesMax: number
}

/** Messages and bytes cached by all queues of one consumer. */
export class CacheBudget {
  readonly limits: CacheLimits
  #messages = 0
  #bytes = 0
  #waiting: (() => void)[] = []

  constructor(limits: CacheLimits) {
    this.limits = limits
  }

  get messages(): number {
    return this.#messages
  }

  get bytes(): number {
    return this.#bytes
  }

  hasRoom(queueMessages: number, queueBytes: number): boolean {
    const { limits } = this
    return (
      queueMessages < limits.queueMessagesMax &&
      queueBytes < limits.queueBytesMax &&
      this.#messages < limits.totalMessagesMax &&
      this.#bytes < limits.totalBytesMax
    )
  }

  take(bytes: number): void {
    this.#messages++
    this.#bytes += bytes
  }

  release(messages: number, bytes: number): void {
    this.#messages -= messages
    this.#bytes -= bytes
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** Resolves at the next release, or at {@link wakeAll}; the caller checks again. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  wakeAll(): void {
    this.release(0, 0)
  }
}
