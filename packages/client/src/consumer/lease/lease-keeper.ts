import type { Timer } from '@tandemmq/remoting'
import { ClientError, messageOf } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import { changeInvisible } from './lease-requests.ts'
import type { Lease } from './lease.ts'

export interface LeaseKeeperPort {
  readonly core: ClientCore
  readonly group: string
  readonly invisibleMs: number
  /** True when nobody waits for the message's handler any more: its lease may run out. */
  isAbandoned(lease: Lease): boolean
  /** The message belongs to somebody else now. */
  lost(lease: Lease): void
}

const SWEEP_MS_MIN = 100
/** Looks at each lease so often during its time. */
const SWEEPS_PER_LEASE = 8
/** Renewals under way at a time, so that the keeper leaves room for acknowledgements. */
const RENEWALS_MAX = 128

/** Holds leases while their messages wait or are handled: each is extended when half of its time is over. */
export class LeaseKeeper {
  readonly #port: LeaseKeeperPort
  readonly #held = new Set<Lease>()
  #renewing = 0
  #sweep: Timer | undefined
  #isStopped = false

  constructor(port: LeaseKeeperPort) {
    this.#port = port
  }

  get held(): ReadonlySet<Lease> {
    return this.#held
  }

  hold(lease: Lease): void {
    this.#held.add(lease)
    if (this.#sweep === undefined) this.#arm()
  }

  release(lease: Lease): void {
    this.#held.delete(lease)
  }

  stop(): void {
    this.#isStopped = true
    this.#sweep?.cancel()
  }

  #arm(): void {
    if (this.#isStopped) return
    const sweepMs = Math.max(SWEEP_MS_MIN, this.#port.invisibleMs / SWEEPS_PER_LEASE)
    this.#sweep = this.#port.core.clock.setTimer(sweepMs, () => {
      this.#look()
      this.#sweep = undefined
      if (this.#held.size > 0) this.#arm()
    })
  }

  #look(): void {
    const { core, invisibleMs } = this.#port
    const now = core.clock.monotonic()
    for (const lease of this.#held) {
      const leftMs = lease.deadline - now
      if (leftMs <= 0) this.#lose(lease)
      else if (leftMs <= invisibleMs / 2 && lease.renewal === undefined && this.#renewing < RENEWALS_MAX) {
        if (!this.#port.isAbandoned(lease)) lease.renewal = this.#renew(lease)
      }
    }
  }

  /** Tells the broker that a handler begins. Resolves when it knows, or cannot be told. */
  async begin(lease: Lease): Promise<void> {
    await lease.renewal
    if (lease.state !== 'held') return
    lease.renewal = this.#renew(lease, true)
    await lease.renewal
  }

  async #renew(lease: Lease, begun = false): Promise<void> {
    const { core, group, invisibleMs } = this.#port
    const askedAt = core.clock.monotonic()
    this.#renewing++
    try {
      lease.receipt = await changeInvisible(core, group, lease, invisibleMs, begun ? { begun } : {})
      lease.deadline = askedAt + invisibleMs
    } catch (error) {
      core.logger.warn(`lease of ${lease.message.messageId} not extended: ${messageOf(error)}`)
      if (error instanceof ClientError && !error.retryable && this.#held.has(lease)) this.#lose(lease)
    } finally {
      this.#renewing--
      lease.renewal = undefined
    }
  }

  #lose(lease: Lease): void {
    this.#held.delete(lease)
    lease.state = 'lost'
    this.#port.core.logger.warn(`lease of ${lease.message.messageId} lost, the message is delivered again`)
    this.#port.lost(lease)
  }
}
