/** Route of one topic on one broker (remoting.md 2D, TopicRouteData). */
export interface QueueData {
  brokerName: string
  /** 4 read, 2 write. */
  perm: number
  readQueueNums: number
  topicSysFlag: number
  writeQueueNums: number
}

/** One broker with its addresses by id, 0 = master. A Map, because numeric keys are written in two dialects. */
export interface BrokerData {
  brokerAddrs: Map<number, string>
  brokerName: string
  cluster: string
  enableActingMaster: boolean
  zoneName?: string
}

export interface TopicRouteData {
  brokerDatas: BrokerData[]
  filterServerTable: Record<string, never>
  orderTopicConf?: string
  queueDatas: QueueData[]
}

export interface ClusterInfo {
  brokerAddrTable: Record<string, BrokerData>
  clusterAddrTable: Record<string, string[]>
}

/**
 * A broker the name server part knows: this one, or one that registered.
 * @param dialled `host:port` under which the asking client reached this process
 */
export interface RouteSource {
  readonly brokerName: string
  readonly clusterName: string
  brokerData(dialled: string): BrokerData
  /** Undefined when the broker does not have the topic. */
  queueData(topic: string): QueueData | undefined
  topics(): string[]
}
