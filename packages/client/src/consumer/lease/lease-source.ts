import { PropertyName } from '@tandemmq/protocol'
import { sleep } from '@tandemmq/remoting'
import { backOffMs, honoured, jittered } from '../../back-off.ts'
import { ClientError, messageOf } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import type { MessageQueue } from '../../cluster/route.ts'
import type { CacheBudget } from '../cache-budget.ts'
import type { PopSource } from '../consumption.ts'
import type { Subscription } from '../subscription.ts'
import { LeaseClock } from './lease-clock.ts'
import { LeaseLane } from './lease-lane.ts'
import type { LeaseOrigin } from './lease.ts'
import { Lease } from './lease.ts'
import type { PopAnswer, PoppedMessage } from './pop-request.ts'
import { pop } from './pop-request.ts'

export interface LeaseSourcePort {
  readonly core: ClientCore
  readonly group: string
  readonly budget: CacheBudget
  readonly isOrdered: boolean
  readonly isByKey: boolean
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
const LONG_AGO = 0
/** Lanes beyond it are looked through for ones nobody needs. */
const LANES_MAX = 256

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
  #ended: Promise<void> = Promise.resolve()
  /** Broker's clock less ours: the broker judges by its own whether a question has waited long enough. */
  #skewMs = 0
  readonly #leaseClock = new LeaseClock()
  /** Of a broker that does not tell its time nothing will be known, however often it is asked. */
  #isTimeTold = true

  constructor(port: LeaseSourcePort, topic: string, brokerName: string) {
    this.#port = port
    this.queue = { topic, brokerName, queueId: -1 }
  }

  /** Resolves when a source that was stopped has the answer to its last question. */
  get ended(): Promise<void> {
    return this.#ended
  }

