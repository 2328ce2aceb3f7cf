import type { Clock } from '../foundation.ts'
import { CircuitBreaker } from './circuit-breaker.ts'

const BREAKERS_MAX = 1_000
const TOPICS_MAX = 1_000

interface Trouble {
  readonly breaker: CircuitBreaker
  /** Met so far, in the order of their last failure. */
  readonly topics: Set<string>
}

export interface CircuitBreakersOptions {
  clock: Clock
  /** Brokers that a message of this topic may go to, as far as known. Topics of the same brokers share a breaker. */
  brokersOf?: ((topic: string) => readonly string[]) | undefined
}

/**
 * A breaker for the brokers of each route, so that one broker that is away holds up nobody else's messages. Kept only while
 * something is wrong: as long as all is well, asking costs one comparison.
 */
export class CircuitBreakers {
  readonly #options: CircuitBreakersOptions
  readonly #troubles = new Map<string, Trouble>()

  constructor(options: CircuitBreakersOptions) {
    this.#options = options
  }

  /** At least one is. */
  get isOpen(): boolean {
    if (this.#troubles.size === 0) return false
    for (const { breaker } of this.#troubles.values()) if (breaker.isOpen) return true
    return false
  }

  /** What is away, by the names of brokers, e.g. `broker-a`, or `topic orders` where no route tells them. */
  get open(): string[] {
    return [...this.#troubles].filter(([, { breaker }]) => breaker.isOpen).map(([name]) => name)
  }

  isOpenFor(topic: string): boolean {
    return this.#troubles.size > 0 && this.#troubles.get(this.#nameOf(topic))?.breaker.isOpen === true
  }

  /** As {@link CircuitBreaker.allows}: true makes the caller the probe. */
  allows(topic: string): boolean {
    return this.#troubles.size === 0 || (this.#troubles.get(this.#nameOf(topic))?.breaker.allows() ?? true)
  }

  succeeded(topic: string): void {
    if (this.#troubles.size > 0) this.#settle(topic, this.#nameOf(topic))
  }

  #settle(topic: string, name: string): void {
    this.#troubles.delete(name)
    this.#moved(topic, name)
  }

  /** A failed attempt. */
  report(topic: string, error: unknown): void {
    const name = this.#nameOf(topic)
    const trouble = this.#troubles.get(name) ?? { breaker: new CircuitBreaker(this.#options.clock), topics: new Set() }
    trouble.breaker.report(error)
    if (trouble.breaker.isCalm) return this.#settle(topic, name)
    // The one that failed last comes last.
    this.#troubles.delete(name)
    this.#troubles.set(name, trouble)
    drop(this.#troubles, BREAKERS_MAX)
    this.#note(trouble, topic)
    this.#moved(topic, name)
  }

  /** Somebody has something of this topic, and waits. @returns whether it must */
  holds(topic: string): boolean {
    const trouble = this.#troubles.size === 0 ? undefined : this.#troubles.get(this.#nameOf(topic))
    if (trouble?.breaker.isOpen !== true) return false
    this.#note(trouble, topic)
    return true
  }

  /** Topics whose messages need not be tried, as far as anybody has asked for them; by breaker. */
  openTopics(): { topics: readonly string[]; breaker: CircuitBreaker }[] {
    return [...this.#troubles.values()]
      .filter(({ breaker }) => breaker.isOpen)
      .map(({ breaker, topics }) => ({ breaker, topics: [...topics] }))
  }

  #note({ topics }: Trouble, topic: string): void {
    topics.delete(topic)
    topics.add(topic)
    drop(topics, TOPICS_MAX)
  }

  #nameOf(topic: string): string {
    const brokers = this.#options.brokersOf?.(topic) ?? []
    return brokers.length === 0 ? `topic ${topic}` : brokers.toSorted().join(', ')
  }

  /** Its route is another one than before: what was known of the old one is not about this topic any more. */
  #moved(topic: string, now: string): void {
    for (const [name, { topics }] of this.#troubles) {
      if (name !== now && topics.delete(topic) && topics.size === 0) this.#troubles.delete(name)
    }
  }
}

/** The oldest ones, beyond `max`. */
function drop(all: Map<string, unknown> | Set<string>, max: number): void {
  for (const oldest of all.keys()) {
    if (all.size <= max) return
    all.delete(oldest)
  }
}
