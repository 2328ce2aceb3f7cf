import { parseLenientJson, RequestCode, ResponseCode } from '@tandemmq/protocol'
import type { Clock, Network } from '@tandemmq/remoting'
import { RemotingClient } from '@tandemmq/remoting'
import type { NameServer } from './name-server.ts'
import type { QueueData } from './route.ts'

const PERM_READ = 4
const REQUEST_TIMEOUT_MS = 2_000
/** So long all members of a group are told of the same queues, and name servers are asked once. */
const FRESH_MS = 5_000
const TOPICS_MAX = 10_000
const QUEUES_MAX = 65_536
/** Newest version of RocketMQ: name servers then answer in standard JSON. */
const VERSION = 479

/** A queue as clients name it. */
export interface TopicQueue {
  brokerName: string
  queueId: number
  topic: string
}

interface Known {
  queues: Promise<TopicQueue[] | undefined>
  until: number
}

/**
 * All readable queues of a topic, of every broker that serves it: as separate name servers know them where this broker has some, else as
 * the name server part of this process does.
 */
export class TopicQueues {
  readonly #clock: Clock
  readonly #nameServers: readonly string[]
  readonly #own: NameServer
  readonly #remoting: RemotingClient
  readonly #known = new Map<string, Known>()

  constructor(options: { clock: Clock; network: Network; nameServers: readonly string[]; own: NameServer }) {
    this.#clock = options.clock
    this.#nameServers = options.nameServers
    this.#own = options.own
    this.#remoting = new RemotingClient({ clock: options.clock, network: options.network })
  }

  /** Undefined: no broker has the topic. Never rejects. */
  of(topic: string): Promise<TopicQueue[] | undefined> {
    if (this.#nameServers.length === 0) return Promise.resolve(this.#ownQueues(topic))
    const now = this.#clock.monotonic()
    const known = this.#known.get(topic)
    if (known !== undefined && known.until > now) return known.queues
    if (known === undefined && this.#known.size >= TOPICS_MAX) this.#known.clear()
    const queues = this.#ask(topic, known?.queues)
    this.#known.set(topic, { queues, until: now + FRESH_MS })
    return queues
  }

  close(): Promise<void> {
    return this.#remoting.close()
  }

  async #ask(topic: string, before: Known['queues'] | undefined): Promise<TopicQueue[] | undefined> {
    const init = { code: RequestCode.GET_ROUTEINFO_BY_TOPIC, version: VERSION, extFields: { topic } }
    for (const address of this.#nameServers) {
      try {
        const { code, body } = await this.#remoting.request(address, init, REQUEST_TIMEOUT_MS)
        if (code === ResponseCode.TOPIC_NOT_EXIST) return this.#ownQueues(topic)
        if (code === ResponseCode.SUCCESS) return queuesOf(topic, queueDatasOf(body))
      } catch {
        // The next one may answer; when none does, what was known last is better than a part of it.
      }
    }
    return (await before) ?? this.#ownQueues(topic)
  }

  #ownQueues(topic: string): TopicQueue[] | undefined {
    const route = this.#own.route(topic, '')
    return route === undefined ? undefined : queuesOf(topic, route.queueDatas)
  }
}

function queuesOf(topic: string, queueDatas: readonly QueueData[]): TopicQueue[] {
  return queueDatas
    .filter(({ perm }) => (perm & PERM_READ) !== 0)
    .flatMap(({ brokerName, readQueueNums }) => {
      const length = Math.min(readQueueNums, QUEUES_MAX)
      return Array.from({ length }, (_, queueId): TopicQueue => ({ brokerName, queueId, topic }))
    })
}

function queueDatasOf(body: Buffer): QueueData[] {
  const route = parseLenientJson(body.toString('utf8')) as { queueDatas?: QueueData[] } | null
  return route?.queueDatas ?? []
}