  start(): void {
    this.#ended = this.#loop().catch((error: unknown) =>
      this.#port.core.logger.error(`asking for ${this.queue.topic} ended: ${messageOf(error)}`),
    )
  }

  /** Asks no more. @returns what no handler has begun */
  stop(): Lease[] {
    this.isStopped = true
    this.#stopping.abort()
    this.#port.budget.wakeAll()
    this.#withdraw()
    return [...this.#lanes.values()].flatMap((lane) => lane.takeAll())
  }

  laneOf({ receipt, message }: Lease): LeaseLane {
    const { isOrdered, isByKey } = this.#port
    const orderBy = isByKey ? ` ${message.properties[PropertyName.SHARDING_KEY] ?? ''}` : ''
    const key = isOrdered ? `${receipt.form} ${receipt.queueId}${orderBy}` : ''
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      if (this.#lanes.size >= LANES_MAX) this.#dropEmptyLanes()
      lane = new LeaseLane(this.#port.isOrdered, (lease) => this.#port.dropped(lease))
      this.#lanes.set(key, lane)
    }
    return lane
  }

  /** There may be any number of keys in the course of time. */
  #dropEmptyLanes(): void {
    for (const [key, lane] of this.#lanes) if (lane.isEmpty && !lane.isQueued) this.#lanes.delete(key)
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
        // The broker's clock is learnt from an answer it gives at once.
        const mayHold = this.#leaseClock.isKnown || !this.#isTimeTold
        const answer = await this.#pop(room, mayHold ? this.#port.holdMs : 0)
        errors = 0
        pauseMs = this.#take(answer, askedAt, mayHold)
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

  #pop(messagesMax: number, holdMs: number): Promise<PopAnswer> {
    const { core } = this.#port
    if (this.#attemptId === '') this.#attemptId = core.clock.randomBytes(ATTEMPT_ID_BYTES).toString('hex')
    // Never aborted: an answer nobody reads would be messages nobody gets until their leases run out.
    return this.#ask(messagesMax, holdMs, Math.floor(core.clock.now() + this.#skewMs))
  }

  /**
   * Whoever stores the next message must not find us waiting for it. The question again, asked long ago: the broker sees that nobody
   * waits for that, gives nothing, and ends the older one for it. A stock broker answers it so too, and holds the older one.
   */
  #withdraw(): void {
    const { core } = this.#port
    const address = core.routes.addressOf(this.queue.brokerName)
    if (this.#attemptId === '' || address === undefined || core.registeredConnection(address) === undefined) return
    this.#ask(1, 0, LONG_AGO).catch((error: unknown) =>
      core.logger.debug(`the question for ${this.queue.topic} is not withdrawn: ${messageOf(error)}`),
    )
  }

  #ask(messagesMax: number, holdMs: number, bornTime: number): Promise<PopAnswer> {
    const { core, group, invisibleMs, isOrdered, isByKey } = this.#port
    const { topic, brokerName } = this.queue
    const subscription = this.#port.subscriptionOf(topic)
    if (subscription === undefined) return Promise.reject(new ClientError('SUBSCRIPTION_NOT_EXIST', topic))
    return pop(core, {
      ...{ group, topic, brokerName, messagesMax, invisibleMs, holdMs, bornTime, isOrdered, isByKey },
      ...{ attemptId: this.#attemptId, subscription: subscription.data },
    })
  }

  /** @returns pause before the next question, ms */
  #take(answer: PopAnswer, askedAt: number, mayHold: boolean): number {
    const { clock } = this.#port.core
    const arrivedAt = clock.monotonic()
    this.#attemptId = ''
    this.lastPopAt = clock.now()
    if (answer.popTime > 0) {
      const skewMs = answer.popTime - clock.now()
      this.#skewMs = Math.abs(skewMs) > SKEW_MS_MIN ? skewMs : 0
    }
    const deadline = this.#deadlineOf(answer, askedAt, arrivedAt, mayHold)
    for (const popped of answer.messages) this.#add(popped, deadline)
    if (answer.status === 'full') return jittered(clock, FULL_PAUSE_MS)
    if (answer.status === 'throttled') return honoured(clock, answer.retryAfterMs ?? THROTTLED_PAUSE_MS)
    // A broker that does not hold the request must not be asked in a busy loop.
    const wasHeld = arrivedAt - askedAt >= NOT_HELD_MS
    return answer.messages.length > 0 || wasHeld || !mayHold ? 0 : NOT_HELD_PAUSE_MS
  }

  /** Monotonic ms, not after the broker's. */
  #deadlineOf({ popTime }: PopAnswer, askedAt: number, arrivedAt: number, mayHold: boolean): number {
    const { invisibleMs } = this.#port
    const wasKnown = this.#leaseClock.isKnown
    this.#isTimeTold = popTime > 0
    const told = this.#isTimeTold ? this.#leaseClock.beganAt(popTime, askedAt, arrivedAt) : undefined
    const beganAt = told ?? askedAt
    const isGuess = mayHold && (!wasKnown || told === undefined)
    // Nobody knows how long the question was held. With half a lease left the keeper's next look extends it.
    return Math.max(beganAt, isGuess ? arrivedAt - invisibleMs / 2 : beganAt) + invisibleMs
  }

  #add({ message, receipt }: PoppedMessage, deadline: number): void {
    const { core } = this.#port
    const lease = new Lease(message, this.queue.topic, receipt, deadline, this)
    const isOver = deadline <= core.clock.monotonic()
    if (isOver) {
      core.logger.warn(`lease of ${message.messageId} was over when it arrived, the message comes again`)
      // Or its clock was set by so little that it could not be told: what it answers at once tells.
      this.#leaseClock.forget()
    }
    if (this.isStopped || isOver) {
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
    this.#leaseClock.forget()
    if (this.isStopped) return 0
    const code = error instanceof ClientError ? error.code : undefined
    core.logger.warn(`pop of ${topic} from ${brokerName} failed: ${messageOf(error)}`)
    // The broker does not know the group: tell it now instead of within 30 s.
    if (code === 'SUBSCRIPTION_NOT_EXIST' || code === 'GROUP_NOT_EXIST') await core.heartbeat()
    core.doubts.failed(topic, error)
    const retryAfterMs = error instanceof ClientError ? error.retryAfterMs : undefined
    return retryAfterMs === undefined ? backOffMs(core.clock, errors) : honoured(core.clock, retryAfterMs)
  }
}
