import { sleep } from '@tandemmq/remoting'
import { honoured, jittered } from '../../back-off.ts'
import { ClientError, messageOf } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import type { MessageQueue } from '../../cluster/route.ts'
import type { ConsumedMessage } from '../../message/consumed-message.ts'
import { readMessages } from '../../message/record-reader.ts'
import type { CacheBudget } from '../cache-budget.ts'
import type { DeliverySource, Dispatcher } from '../dispatcher.ts'
import type { PullAnswer } from '../pull-request.ts'
import { pull } from '../pull-request.ts'
import type { Subscription } from '../subscription.ts'
import type { Delivery } from './consume-window.ts'
import { ConsumeWindow } from './consume-window.ts'

/** What the queues of one consumer share. */
export interface ConsumeContext {
  readonly core: ClientCore
  readonly group: string
  readonly budget: CacheBudget
  readonly dispatcher: Dispatcher<QueueConsumer, Delivery>
  readonly pullBatchMax: number
  readonly holdMs: number
  /** The application's own filter; undefined = everything. */
  readonly accepts: ((message: ConsumedMessage) => boolean) | undefined
  subscriptionOf(topic: string): Subscription | undefined
  /** The broker moved the position: the old one was outside the queue. */
  moved(queue: QueueConsumer, offset: number): void
}

const PULL_ERROR_FIRST_MS = 200
const PULL_ERROR_MAX_MS = 3_000
const NOT_HELD_MS = 10
const NOT_HELD_PAUSE_MS = 100

/** One assigned queue: pulls ahead of the handlers within bounds, and knows what may be committed. */
export class QueueConsumer implements DeliverySource<Delivery> {
  readonly queue: MessageQueue
  readonly isOrdered: boolean
  isQueued = false
  /** What was last told to the offset store; -1 = nothing. */
  committed = -1
  /** A pull failed and none has succeeded since: the topic may be deleted and made anew, and its positions be forgotten. */
  mayBeForgotten = false
  /** Monotonic ms until which the broker's lock surely holds; ordered consumption only. */
  lockedUntil = Number.NEGATIVE_INFINITY
  /** Of that lock; 0 = the broker has none. */
  lockEpoch = 0
  lastPullAt = 0
  lastConsumeAt = 0
  readonly #context: ConsumeContext
  #window = new ConsumeWindow(0)
  #ready: Delivery[] = []
  #readyHead = 0
  #running = 0
  #isSuspended = false
  #nextOffset = 0
  #isStopped = false
  #generation = 0
  #pulling = new AbortController()
  #whenIdle: (() => void)[] = []
  /** Messages arrived that the dispatcher was not told of. */
  #hasArrivals = false

  constructor(context: ConsumeContext, queue: MessageQueue, isOrdered: boolean) {
    this.#context = context
    this.queue = queue
    this.isOrdered = isOrdered
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** Smallest offset that is not finished. */
  get commitOffset(): number {
    return this.#window.commitOffset
  }

  get cachedMessages(): number {
    return this.#window.count
  }

  get cachedBytes(): number {
    return this.#window.bytes
  }

  start(offset: number): void {
    this.#begin(offset)
    this.#pullLoop().catch((error: unknown) =>
      this.#context.core.logger.error(`pulling of ${this.queue.topic} ended: ${messageOf(error)}`),
    )
  }

