import type { Timer } from '@tandemmq/remoting'
import { ClientError, messageOf } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { HookList } from '../hooks/hook-list.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import type { DeliverySource } from './dispatcher.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Subscription } from './subscription.ts'
import { RunningHandler } from './subscription.ts'

export interface HandledDelivery {
  readonly message: ConsumedMessage
}

/** What the handlers of one consumer need and where their outcomes go. */
export interface HandlerPort<S, D> {
  readonly core: ClientCore
  readonly group: string
  readonly concurrencyMax: number
  readonly handlerTimeoutMs: number
  readonly hooks: HookList | undefined
  subscriptionOf(source: S, delivery: D): Subscription | undefined
  /** The handler returned. */
  done(source: S, delivery: D): void
  /** The handler threw. Resolves when it is settled what becomes of the message. */
  failed(source: S, delivery: D, error: unknown): Promise<void>
}

/** A handler at work, for an operator who asks what a consumer is doing. */
export interface HandlerAtWork {
  readonly message: ConsumedMessage
  readonly runningMs: number
}

/** What a consumer may know of its handlers whatever feeds them. */
export interface Handlers {
  readonly running: number
  readonly consumed: number
  readonly failed: number
  atWork(): HandlerAtWork[]
  /** Watches for handlers that run too long. */
  start(): void
  /** Begins no handler any more. */
  stop(): void
  /** Waits up to `drainTimeoutMs` for what runs, then aborts the signals of the rest. */
  drain(): Promise<void>
}

/** Runs handlers, counts how they end, aborts their signals when nobody waits for them any more. */
export class HandlerRunner<S extends DeliverySource<D>, D extends HandledDelivery> implements Handlers {
  readonly dispatcher: Dispatcher<S, D>
  readonly #port: HandlerPort<S, D>
  readonly #running = new Map<D, RunningHandler>()
  #sweep: Timer | undefined
  #consumed = 0
  #failed = 0
  #isStopped = false
  #isOver = false

  constructor(port: HandlerPort<S, D>) {
    this.#port = port
    this.dispatcher = new Dispatcher(port.concurrencyMax, (source, delivery) => this.#run(source, delivery))
  }

  get running(): number {
    return this.dispatcher.running
  }

  get consumed(): number {
    return this.#consumed
  }

  get failed(): number {
    return this.#failed
  }

  atWork(): HandlerAtWork[] {
    const now = this.#port.core.clock.monotonic()
    return [...this.#running].map(([{ message }, { startedAt }]) => ({ message, runningMs: now - startedAt }))
  }

  start(): void {
    const { core, handlerTimeoutMs } = this.#port
    this.#sweep = core.clock.setTimer(Math.min(1_000, handlerTimeoutMs), () => {
      const oldest = core.clock.monotonic() - handlerTimeoutMs
      for (const [delivery, running] of this.#running) {
        if (running.startedAt > oldest || running.isAborted) continue
        core.logger.warn(`the handler of ${delivery.message.messageId} runs for more than ${handlerTimeoutMs} ms`)
        running.abort(new ClientError('ABORTED', `the handler ran for more than ${handlerTimeoutMs} ms`))
      }
      if (!this.#isStopped) this.start()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#sweep?.cancel()
    this.dispatcher.stop()
  }

  async drain(): Promise<void> {
    const { clock, settings, logger } = this.#port.core
    let timer: Timer | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = clock.setTimer(settings.drainTimeoutMs, resolve)
    })
    await Promise.race([this.dispatcher.idle(), deadline])
    timer?.cancel()
    this.#isOver = true
    if (this.#running.size === 0) return
    logger.warn(`consumer ${this.#port.group} closed while ${this.#running.size} handlers were running`)
    for (const running of this.#running.values()) {
      running.abort(new ClientError('ABORTED', 'the consumer was closed before the handler ended'))
    }
  }

  isAborted(delivery: D): boolean {
    return this.#running.get(delivery)?.isAborted ?? false
  }

  abort(delivery: D, reason: ClientError): void {
    this.#running.get(delivery)?.abort(reason)
  }

  #run(source: S, delivery: D): void {
    const context = new RunningHandler()
    let result: unknown
    try {
      const subscription = this.#port.subscriptionOf(source, delivery)
      if (subscription === undefined) throw new ClientError('SUBSCRIPTION_NOT_EXIST', delivery.message.storedTopic)
      const { hooks, group } = this.#port
      if (hooks !== undefined) context.handling = hooks.beforeConsume(group, delivery.message)
      result = subscription.handler(delivery.message, context)
    } catch (error) {
      this.#threw(source, delivery, context, error)
      return
    }
    if (isThenable(result)) {
      // One that returned at once needs no watching: nothing can look at it while it runs.
      context.startedAt = this.#port.core.clock.monotonic()
      this.#running.set(delivery, context)
      result.then(
        () => this.#returned(source, delivery, context),
        (error: unknown) => this.#threw(source, delivery, context, error),
      )
    } else this.#returned(source, delivery, context)
  }

  #returned(source: S, delivery: D, context: RunningHandler): void {
    if (context.handling !== undefined) this.#port.hooks?.afterConsume(context.handling, true)
    this.#consumed++
    this.#port.done(source, delivery)
    this.#ended(source, delivery)
  }

  #threw(source: S, delivery: D, context: RunningHandler, error: unknown): void {
    if (context.handling !== undefined) this.#port.hooks?.afterConsume(context.handling, false, error)
    this.#failed++
    const { core } = this.#port
    // After close() gave up waiting there is no connection left, and the message comes again by itself.
    const settled = this.#isOver ? Promise.resolve() : this.#port.failed(source, delivery, error)
    settled
      .catch((failure: unknown) => core.logger.error(`settling failed: ${messageOf(failure)}`, failure))
      .finally(() => this.#ended(source, delivery))
  }

  #ended(source: S, delivery: D): void {
    if (this.#running.size > 0) this.#running.delete(delivery)
    this.dispatcher.finished(source)
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
