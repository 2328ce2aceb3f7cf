import { isRetryTopic } from '@tandemmq/protocol'
import { sleep } from '@tandemmq/remoting'
import { ClientError, messageOf } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import type { TopicRoute } from '../../cluster/route.ts'
import { Rounds } from '../../rounds.ts'
import type { StartOffsets } from '../start-offsets.ts'
import type { LeaseSource } from './lease-source.ts'
import type { Lease } from './lease.ts'

export interface LeaseSourcesPort {
  readonly core: ClientCore
  readonly group: string
  /** Between two looks at the routes. */
  readonly intervalMs: number
  readonly starts: StartOffsets
  topics(): readonly string[]
  /** Before each look. @returns false when it is too early for one */
  prepare(): Promise<boolean>
  make(topic: string, brokerName: string): LeaseSource
  /** Came from a source that ended, and no handler has begun with it. */
  unwanted(lease: Lease): void
}

/** For answers to questions that a broker goes on holding though they were withdrawn: a stock one. */
const LAST_ANSWERS_MS = 500

/** One source for each topic on each broker that has it, as the routes say now. */
export class LeaseSources {
  readonly #port: LeaseSourcesPort
  readonly #rounds: Rounds
  readonly #sources = new Map<string, LeaseSource>()
  /** Stopped, with a question that is not answered yet. */
  readonly #ending = new Set<LeaseSource>()
  #isStopped = false
  #lastAnswers: Promise<unknown> = Promise.resolve()

  constructor(port: LeaseSourcesPort) {
    this.#port = port
    const { core, group, intervalMs } = port
    this.#rounds = new Rounds({
      clock: core.clock,
      logger: core.logger,
      name: `search for brokers of ${group}`,
      intervalMs,
      once: () => this.#once(),
    })
  }

  get all(): readonly LeaseSource[] {
    return [...this.#sources.values()]
  }

  /** Looks now. */
  run(): Promise<void> {
    return this.#rounds.run()
  }

  /** Nothing is asked for any more. */
  stop(): void {
    this.#isStopped = true
    for (const source of this.all) this.#stop(source)
    if (this.#ending.size > 0) this.#lastAnswers = this.#answersOf([...this.#ending])
  }

  /** Resolves when nothing comes any more, or not within reasonable time. */
  async ended(): Promise<void> {
    await this.#rounds.stop()
    await this.#lastAnswers
  }

  /** Makes the sources those of the routes. */
  async #once(): Promise<boolean> {
    const { core, starts } = this.#port
    if (!(await this.#port.prepare())) return false
    let isComplete = true
    const wanted = new Set<string>()
    for (const topic of this.#port.topics()) {
      const route = await this.#routeOf(topic)
      if (route === undefined) isComplete = false
      const names = new Set(route?.readQueues.map(({ brokerName }) => brokerName))
      for (const brokerName of names) wanted.add(`${topic}@${brokerName}`)
      if (route === undefined || this.#isStopped) continue
      try {
        if (!isRetryTopic(topic)) await starts.prepare(topic, route.readQueues)
        for (const brokerName of names) this.#open(topic, brokerName)
      } catch (error) {
        isComplete = false
        core.logger.warn(`${topic} is not asked for messages yet: ${messageOf(error)}`)
      }
    }
    for (const [key, source] of this.#sources) {
      // Without a route nobody knows where a topic is; it may be the name server that does not.
      const isGone = core.routes.find(source.queue.topic) !== undefined || !this.#hasTopic(source.queue.topic)
      if (wanted.has(key) || !isGone) continue
      this.#sources.delete(key)
      this.#stop(source)
    }
    return isComplete
  }

  #hasTopic(topic: string): boolean {
    return this.#port.topics().includes(topic)
  }

  async #routeOf(topic: string): Promise<TopicRoute | undefined> {
    const { core, starts } = this.#port
    const { routes, logger } = core
    const known = routes.find(topic)
    if (known !== undefined && !known.isTemplate) return known
    try {
      return await routes.load(topic)
    } catch (error) {
      if (error instanceof ClientError && error.code === 'ROUTE_NOT_FOUND') starts.topicIsYounger(topic)
      logger.debug(`no route of ${topic} yet: ${messageOf(error)}`)
      return undefined
    }
  }

  #open(topic: string, brokerName: string): void {
    const key = `${topic}@${brokerName}`
    if (this.#sources.has(key) || this.#isStopped) return
    const source = this.#port.make(topic, brokerName)
    this.#sources.set(key, source)
    source.start()
  }

  async #answersOf(sources: readonly LeaseSource[]): Promise<void> {
    const enough = new AbortController()
    const ended = Promise.all(sources.map((source) => source.ended)).finally(() => enough.abort())
    const { clock } = this.#port.core
    await Promise.race([ended, sleep(clock, LAST_ANSWERS_MS, enough.signal).catch(() => undefined)])
  }

  #stop(source: LeaseSource): void {
    this.#ending.add(source)
    void source.ended.then(() => this.#ending.delete(source))
    for (const lease of source.stop()) this.#port.unwanted(lease)
  }
}
