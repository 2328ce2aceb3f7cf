import type { ConsumeQueue } from './consume-queue.ts'
import type { StoreError } from './store-error.ts'

/** Who waits for one append. Called in log order. */
export interface AppendCompletion {
  /** The message is as safe as the flush policy promises. */
  stored(): void
  /** STORE_FENCED: whether the message survives is decided by the next recovery. */
  failed(error: StoreError): void
}

/** Appends on their way to safety, oldest first: a ring of parallel arrays, nothing allocated per message. */
export class PendingAppends {
  #queues: (ConsumeQueue | undefined)[] = vacant<ConsumeQueue>(1024)
  #completions: (AppendCompletion | undefined)[] = vacant<AppendCompletion>(1024)
  #ends = new Float64Array(1024)
  #queueEnds = new Float64Array(1024)
  #head = 0
  #tail = 0

  get length(): number {
    return this.#tail - this.#head
  }

  /**
   * @param queue gets the message visible; undefined for who waits for another's message
   * @param end log offset behind the entry, not less than that of any push before
   */
  push(queue: ConsumeQueue | undefined, end: number, completion: AppendCompletion | undefined): void {
    if (this.#tail - this.#head === this.#ends.length) this.#grow()
    const slot = this.#tail++ & (this.#ends.length - 1)
    this.#queues[slot] = queue
    this.#completions[slot] = completion
    this.#ends[slot] = end
    this.#queueEnds[slot] = queue === undefined ? 0 : queue.nextOffset
  }

  /**
   * Makes everything before log offset `safe` visible, then tells who waits.
   * @param visible gets each queue with new visible messages once
   * @throws what the first failing callback threw, after all were called
   */
  complete(safe: number, mark: number, visible: ConsumeQueue[]): void {
    let last = this.#head
    const mask = this.#ends.length - 1
    while (last < this.#tail && this.#ends[last & mask]! <= safe) {
      const slot = last++ & mask
      const queue = this.#queues[slot]
      if (queue === undefined) continue
      const end = this.#queueEnds[slot]!
      if (end > queue.maxOffset) queue.maxOffset = end
      if (queue.flushMark !== mark) {
        queue.flushMark = mark
        visible.push(queue)
      }
    }
    this.#settle(last - this.#head, undefined)
  }

  /** Fails everything that still waits. */
  fail(error: StoreError): void {
    this.#settle(this.length, error)
  }

  #settle(count: number, error: StoreError | undefined): void {
    let thrown: { error: unknown } | undefined
    // A callback may append, so the arrays may be others after each call; or fence the store, which empties the ring.
    for (let left = count; left > 0 && this.#head < this.#tail; left--) {
      const slot = this.#head++ & (this.#ends.length - 1)
      const completion = this.#completions[slot]
      this.#queues[slot] = undefined
      this.#completions[slot] = undefined
      if (completion === undefined) continue
      try {
        if (error === undefined) completion.stored()
        else completion.failed(error)
      } catch (caught) {
        thrown ??= { error: caught }
      }
    }
    if (thrown !== undefined) throw thrown.error
  }

  #grow(): void {
    const count = this.length
    const order = Array.from({ length: count }, (_, index) => (this.#head + index) & (this.#ends.length - 1))
    const size = this.#ends.length * 2
    const pad = <T>(values: T[]): (T | undefined)[] => [...values, ...vacant<T>(size - count)]
    this.#queues = pad(order.map((slot) => this.#queues[slot]))
    this.#completions = pad(order.map((slot) => this.#completions[slot]))
    const ends = new Float64Array(size)
    const queueEnds = new Float64Array(size)
    for (const [index, slot] of order.entries()) {
      ends[index] = this.#ends[slot]!
      queueEnds[index] = this.#queueEnds[slot]!
    }
    this.#ends = ends
    this.#queueEnds = queueEnds
    this.#head = 0
    this.#tail = count
  }
}

function vacant<T>(count: number): (T | undefined)[] {
  return Array.from({ length: count }, () => undefined)
}
