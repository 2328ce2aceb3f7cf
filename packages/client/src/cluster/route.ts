import { parseLenientJson } from '@tandemmq/protocol'
import { asArray, asNumber, asObject, asText } from '../json.ts'

/** One queue of a topic on one broker. */
export interface MessageQueue {
  readonly topic: string
  readonly brokerName: string
  readonly queueId: number
}

export interface BrokerData {
  readonly name: string
  readonly cluster: string
  /** Address of the master (id 0); undefined while only slaves are registered. */
  readonly address: string | undefined
}

const PERM_READ = 4
const PERM_WRITE = 2
const QUEUES_MAX = 65_535

interface QueueData {
  readonly brokerName: string
  readonly perm: number
  readonly readQueues: number
  readonly writeQueues: number
}

/** Where the queues of a topic are (TopicRouteData, remoting.md 2D). */
export class TopicRoute {
  readonly topic: string
  readonly brokers: ReadonlyMap<string, BrokerData>
  /** Sorted by broker name and queue id, as Java sorts them: a key hashes to the same queue in both. */
  readonly writeQueues: readonly MessageQueue[]
  readonly readQueues: readonly MessageQueue[]
  /** True when the topic does not exist yet and the route is that of the auto-create template. */
  readonly isTemplate: boolean
  /** Equal for routes with the same queues on the same brokers. */
  readonly signature: string
  readonly #queueData: readonly QueueData[]

  constructor(
    topic: string,
    brokers: ReadonlyMap<string, BrokerData>,
    queueData: readonly QueueData[],
    isTemplate = false,
    /** Queues for writing of an ordered topic, by broker: they stay the same while a broker is away. */
    orderQueues?: ReadonlyMap<string, number>,
  ) {
    this.topic = topic
    this.brokers = brokers
    this.isTemplate = isTemplate
    this.#queueData = queueData.toSorted((a, b) => compareText(a.brokerName, b.brokerName))
    this.writeQueues =
      orderQueues === undefined ? this.#list(PERM_WRITE, (data) => data.writeQueues) : this.#ordered(orderQueues)
    this.readQueues = this.#list(PERM_READ, (data) => data.readQueues)
    const data = this.#queueData.map((one) => `${one.brokerName}:${one.perm}:${one.readQueues}:${one.writeQueues}`)
    this.signature = `${topic} ${data.join(' ')}`
  }

  addressOf(brokerName: string): string | undefined {
    return this.brokers.get(brokerName)?.address
  }

  /** The route a topic gets when the broker creates it from this template. */
  asTemplateFor(topic: string, queuesMax: number): TopicRoute {
    const capped = this.#queueData.map((data) => ({
      ...data,
      readQueues: Math.min(queuesMax, data.readQueues),
      writeQueues: Math.min(queuesMax, data.writeQueues),
    }))
    return new TopicRoute(topic, this.brokers, capped, true)
  }

  /** In the order of the configuration, brokers that are away included: a key must not change its queue because of them. */
  #ordered(counts: ReadonlyMap<string, number>): MessageQueue[] {
    return [...counts].flatMap(([brokerName, count]) =>
      Array.from({ length: count }, (_, queueId) => ({ topic: this.topic, brokerName, queueId })),
    )
  }

  #list(perm: number, count: (data: QueueData) => number): MessageQueue[] {
    const queues: MessageQueue[] = []
    for (const data of this.#queueData) {
      if ((data.perm & perm) === 0 || this.addressOf(data.brokerName) === undefined) continue
      for (let queueId = 0; queueId < count(data); queueId++) {
        queues.push({ topic: this.topic, brokerName: data.brokerName, queueId })
      }
    }
    return queues
  }
}

/** `brokerA:4;brokerB:2`, the order configuration of a topic (remoting.md 4.1); undefined when there is none. */
function orderQueuesOf(text: string): ReadonlyMap<string, number> | undefined {
  const queues = new Map<string, number>()
  for (const part of text.split(';')) {
    const colon = part.lastIndexOf(':')
    const count = Number(part.slice(colon + 1))
    if (colon > 0 && Number.isInteger(count) && count >= 0 && count <= QUEUES_MAX)
      queues.set(part.slice(0, colon).trim(), count)
  }
  return queues.size === 0 ? undefined : queues
}

/** String order of Java's compareTo: by UTF-16 unit. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

export function queueKey(queue: MessageQueue): string {
  return `${queue.topic}@${queue.brokerName}@${queue.queueId}`
}

export function parseBrokers(list: Iterable<unknown>): Map<string, BrokerData> {
  const brokers = new Map<string, BrokerData>()
  for (const entry of list) {
    const data = asObject(entry)
    const name = asText(data['brokerName'])
    const address = asText(asObject(data['brokerAddrs'])['0'])
    brokers.set(name, { name, cluster: asText(data['cluster']), address: address === '' ? undefined : address })
  }
  return brokers
}

export function parseRoute(topic: string, body: Buffer): TopicRoute {
  const data = asObject(parseLenientJson(body.toString('utf8')))
  const queueData = asArray(data['queueDatas']).map((entry) => {
    const queue = asObject(entry)
    return {
      brokerName: asText(queue['brokerName']),
      perm: asNumber(queue['perm']),
      readQueues: asNumber(queue['readQueueNums']),
      writeQueues: asNumber(queue['writeQueueNums']),
    }
  })
  const brokers = parseBrokers(asArray(data['brokerDatas']))
  return new TopicRoute(topic, brokers, queueData, false, orderQueuesOf(asText(data['orderTopicConf'])))
}