  /** Pulls no more and forgets what no handler has begun. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#generation++
    this.#dropCache()
    this.#pulling.abort()
    this.#context.budget.wakeAll()
  }

  /** Goes on from `offset`; running handlers end, and no longer count for what is committed. */
  reset(offset: number): void {
    if (this.#isStopped) return
    this.#generation++
    this.#dropCache()
    this.#begin(offset)
    this.#pulling.abort()
    this.#pulling = new AbortController()
    this.#context.budget.wakeAll()
  }

  /** Resolves when no handler of this queue runs. */
  idle(): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve))
  }

  hasWork(): boolean {
    if (this.#readyHead >= this.#ready.length || this.#isStopped) return false
    if (!this.isOrdered) return true
    return this.#running === 0 && !this.#isSuspended && this.#context.core.clock.monotonic() < this.lockedUntil
  }

  next(): Delivery | undefined {
    if (!this.hasWork()) return undefined
    const delivery = this.#ready[this.#readyHead++]
    if (this.#readyHead === this.#ready.length) {
      this.#ready = []
      this.#readyHead = 0
    }
    if (delivery !== undefined) {
      this.#running++
      this.lastConsumeAt = this.#context.core.clock.now()
    }
    return delivery
  }

  /** The handler of `delivery` ended and the message needs no further delivery from here. */
  finish(delivery: Delivery): void {
    // After a reset the old window's messages were released already.
    if (delivery.window.finish(delivery) && delivery.window === this.#window) {
      this.#context.budget.release(1, delivery.message.storedBytes)
    }
    this.#handlerEnded()
  }

  /** The handler of `delivery` ended and the message comes again after `delayMs`, before any later one if ordered. */
  retryHere(delivery: Delivery, delayMs: number): void {
    // After a reset another message may be what the queue waits for: neither this one nor the end of its pause counts.
    const isOurs = (): boolean => delivery.window === this.#window
    if (this.isOrdered && isOurs()) this.#isSuspended = true
    this.#handlerEnded()
    this.#context.core.clock.setTimer(delayMs, () => {
      if (!isOurs()) return
      this.#isSuspended = false
      if (this.#isStopped) return
      this.#ready = [delivery, ...this.#ready.slice(this.#readyHead)]
      this.#readyHead = 0
      this.#context.dispatcher.wake(this)
    })
  }

  /** The handler ended, and nothing of the queue is handed out until it is reset or begun anew. */
  block(delivery: Delivery): void {
    if (delivery.window === this.#window) this.#isSuspended = true
    this.#handlerEnded()
  }

  #begin(offset: number): void {
    this.#window = new ConsumeWindow(offset)
    this.#isSuspended = false
    this.#nextOffset = offset
    this.committed = -1
  }

  #handlerEnded(): void {
    this.#running--
    if (this.#running > 0) return
    const waiting = this.#whenIdle
    this.#whenIdle = []
    for (const resolve of waiting) resolve()
  }

  #dropCache(): void {
    this.#context.budget.release(this.#window.count, this.#window.bytes)
    this.#ready = []
    this.#readyHead = 0
    // Handlers that still run finish into a window nobody counts.
    const commitOffset = this.#window.commitOffset
    if (!this.#isStopped) this.#window = new ConsumeWindow(commitOffset)
  }

  async #pullLoop(): Promise<void> {
    const { core, budget } = this.#context
    let errors = 0
    while (!this.#isStopped) {
      const generation = this.#generation
      if (!budget.hasRoom(this.#window.count, this.#window.bytes)) {
        // Handlers may make room at once.
        if (this.#hasArrivals) this.#handOver()
        else await budget.change()
        continue
      }
      let pauseMs: number
      try {
        const asked = core.clock.monotonic()
        const pulling = this.#pull()
        // The next question is on its way while handlers run that occupy this process.
        if (this.#hasArrivals) core.clock.soon(this.#handOver)
        const answer = await pulling
        if (generation !== this.#generation) continue
        errors = 0
        if (this.mayBeForgotten) this.committed = -1
        this.mayBeForgotten = false
        this.lastPullAt = core.clock.now()
        // A broker that does not hold the request must not be asked in a busy loop.
        const wasHeld = core.clock.monotonic() - asked >= NOT_HELD_MS
        pauseMs = this.#take(answer) || wasHeld ? 0 : NOT_HELD_PAUSE_MS
      } catch (error) {
        if (generation !== this.#generation) continue
        this.mayBeForgotten = true
        pauseMs = await this.#onError(error, errors++)
      }
      if (pauseMs > 0) await sleep(core.clock, pauseMs, this.#pulling.signal).catch(() => undefined)
    }
  }

  readonly #handOver = (): void => {
    this.#hasArrivals = false
    this.#context.dispatcher.wake(this)
  }

  #pull(): Promise<PullAnswer> {
    const { core, group, pullBatchMax, holdMs } = this.#context
    const subscription = this.#context.subscriptionOf(this.queue.topic)
    if (subscription === undefined) return Promise.reject(new ClientError('SUBSCRIPTION_NOT_EXIST', this.queue.topic))
    return pull(
      core,
      {
        group,
        queue: this.queue,
        offset: this.#nextOffset,
        messagesMax: pullBatchMax,
        holdMs,
        subVersion: subscription.data.subVersion,
        expressionType: subscription.data.expressionType,
      },
      this.#pulling.signal,
    )
  }

  /** @returns false when there was nothing new */
  #take(answer: PullAnswer): boolean {
    if (answer.status === 'moved') {
      this.#context.moved(this, answer.nextOffset)
      return true
    }
    const window = this.#window
    if (answer.status === 'found') this.#addMessages(answer.body)
    this.#nextOffset = answer.nextOffset
    window.pulledTo(answer.nextOffset)
    this.#hasArrivals = true
    return answer.status !== 'none'
  }

  #addMessages(body: Buffer): void {
    const { budget, group, accepts } = this.#context
    const tags = this.#context.subscriptionOf(this.queue.topic)?.tags
    const window = this.#window
    readMessages(body, this.queue.brokerName, group, (message, queueOffset) => {
      // The broker compared hashes only, and different tags share one.
      if (tags !== undefined && !tags.has(message.tag)) return
      if (accepts !== undefined && !accepts(message)) return
      this.#ready.push(window.add(message, queueOffset))
      budget.take(message.storedBytes)
    })
  }

  async #onError(error: unknown, errors: number): Promise<number> {
    const { core } = this.#context
    const code = error instanceof ClientError ? error.code : undefined
    if (code === 'SUBSCRIPTION_NOT_EXIST' || code === 'SUBSCRIPTION_NOT_LATEST') {
      // The broker does not know us yet, or not our newest subscription: tell it now instead of within 30 s.
      await core.heartbeat()
    }
    core.doubts.failed(this.queue.topic, error)
    const retryAfterMs = error instanceof ClientError ? error.retryAfterMs : undefined
    if (retryAfterMs !== undefined) return honoured(core.clock, retryAfterMs)
    const pauseMs = jittered(core.clock, Math.min(PULL_ERROR_FIRST_MS * 2 ** Math.min(errors, 10), PULL_ERROR_MAX_MS))
    core.logger.warn(`pull of ${this.queue.topic} queue ${this.queue.queueId} failed: ${messageOf(error)}`)
    return pauseMs
  }
}
