import type { Clock } from '@tandemmq/remoting'

const REST_FIRST_MS = 1_000
const REST_MAX_MS = 30_000

interface Failure {
  count: number
  /** Monotonic ms until which others are asked first. */
  until: number
}

/**
 * In which order the name servers are asked: the one that answered last, then the others, and last those that failed a moment ago, so
 * that a dead one costs its time-out only now and then. Clients begin at a random one, to spread over all of them (remoting.md 1.6).
 */
export class NameServers {
  readonly #addresses: readonly string[]
  readonly #clock: Clock
  readonly #failures = new Map<string, Failure>()
  #chosen: number

  constructor(addresses: readonly string[], clock: Clock) {
    this.#addresses = addresses
    this.#clock = clock
    this.#chosen = Math.floor(clock.random() * addresses.length)
  }

  get all(): readonly string[] {
    return this.#addresses
  }

  /** All of them, best first. */
  order(): string[] {
    const fromChosen = [...this.#addresses.slice(this.#chosen), ...this.#addresses.slice(0, this.#chosen)]
    if (this.#failures.size === 0) return fromChosen
    return [...fromChosen.filter((one) => !this.rests(one)), ...fromChosen.filter((one) => this.rests(one))]
  }

  /** True while `address` is asked after all others, because it failed. */
  rests(address: string): boolean {
    return (this.#failures.get(address)?.until ?? 0) > this.#clock.monotonic()
  }

  answered(address: string): void {
    this.#failures.delete(address)
    this.#chosen = Math.max(0, this.#addresses.indexOf(address))
  }

  failed(address: string): void {
    const count = this.#failures.get(address)?.count ?? 0
    const restMs = Math.min(REST_FIRST_MS * 2 ** count, REST_MAX_MS)
    this.#failures.set(address, { count: Math.min(count + 1, 10), until: this.#clock.monotonic() + restMs })
  }
}
