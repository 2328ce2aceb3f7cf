import type { BrokerRegistry } from './broker-registry.ts'
import type { KvConfig } from './kv-config.ts'
import type { BrokerData, ClusterInfo, QueueData, RouteSource, TopicRouteData } from './route.ts'

/** Namespace of the KV config that freezes the queues of ordered topics (broker.md 9.4). */
const ORDER_TOPICS = 'ORDER_TOPIC_CONFIG'
const PERM_WRITE = 2
const MASTER_ID = 0

/** Answers where topics live, from the brokers it knows. */
export class NameServer {
  /** The broker of this process; undefined in a process that is a name server only. */
  readonly local: RouteSource | undefined
  readonly registry: BrokerRegistry
  readonly #kvConfig: KvConfig
  /** Brokers an operator took out of writing. */
  readonly #wiped = new Set<string>()

  constructor(options: { local?: RouteSource; registry: BrokerRegistry; kvConfig: KvConfig }) {
    this.local = options.local
    this.registry = options.registry
    this.#kvConfig = options.kvConfig
    this.registry.onLeft = (brokerName) => this.#wiped.delete(brokerName)
  }

  /**
   * @param zone only brokers of this zone, and those whose master is down: their slaves are read wherever they stand
   * @returns undefined when no broker has the topic
   */
  route(topic: string, dialled: string, zone?: string): TopicRouteData | undefined {
    const brokerDatas: BrokerData[] = []
    const queueDatas: QueueData[] = []
    for (const source of this.#sources()) {
      const queueData = source.queueData(topic)
      if (queueData === undefined) continue
      const brokerData = source.brokerData(dialled)
      if (zone !== undefined && brokerData.brokerAddrs.has(MASTER_ID) && !sameZone(zone, brokerData.zoneName)) continue
      queueDatas.push(this.#wiped.has(source.brokerName) ? withoutWrite(queueData) : queueData)
      brokerDatas.push(brokerData)
    }
    if (queueDatas.length === 0) return undefined
    const orderTopicConf = this.#kvConfig.get(ORDER_TOPICS, topic)
    const order = orderTopicConf === undefined ? {} : { orderTopicConf }
    return { brokerDatas, filterServerTable: {}, ...order, queueDatas }
  }

  clusterInfo(dialled: string): ClusterInfo {
    // Names come from strangers: a null prototype keeps `__proto__` a key like any other.
    const brokerAddrTable: Record<string, BrokerData> = Object.create(null)
    const clusterAddrTable: Record<string, string[]> = Object.create(null)
    for (const source of this.#sources()) {
      brokerAddrTable[source.brokerName] = source.brokerData(dialled)
      const names = (clusterAddrTable[source.clusterName] ??= [])
      if (!names.includes(source.brokerName)) names.push(source.brokerName)
    }
    return { brokerAddrTable, clusterAddrTable }
  }

  /** All topics, or those of one cluster. */
  topics(cluster?: string): string[] {
    const sources = this.#sources().filter((source) => cluster === undefined || source.clusterName === cluster)
    return [...new Set(sources.flatMap((source) => source.topics()))]
  }

  /** Addresses of one broker by id; empty when it is not there. */
  members(brokerName: string, dialled: string): Map<number, string> {
    const source = this.#sources().find((one) => one.brokerName === brokerName)
    return source?.brokerData(dialled).brokerAddrs ?? new Map<number, string>()
  }

  /** Settings of ordered topics, which brokers get with the answer to their registration. */
  orderTopics(): Record<string, string> | undefined {
    return this.#kvConfig.list(ORDER_TOPICS)
  }

  /**
   * WIPE_WRITE_PERM_OF_BROKER 205 and ADD_WRITE_PERM_OF_BROKER 327: clients stop and go on choosing this broker for new messages.
   * It lasts until the opposite is said or the broker leaves; the original forgets it at the broker's next changed registration.
   * @returns how many topics it has
   */
  setWritable(brokerName: string, writable: boolean): number {
    const source = this.#sources().find((one) => one.brokerName === brokerName)
    if (source === undefined) return 0
    if (writable) this.#wiped.delete(brokerName)
    else this.#wiped.add(brokerName)
    return source.topics().length
  }

  #sources(): RouteSource[] {
    const registered: RouteSource[] = this.registry.brokers()
    return this.local === undefined ? registered : [this.local, ...registered]
  }
}

const withoutWrite = (data: QueueData): QueueData => ({ ...data, perm: data.perm & ~PERM_WRITE })

const sameZone = (zone: string, other: string | undefined): boolean => zone.toLowerCase() === other?.toLowerCase()
