import type { Clock } from './clock.ts'

export interface Flushable {
  /** Owned by the queue: whether it waits there. */
  isQueued: boolean
  flush(): void
}

/** Connections with output, each written once per turn: by `flush` from its owner's turn, else by the clock's `soon`. */
export class FlushQueue {
  #clock: Clock
  #waiting: Flushable[] = []
  #flushing: Flushable[] = []
  #isScheduled = false
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

  flush(): void {
    const items = this.#waiting
    if (items.length === 0) return
    // A flush may close a connection, whose owner answers others: those wait in the other list.
    this.#waiting = this.#flushing
    for (const item of items) {
      item.isQueued = false
      item.flush()
    }
    items.length = 0
    this.#flushing = items
  }
}
