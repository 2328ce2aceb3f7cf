import type { BrokerData, QueueData, RouteSource } from './route.ts'

/** What the name server part must know of a topic. */
export interface RoutedTopic {
  name: string
  perm: number
  readQueues: number
  writeQueues: number
  sysFlag: number
}

/** Our own broker behind the same port: its route is read from the living tables, never stale. */
export class LocalBroker implements RouteSource {
  readonly brokerName: string
  readonly clusterName: string
  readonly #advertise: string
  readonly #find: (topic: string) => RoutedTopic | undefined
  readonly #list: () => Iterable<RoutedTopic>

  /**
   * @param options.advertise `auto` (default) gives each client the address it dialled itself, so containers, tunnels and other
   *   machines need no setting; else a fixed `host:port`
   */
  constructor(options: {
    brokerName: string
    clusterName: string
    advertise?: string
    find: (topic: string) => RoutedTopic | undefined
    list: () => Iterable<RoutedTopic>
  }) {
    this.brokerName = options.brokerName
    this.clusterName = options.clusterName
    this.#advertise = options.advertise ?? 'auto'
    this.#find = options.find
    this.#list = options.list
  }

  brokerData(dialled: string): BrokerData {
    return {
      brokerAddrs: new Map([[0, this.#advertise === 'auto' ? dialled : this.#advertise]]),
      brokerName: this.brokerName,
      cluster: this.clusterName,
      enableActingMaster: false,
    }
  }

  queueData(name: string): QueueData | undefined {
    const topic = this.#find(name)
    if (topic === undefined) return undefined
    return {
      brokerName: this.brokerName,
      perm: topic.perm,
      readQueueNums: topic.readQueues,
      topicSysFlag: topic.sysFlag,
      writeQueueNums: topic.writeQueues,
    }
  }

  topics(): string[] {
    return [...this.#list()].map(({ name }) => name)
  }
}
