import { sleep } from '@tandemmq/remoting'
import { backOffMs } from '../../back-off.ts'
import { messageOf, toClientError } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import { ReconsumeLater, RejectMessage } from '../../message/outcome.ts'
import { sharedController } from '../../shared-signal.ts'
import { deadLetter } from '../send-back.ts'
import type { AckBatcher } from './ack-batcher.ts'
import { buryLease, changeInvisible } from './lease-requests.ts'
import type { Lease } from './lease.ts'

export interface LeaseSettlerPort {
  readonly core: ClientCore
  readonly group: string
  attemptsMax(): number
  readonly acks: AckBatcher
  /** The message counts no longer as ours. Called once or more. */
  free(lease: Lease): void
}

/** Shortest lease a broker knows: whoever asks next gets the message. */
export const HAND_BACK_MS = 1
/** Pause before another delivery when the message could not become a dead letter. */
const NOT_DEAD_RETRY_MS = 10_000
/** Pause after the n-th failed delivery, s: as Java's POP consumer (remoting.md 2B-POP). */
const RETRY_SECONDS = [10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200]

/** What becomes of leased messages: acknowledged, given back, dead letter. */
export class LeaseSettler {
  readonly #port: LeaseSettlerPort
  readonly #returning = new Set<Promise<void>>()
  readonly #closing = sharedController()

  constructor(port: LeaseSettlerPort) {
    this.#port = port
  }

  acknowledge(lease: Lease): void {
    this.#port.free(lease)
    // Given back already, because nobody waited for its handler any more.
    if (lease.state === 'settling') return
    lease.state = 'settling'
    const { renewal } = lease
    if (renewal === undefined) this.#port.acks.add(lease)
    else this.#track(renewal.then(() => this.#port.acks.add(lease)))
  }

  /**
   * Lets the message come again `delayMs` from now, at this member or another.
   * @param byPolicy after the pause the group's retry policy says, where the broker knows one. Default false
   */
  giveBack(lease: Lease, delayMs: number, byPolicy = false): void {
    this.#port.free(lease)
    if (lease.state === 'settling') return
    lease.state = 'settling'
    this.#track(this.#giveBack(lease, Math.max(HAND_BACK_MS, delayMs), byPolicy))
  }

  /** True when a failed delivery is the last one. */
  isLast(lease: Lease, error: unknown): boolean {
    return error instanceof RejectMessage || lease.message.attempt >= this.#port.attemptsMax()
  }

  /** @param error what the handler threw; not the last delivery */
  retry(lease: Lease, error: unknown): void {
    const { attempt } = lease.message
    const seconds = RETRY_SECONDS[Math.min(attempt, RETRY_SECONDS.length) - 1] ?? 10
    if (error instanceof ReconsumeLater) this.giveBack(lease, error.delayMs)
    else this.giveBack(lease, seconds * 1_000, true)
  }

  /** Resolves when the message is a dead letter, or given back because it could not become one. */
  async bury(lease: Lease, reason: string): Promise<void> {
    const { core, group } = this.#port
    try {
      await lease.renewal
      if (await buryLease(core, group, lease, NOT_DEAD_RETRY_MS, reason)) return this.#buried(lease)
      // The broker only hid it: a stock one. Sent first, acknowledged then: a crash between makes two, never none.
      await deadLetter(core, group, lease.message, reason)
      this.acknowledge(lease)
    } catch (error) {
      core.logger.error(`message ${lease.message.messageId} is no dead letter yet: ${messageOf(error)}`)
      this.giveBack(lease, NOT_DEAD_RETRY_MS)
    }
  }

  #buried(lease: Lease): void {
    this.#port.free(lease)
    lease.state = 'settling'
  }

  /** Waits for what is under way; what fails now is not tried again. */
  async flush(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#returning)
    await this.#port.acks.flush()
  }

  /** Tried until the lease has run out: then the message comes again anyway. */
  async #giveBack(lease: Lease, delayMs: number, byPolicy: boolean): Promise<void> {
    const { core, group } = this.#port
    await lease.renewal
    for (let failures = 0; ; failures++) {
      try {
        const more = { ...(byPolicy ? { byPolicy } : {}), ...(lease.hasFailed ? { begun: true as const } : {}) }
        lease.receipt = await changeInvisible(core, group, lease, delayMs, more)
        return
      } catch (error) {
        const failure = toClientError(error, 'give back')
        core.logger.warn(failure.message)
        const isOver = this.#closing.signal.aborted || core.clock.monotonic() >= lease.deadline
        if (!failure.retryable || isOver) return
        await sleep(core.clock, backOffMs(core.clock, failures), this.#closing.signal).catch(() => undefined)
      }
    }
  }

  #track(work: Promise<void>): void {
    this.#returning.add(work)
    work
      .catch((error: unknown) => this.#port.core.logger.error(`settling failed: ${messageOf(error)}`, error))
      .finally(() => this.#returning.delete(work))
  }
}
