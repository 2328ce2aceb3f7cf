import type { ConsumeQueue } from './consume-queue.ts'
import { PendingAppends } from './pending-appends.ts'
import type { AppendCompletion } from './pending-appends.ts'
import type { StoreError } from './store-error.ts'

/** Turns "the log is safe up to here" into visible messages, answered producers and woken consumers, in this order. */
export class Completions {
  readonly #pending = new PendingAppends()
  readonly #visible: ConsumeQueue[] = []
  /** Number of the flush at hand: a queue that carries it was announced. */
  #flush = 0
  #running = false
  onVisible: ((queue: ConsumeQueue) => void) | undefined = undefined
  onCompleting: (() => void) | undefined = undefined

  get waiting(): number {
    return this.#pending.length
  }

  /** See {@link PendingAppends.push}. */
  push(queue: ConsumeQueue | undefined, end: number, completion: AppendCompletion | undefined): void {
    this.#pending.push(queue, end, completion)
  }

  /** @param safeOffset asked again after each round: a completion may append and even commit */
  complete(safeOffset: () => number): void {
    if (this.#running) return
    this.#running = true
    this.onCompleting?.()
    try {
      for (let safe = -1; safe !== safeOffset(); ) {
        safe = safeOffset()
        this.#pending.complete(safe, ++this.#flush, this.#visible)
      }
    } finally {
      this.#running = false
      for (const queue of this.#visible.splice(0)) this.onVisible?.(queue)
    }
  }

  fail(error: StoreError): void {
    this.#pending.fail(error)
  }
}
