import type { Clock, Timer } from '@tandemmq/remoting'
import { ClientError, messageOf } from '../client-error.ts'
import type { Logger } from '../logger.ts'
import type { RouteTable } from './route-table.ts'
import type { TopicRoute } from './route.ts'

export interface RouteDoubtsPort {
  readonly clock: Clock
  readonly logger: Logger
  readonly routes: Pick<RouteTable, 'find' | 'load'>
  isOpen(): boolean
}

/** Least time between two looks at the route of one topic, ms. */
const LOOK_INTERVAL_MS = 2_000
const TOPICS_MAX = 10_000

/** Is it what a broker answers that has no such queue? RocketMQ 4 says SYSTEM_ERROR, with the queue in its remark. */
export function isQueueRefused({ code, message }: ClientError): boolean {
  return code === 'INVALID_PARAMETER' || (code === 'SYSTEM_ERROR' && /queue ?id/i.test(message))
}

/**
 * Routes that seem to be old: the broker refused a queue, or said that the topic has changed. They are asked for at once instead of at the
 * next refresh (30 s), each at most once in {@link LOOK_INTERVAL_MS}; and once more after that when nothing had changed, because
 * a name server may hear of it later than we do.
 */
export class RouteDoubts {
  readonly #port: RouteDoubtsPort
  /** Monotonic ms of the last look, by topic. */
  readonly #lookedAt = new Map<string, number>()
  readonly #loading = new Map<string, Promise<TopicRoute>>()
  readonly #again = new Map<string, Timer>()

  constructor(port: RouteDoubtsPort) {
    this.#port = port
  }

  /** @param error what a request to a queue of `topic` failed with; nothing happens when it says nothing of the queue */
  failed(topic: string, error: unknown): void {
    if (!(error instanceof ClientError)) return
    if (error.code === 'TOPIC_NOT_EXIST' || isQueueRefused(error)) this.look(topic)
  }

  /** Asks now, or when the interval since the last time is over. */
  look(topic: string): void {
    const { clock } = this.#port
    if (this.#again.has(topic) || !this.#port.isOpen()) return
    const sinceMs = clock.monotonic() - (this.#lookedAt.get(topic) ?? Number.NEGATIVE_INFINITY)
    if (sinceMs < LOOK_INTERVAL_MS) return this.#lookAgain(topic, LOOK_INTERVAL_MS - sinceMs)
    this.#look(topic).then(
      (isChanged) => isChanged || this.#lookAgain(topic, LOOK_INTERVAL_MS),
      (error: unknown) => this.#port.logger.debug(`route of ${topic} not looked at: ${messageOf(error)}`),
    )
  }

  /**
   * The route as it is now, or as it was less than the interval ago.
   * @throws {ClientError} ROUTE_NOT_FOUND, or as a request to the name servers
   */
  current(topic: string): Promise<TopicRoute> {
    const { clock, routes } = this.#port
    const loading = this.#loading.get(topic)
    if (loading !== undefined) return loading
    const known = routes.find(topic)
    const sinceMs = clock.monotonic() - (this.#lookedAt.get(topic) ?? Number.NEGATIVE_INFINITY)
    return known !== undefined && sinceMs < LOOK_INTERVAL_MS ? Promise.resolve(known) : this.#load(topic)
  }

  close(): void {
    for (const timer of this.#again.values()) timer.cancel()
    this.#again.clear()
  }

  #lookAgain(topic: string, afterMs: number): void {
    if (this.#again.has(topic) || !this.#port.isOpen()) return
    const timer = this.#port.clock.setTimer(afterMs, () => {
      this.#again.delete(topic)
      if (!this.#port.isOpen()) return
      this.#look(topic).catch((error: unknown) =>
        this.#port.logger.debug(`route of ${topic} not looked at: ${messageOf(error)}`),
      )
    })
    this.#again.set(topic, timer)
  }

  /** @returns whether it has changed */
  async #look(topic: string): Promise<boolean> {
    const before = this.#port.routes.find(topic)?.signature
    return (await this.#load(topic)).signature !== before
  }

  #load(topic: string): Promise<TopicRoute> {
    if (this.#lookedAt.size >= TOPICS_MAX) this.#lookedAt.clear()
    this.#lookedAt.set(topic, this.#port.clock.monotonic())
    const loading = this.#port.routes.load(topic).finally(() => this.#loading.delete(topic))
    this.#loading.set(topic, loading)
    return loading
  }
}
