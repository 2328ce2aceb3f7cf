import type { Clock } from './clock.ts'

export interface Flushable {
  /** Owned by the queue: whether it waits there. */
  isQueued: boolean
  flush(): void
}

const TURN_BYTES_MAX = 16_777_216

/** Connections with output, each written once per turn: by `flush` from its owner's turn, else by the clock's `soon`. */
export class FlushQueue {
  #clock: Clock
  #waiting: Flushable[] = []
  #flushing: Flushable[] = []
  #isScheduled = false
  #isFlushing = false
  /** Committed since the last flush. */
  #bytes = 0
  #run = (): void => {
    this.#isScheduled = false
    this.flush()
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(item: Flushable): void {
    item.isQueued = true
    this.#waiting.push(item)
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.soon(this.#run)
  }

  /** So many bytes more are to be written: what very many connections collect in one turn is not left to its end. */
  grow(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > TURN_BYTES_MAX && !this.#isFlushing) this.flush()
  }

  flush(): void {
    this.#bytes = 0
    const items = this.#waiting
    if (items.length === 0) return
    // A flush may close a connection, whose owner answers others: those wait in the other list.
    this.#waiting = this.#flushing
    this.#isFlushing = true
    for (const item of items) {
      item.isQueued = false
      item.flush()
    }
    items.length = 0
    this.#flushing = items
    this.#isFlushing = false
  }
}
