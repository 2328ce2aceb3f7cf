import type { Clock } from '@tandemmq/remoting'

const AVOID_FIRST_MS = 1_000
const AVOID_MAX_MS = 30_000
/** One send tries a broker again; until its outcome is known, the others go on choosing elsewhere. */
const TRIAL_MS = 1_000

interface Fault {
  count: number
  /** Monotonic ms. */
  until: number
  /** Its time was over and somebody tries it. */
  isTrial: boolean
}

/**
 * Brokers that failed just now: producers choose others for 1 s, 2 s, … at most 30 s, as long as there are any. Java's fault avoidance
 * (`sendLatencyFaultEnable`, remoting.md 4.2) is off by default and knows latencies too; this one is about failures alone.
 */
export class BrokerFaults {
  readonly #clock: Clock
  readonly #faults = new Map<string, Fault>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isEmpty(): boolean {
    return this.#faults.size === 0
  }

  failed(brokerName: string): void {
    const fault = this.#faults.get(brokerName) ?? { count: 0, until: Number.NEGATIVE_INFINITY, isTrial: false }
    const now = this.#clock.monotonic()
    // Sends that were under way together fail together: that is one fault.
    if (fault.until > now && !fault.isTrial) return
    fault.isTrial = false
    fault.count = Math.min(fault.count + 1, 10)
    fault.until = now + Math.min(AVOID_FIRST_MS * 2 ** (fault.count - 1), AVOID_MAX_MS)
    this.#faults.set(brokerName, fault)
  }

  succeeded(brokerName: string): void {
    if (this.#faults.size > 0) this.#faults.delete(brokerName)
  }

  /** False for a broker whose time is over: the caller tries it, everybody else waits for the outcome. */
  isAvoided(brokerName: string): boolean {
    const fault = this.#faults.get(brokerName)
    if (fault === undefined) return false
    const now = this.#clock.monotonic()
    if (fault.until > now) return true
    fault.until = now + TRIAL_MS
    fault.isTrial = true
    return false
  }
}
