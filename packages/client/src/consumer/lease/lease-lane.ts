import type { DeliverySource } from '../dispatcher.ts'
import type { Lease } from './lease.ts'

/** As the broker's pops. */
const FAIR_EVERY = 8

/**
 * Leased messages that wait for a handler: all of a topic on a broker, or those of one queue when order counts. Then one
 * runs at a time, and a message whose lease was lost takes along those behind it: they come again after it.
 */
export class LeaseLane implements DeliverySource<Lease> {
  isQueued = false
  readonly #isOrdered: boolean
  readonly #dropped: (lease: Lease) => void
  #ready: Lease[] = []
  #head = 0
  #running = 0
  #isSuspended = false
  #turns = 0

  /** @param dropped told of each message that was lost while it waited */
  constructor(isOrdered: boolean, dropped: (lease: Lease) => void) {
    this.#isOrdered = isOrdered
    this.#dropped = dropped
  }

  get isEmpty(): boolean {
    return this.#running === 0 && this.#head === this.#ready.length
  }

  /** Behind those of the same or a higher priority. */
  add(lease: Lease): void {
    let at = this.#ready.length
    if (!this.#isOrdered) {
      const { priority } = lease.message
      while (at > this.#head && (this.#ready[at - 1] as Lease).message.priority < priority) at--
    }
    if (at === this.#ready.length) this.#ready.push(lease)
    else this.#ready.splice(at, 0, lease)
  }

  hasWork(): boolean {
    this.#dropLost()
    if (this.#head === this.#ready.length) return false
    return !this.#isOrdered || (this.#running === 0 && !this.#isSuspended)
  }

  next(): Lease | undefined {
    if (!this.hasWork()) return undefined
    const lease = this.#takeNext()
    if (this.#head === this.#ready.length) this.#clear()
    this.#running++
    return lease
  }

  /** In one turn of eight the first of the lowest priority: the broker takes care that there are some, see broker/README.md. */
  #takeNext(): Lease {
    const first = this.#ready[this.#head] as Lease
    const lowest = (this.#ready.at(-1) as Lease).message.priority
    if (lowest < first.message.priority && ++this.#turns % FAIR_EVERY === 0) {
      const at = this.#ready.findIndex(({ message }, n) => n >= this.#head && message.priority === lowest)
      return this.#ready.splice(at, 1)[0] as Lease
    }
    this.#head++
    return first
  }

  /** A handler that `next` was called for has ended. */
  ended(): void {
    this.#running--
  }

  /** The handler of `lease` ended, and it is next again, after {@link resume}. */
  suspend(lease: Lease): void {
    this.#running--
    this.#isSuspended = true
    this.#ready = [lease, ...this.#ready.slice(this.#head)]
    this.#head = 0
  }

  resume(): void {
    this.#isSuspended = false
  }

  /** Takes out what was leased with `lease` or before it: it must come again behind it. What came since is that. */
  takeBehind(lease: Lease): Lease[] {
    const waiting = this.takeAll()
    const isBehind = (one: Lease): boolean => one.leasedAt <= lease.leasedAt
    this.#ready = waiting.filter((one) => !isBehind(one))
    return waiting.filter(isBehind)
  }

  /** Takes out everything that waits. */
  takeAll(): Lease[] {
    const waiting = this.#ready.slice(this.#head)
    this.#clear()
    return waiting
  }

  #dropLost(): void {
    for (let first = this.#ready[this.#head]; first?.state === 'lost'; first = this.#ready[this.#head]) {
      if (!this.#isOrdered) this.#head++
      for (const lease of this.#isOrdered ? this.takeBehind(first) : [first]) this.#dropped(lease)
    }
    if (this.#head > 0 && this.#head === this.#ready.length) this.#clear()
  }

  #clear(): void {
    this.#ready = []
    this.#head = 0
  }
}
