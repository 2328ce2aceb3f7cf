import type { KvConfig } from './kv-config.ts'
import type { BrokerData, ClusterInfo, QueueData, RouteSource, TopicRouteData } from './route.ts'

/** Namespace of the KV config that freezes the queues of ordered topics (broker.md 9.4). */
const ORDER_TOPICS = 'ORDER_TOPIC_CONFIG'

/** Answers where topics live, from the brokers it knows. */
export class NameServer {
  readonly #sources: RouteSource[] = []
  readonly #kvConfig: KvConfig

  constructor(options: { local: RouteSource; kvConfig: KvConfig }) {
    this.#sources.push(options.local)
    this.#kvConfig = options.kvConfig
  }

  /** @returns undefined when no broker has the topic */
  route(topic: string, dialled: string): TopicRouteData | undefined {
    const brokerDatas: BrokerData[] = []
    const queueDatas: QueueData[] = []
    for (const source of this.#sources) {
      const queueData = source.queueData(topic)
      if (queueData === undefined) continue
      queueDatas.push(queueData)
      brokerDatas.push(source.brokerData(dialled))
    }
    if (queueDatas.length === 0) return undefined
    const orderTopicConf = this.#kvConfig.get(ORDER_TOPICS, topic)
    const order = orderTopicConf === undefined ? {} : { orderTopicConf }
    return { brokerDatas, filterServerTable: {}, ...order, queueDatas }
  }

  clusterInfo(dialled: string): ClusterInfo {
    const brokerAddrTable: Record<string, BrokerData> = {}
    const clusterAddrTable: Record<string, string[]> = {}
    for (const source of this.#sources) {
      brokerAddrTable[source.brokerName] = source.brokerData(dialled)
      const names = (clusterAddrTable[source.clusterName] ??= [])
      if (!names.includes(source.brokerName)) names.push(source.brokerName)
    }
    return { brokerAddrTable, clusterAddrTable }
  }

  /** All topics, or those of one cluster. */
  topics(cluster?: string): string[] {
    const sources = this.#sources.filter((source) => cluster === undefined || source.clusterName === cluster)
    return [...new Set(sources.flatMap((source) => source.topics()))]
  }
}
