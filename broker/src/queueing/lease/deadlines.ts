import type { Clock, Timer } from '@tandemmq/remoting'
import { TimeHeap } from '../../time-heap.ts'

/** Due items handled in one turn of the event loop; thousands may fall due at once. */
const PER_TURN_MAX = 256
const STALE_ENTRIES_MIN = 1024

/** Calls back once for each item when its time has come, never early. Times are monotonic ms. */
export class Deadlines<T> {
  readonly #clock: Clock
  readonly #onDue: (item: T) => void
  readonly #heap = new TimeHeap()
  readonly #items = new Map<number, T>()
  #lastId = 0
  #timer: Timer | undefined
  #armedFor = Number.POSITIVE_INFINITY
  #isClosed = false

  constructor(clock: Clock, onDue: (item: T) => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  get size(): number {
    return this.#items.size
  }

  /** @returns what {@link move} and {@link cancel} want, greater than 0 */
  add(at: number, item: T): number {
    const id = ++this.#lastId
    this.#items.set(id, item)
    this.#push(at, id)
    return id
  }

  /** @returns its new number; 0 when it is due already or was cancelled */
  move(id: number, at: number): number {
    const item = this.#items.get(id)
    if (item === undefined) return 0
    // A new number, so that what the heap still holds of the old one is known to be stale.
    this.#items.delete(id)
    return this.add(at, item)
  }

  cancel(id: number): void {
    this.#items.delete(id)
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  #push(at: number, id: number): void {
    // Cancelled entries stay in the heap until they are many.
    if (this.#heap.size > 2 * this.#items.size + STALE_ENTRIES_MIN) this.#heap.retain((one) => this.#items.has(one))
    this.#heap.push(at, id)
    if (at < this.#armedFor) this.#arm()
  }

  #arm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#armedFor = this.#heap.nextTime
    if (this.#armedFor === Number.POSITIVE_INFINITY || this.#isClosed) return
    const delayMs = Math.max(0, this.#armedFor - this.#clock.monotonic())
    this.#timer = this.#clock.setTimer(delayMs, () => this.#run())
  }

  #run(): void {
    this.#timer = undefined
    const now = this.#clock.monotonic()
    for (let handled = 0; handled < PER_TURN_MAX && this.#heap.nextTime <= now; ) {
      const id = this.#heap.pop()
      const item = this.#items.get(id)
      if (item === undefined) continue
      this.#items.delete(id)
      this.#onDue(item)
      handled++
    }
    this.#arm()
  }
}
