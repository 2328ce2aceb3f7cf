import { sleep } from '@tandemmq/remoting'
import { backOffMs, honoured, jittered } from './back-off.ts'
import type { CacheBudget } from './cache-budget.ts'
import type { ClientCore } from './client-core.ts'
import { ClientError, messageOf } from './client-error.ts'
import type { PopSource } from './consumption.ts'
import type { LeaseOrigin } from './lease.ts'
import { Lease } from './lease.ts'
import { LeaseLane } from './lease-lane.ts'
import type { PopAnswer, PoppedMessage } from './pop-request.ts'
import { pop } from './pop-request.ts'
import type { MessageQueue } from './route.ts'
import type { Subscription } from './subscription.ts'

export interface LeaseSourcePort {
  readonly core: ClientCore
  readonly group: string
  readonly budget: CacheBudget
  readonly isOrdered: boolean
  readonly invisibleMs: number
  readonly holdMs: number
  readonly batchMax: number
  subscriptionOf(topic: string): Subscription | undefined
  /** A message is ours. @returns false when it needs no handler: it was settled otherwise */
  arrived(lease: Lease): boolean
  /** The lane may have work. */
  wake(lane: LeaseLane): void
  /** A message that came when nobody wanted any more, or that was lost while it waited. */
  dropped(lease: Lease): void
}

/** What a broker gives at a time. */
const POP_MESSAGES_MAX = 32
const FULL_PAUSE_MS = 3_000
const THROTTLED_PAUSE_MS = 20
const NOT_HELD_MS = 10
const NOT_HELD_PAUSE_MS = 100
/** Below that, clocks count as equal: an answer takes a while. */
const SKEW_MS_MIN = 1_000
const ATTEMPT_ID_BYTES = 12

/** One topic on one broker: asks for messages while there is room, keeps them until a handler takes them. */
export class LeaseSource implements PopSource, LeaseOrigin {
  readonly queue: MessageQueue
  lastPopAt = 0
  /** Messages and bytes from here that are not settled. */
  waitingForAck = 0
  bytes = 0
  isStopped = false
  readonly #port: LeaseSourcePort
  readonly #lanes = new Map<string, LeaseLane>()
  readonly #stopping = new AbortController()
  #attemptId = ''
  /** Broker's clock less ours: the broker judges by its own whether a question has waited long enough. */
  #skewMs = 0

  constructor(port: LeaseSourcePort, topic: string, brokerName: string) {
    this.#port = port
    this.queue = { topic, brokerName, queueId: -1 }
  }

  start(): void {
    this.#loop().catch((error: unknown) =>
      this.#port.core.logger.error(`asking for ${this.queue.topic} ended: ${messageOf(error)}`),
    )
  }

  /** Asks no more. @returns what no handler has begun */
  stop(): Lease[] {
    this.isStopped = true
    this.#stopping.abort()
    this.#port.budget.wakeAll()
    return [...this.#lanes.values()].flatMap((lane) => lane.takeAll())
  }

  laneOf({ receipt }: Lease): LeaseLane {
    const key = this.#port.isOrdered ? `${receipt.form} ${receipt.queueId}` : ''
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      lane = new LeaseLane(this.#port.isOrdered, (lease) => this.#port.dropped(lease))
      this.#lanes.set(key, lane)
    }
    return lane
  }

  async #loop(): Promise<void> {
    const { core, budget } = this.#port
    let errors = 0
    while (!this.isStopped) {
      const room = this.#room()
      if (room <= 0) {
        await budget.change()
        continue
      }
      let pauseMs: number
      try {
        const askedAt = core.clock.monotonic()
        const answer = await this.#pop(room)
        errors = 0
        pauseMs = this.#take(answer, core.clock.monotonic() - askedAt >= NOT_HELD_MS)
      } catch (error) {
        pauseMs = await this.#onError(error, errors++)
      }
      if (pauseMs > 0) await sleep(core.clock, pauseMs, this.#stopping.signal).catch(() => undefined)
    }
  }

  #room(): number {
    const { budget, batchMax } = this.#port
    if (!budget.hasRoom(this.waitingForAck, this.bytes)) return 0
    const { queueMessagesMax, totalMessagesMax } = budget.limits
    return Math.min(
      batchMax,
      POP_MESSAGES_MAX,
      queueMessagesMax - this.waitingForAck,
      totalMessagesMax - budget.messages,
    )
  }

  #pop(messagesMax: number): Promise<PopAnswer> {
    const { core, group, invisibleMs, holdMs, isOrdered } = this.#port
    const { topic, brokerName } = this.queue
    const subscription = this.#port.subscriptionOf(topic)
    if (subscription === undefined) return Promise.reject(new ClientError('SUBSCRIPTION_NOT_EXIST', topic))
    if (this.#attemptId === '') this.#attemptId = core.clock.randomBytes(ATTEMPT_ID_BYTES).toString('hex')
    // Never aborted: an answer nobody reads would be messages nobody gets until their leases run out.
    return pop(core, {
      group,
      topic,
      brokerName,
      messagesMax,
      invisibleMs,
      holdMs,
      bornTime: Math.floor(core.clock.now() + this.#skewMs),
      isOrdered,
      attemptId: this.#attemptId,
      subscription: subscription.data,
    })
  }

  /** @returns pause before the next question, ms */
  #take(answer: PopAnswer, wasHeld: boolean): number {
    const { clock } = this.#port.core
    this.#attemptId = ''
    this.lastPopAt = clock.now()
    if (answer.popTime > 0) {
      const skewMs = answer.popTime - clock.now()
      this.#skewMs = Math.abs(skewMs) > SKEW_MS_MIN ? skewMs : 0
    }
    for (const popped of answer.messages) this.#add(popped)
    if (answer.status === 'full') return jittered(clock, FULL_PAUSE_MS)
    if (answer.status === 'throttled') return honoured(clock, answer.retryAfterMs ?? THROTTLED_PAUSE_MS)
    // A broker that does not hold the request must not be asked in a busy loop.
    return answer.messages.length > 0 || wasHeld ? 0 : NOT_HELD_PAUSE_MS
  }

  #add({ message, receipt }: PoppedMessage): void {
    const { core, invisibleMs } = this.#port
    const lease = new Lease(message, this.queue.topic, receipt, core.clock.monotonic() + invisibleMs, this)
    if (this.isStopped) {
      this.#port.dropped(lease)
      return
    }
    if (!this.#port.arrived(lease)) return
    const lane = this.laneOf(lease)
    lane.add(lease)
    this.#port.wake(lane)
  }

  async #onError(error: unknown, errors: number): Promise<number> {
    const { core } = this.#port
    const { topic, brokerName } = this.queue
    if (this.isStopped) return 0
    const code = error instanceof ClientError ? error.code : undefined
    core.logger.warn(`pop of ${topic} from ${brokerName} failed: ${messageOf(error)}`)
    // The broker does not know the group: tell it now instead of within 30 s.
    if (code === 'SUBSCRIPTION_NOT_EXIST' || code === 'GROUP_NOT_EXIST') await core.heartbeat()
    const retryAfterMs = error instanceof ClientError ? error.retryAfterMs : undefined
    return retryAfterMs === undefined ? backOffMs(core.clock, errors) : honoured(core.clock, retryAfterMs)
  }
}
