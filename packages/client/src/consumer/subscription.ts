import { ClientError } from '../client-error.ts'
import type { Filter, SubscriptionData } from '../cluster/heartbeat.ts'
import { subscriptionData } from '../cluster/heartbeat.ts'
import type { Handling } from '../hooks/hook-list.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'

export interface HandlerContext {
  /**
   * Aborted when nobody waits for this handler any more: the consumer was closed and `drainTimeoutMs` passed, or the
   * handler runs longer than `handlerTimeoutMs`. The message will then be delivered again.
   */
  readonly signal: AbortSignal
}

/** Returns: consumed. Throws: delivered again later. */
export type MessageHandler = (message: ConsumedMessage, context: HandlerContext) => unknown

export interface Subscription {
  readonly topic: string
  readonly data: SubscriptionData
  /** Tags to compare as text; undefined = no comparison. */
  readonly tags: ReadonlySet<string> | undefined
  readonly handler: MessageHandler
}

/** @throws {ClientError} SUBSCRIPTION_INVALID */
export function subscriptionOf(topic: string, filter: Filter, handler: MessageHandler, version: number): Subscription {
  if (typeof handler !== 'function') throw new ClientError('SUBSCRIPTION_INVALID', `topic ${topic} has no handler`)
  // A virtual clock may stand between two ms; the wire knows whole ones only.
  const data = subscriptionData(topic, checkedFilter(topic, filter), Math.floor(version))
  const tags = data.expressionType === 'TAG' && data.tagsSet.length > 0 ? new Set(data.tagsSet) : undefined
  return { topic, data, tags, handler }
}

export function checkedFilter(topic: string, filter: Filter): Filter {
  if (filter === '*') return filter
  if (typeof filter === 'object' && filter !== null) {
    if ('sql' in filter && typeof filter.sql === 'string' && filter.sql.trim() !== '') return filter
    if ('tags' in filter && Array.isArray(filter.tags) && filter.tags.length > 0) {
      const wrong = filter.tags.find((tag) => typeof tag !== 'string' || tag.trim() === '' || tag.includes('|'))
      if (wrong === undefined) return filter
      throw new ClientError('SUBSCRIPTION_INVALID', `topic ${topic}: "${String(wrong)}" cannot be a tag`)
    }
  }
  throw new ClientError('SUBSCRIPTION_INVALID', `topic ${topic}: filter must be '*', { tags: [...] } or { sql: '...' }`)
}

/** The signal of a running handler, made only when the handler looks at it. */
export class RunningHandler implements HandlerContext {
  /** Monotonic ms */
  startedAt: number
  /** What the hooks saw before the handler; undefined without hooks. */
  handling: Handling | undefined
  #controller: AbortController | undefined
  #reason: Error | undefined

  constructor(startedAt = 0) {
    this.startedAt = startedAt
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  get isAborted(): boolean {
    return this.#reason !== undefined
  }

  abort(reason: Error): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}
