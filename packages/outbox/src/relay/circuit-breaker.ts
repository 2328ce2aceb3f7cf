import type { Clock } from '../foundation.ts'

const AWAY = new Set(['CONNECT_FAILED', 'CONNECTION_CLOSED', 'REQUEST_TIMEOUT', 'SERVICE_NOT_AVAILABLE', 'SYSTEM_BUSY'])
const OURSELVES = new Set(['CLOSED', 'NOT_STARTED', 'ABORTED'])

const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code)

function isAway(error: unknown): boolean {
  return AWAY.has(codeOf(error))
}

/** As {@link isAway}, of one topic: name servers forget the route of a broker that does not come back. */
const isAwayFor = (error: unknown): boolean => isAway(error) || codeOf(error) === 'ROUTE_NOT_FOUND'

/** The broker said no and would again: the message is at fault, not the way to the broker. */
export function isRefusal(error: unknown): boolean {
  return (error as { retryable?: unknown } | null)?.retryable === false && !OURSELVES.has(codeOf(error))
}

/** The message may be at fault: neither the way to the broker nor this process is. A route appears when its broker does. */
export function isOfMessage(error: unknown): boolean {
  return !isAway(error) && !OURSELVES.has(codeOf(error)) && codeOf(error) !== 'ROUTE_NOT_FOUND'
}

const FAILURES_TO_OPEN = 3
const OPEN_FIRST_MS = 1_000
const OPEN_LAST_MS = 30_000

/**
 * Keeps transactions from waiting for one broker that is away. States: closed (everybody may try); open (nobody, until
 * `openUntil`); then the first to ask is the probe: its success closes, its failure opens for twice as long.
 */
export class CircuitBreaker {
  readonly #clock: Clock
  #failures = 0
  #openMs = 0
  #openUntil = 0
  #probeUntil = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isOpen(): boolean {
    return this.#openMs > 0
  }

  /** Nothing failed since the last success. */
  get isCalm(): boolean {
    return this.#failures === 0
  }

  /** True at most once per open period while the broker is away. */
  allows(): boolean {
    if (this.#openMs === 0) return true
    const now = this.#clock.monotonic()
    // A probe that never reported (its transaction rolled back first) must not keep the circuit open for ever.
    if (now < this.#openUntil || now < this.#probeUntil) return false
    this.#probeUntil = now + OPEN_FIRST_MS
    return true
  }

  succeeded(): void {
    this.#failures = 0
    this.#openMs = 0
    this.#probeUntil = 0
  }

  /** A failed attempt; only one that says the broker is away counts. */
  report(error: unknown): void {
    if (isAwayFor(error)) this.#failed()
    else if (isRefusal(error)) this.succeeded()
  }

  #failed(): void {
    if (++this.#failures < FAILURES_TO_OPEN) return
    const now = this.#clock.monotonic()
    // Halves that were on their way when it opened fail too; they say nothing new.
    if (this.#openMs > 0 && now < this.#openUntil) return
    this.#openMs = this.#openMs === 0 ? OPEN_FIRST_MS : Math.min(this.#openMs * 2, OPEN_LAST_MS)
    this.#openUntil = now + this.#openMs
    this.#probeUntil = 0
  }
}
