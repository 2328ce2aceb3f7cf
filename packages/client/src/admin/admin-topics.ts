import type { CommandInit } from '@tandemmq/protocol'
import { parseLenientJson, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { ClientError, errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import { compareText } from '../cluster/route.ts'
import type { JsonObject } from '../json.ts'
import { asArray, asNumber, asObject, asText } from '../json.ts'
import { checkTopic } from '../options.ts'
import type { AdminCluster, Brokers } from './admin-cluster.ts'
import { attributeChanges as featureChanges, type TopicFeatures } from './topic-features.ts'

export interface TopicOptions extends TopicFeatures {
  /** Queues per broker. Default 4. */
  queues?: number | undefined
  /** 4 read, 2 write. Default 6. */
  perm?: number | undefined
  /** Default false. */
  order?: boolean | undefined
}

/** Settings of a topic that operators change. What is left out keeps its value. */
export interface TopicChanges {
  /** Queues per broker, for reading and writing. */
  readonly queues?: number | undefined
  /** 4 read, 2 write, 6 both. */
  readonly perm?: number | undefined
  readonly order?: boolean | undefined
  /** New values by name; undefined takes the attribute away. */
  readonly attributes?: Readonly<Record<string, string | undefined>> | undefined
}

/** A topic on one broker. */
export interface TopicSettings {
  readonly brokerName: string
  readonly readQueues: number
  readonly writeQueues: number
  /** 4 read, 2 write, 6 both. */
  readonly perm: number
  readonly order: boolean
  readonly attributes: Readonly<Record<string, string>>
}

/** One queue of a topic. */
export interface TopicQueue {
  readonly brokerName: string
  readonly queueId: number
  readonly minOffset: bigint
  readonly maxOffset: bigint
  /** When the newest message was stored; undefined while the queue is empty. */
  readonly storedAt: Date | undefined
}

/** undefined when the broker does not have the topic */
async function topicConfig(core: ClientCore, address: string, topic: string): Promise<JsonObject | undefined> {
  const init = { code: RequestCode.GET_TOPIC_CONFIG, extFields: { topic } }
  const answer = await core.request(address, init)
  if (answer.code === ResponseCode.TOPIC_NOT_EXIST) return undefined
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, `settings of ${topic}`)
  return asObject(parseLenientJson(answer.body.toString('utf8')))
}

function settingsOf(brokerName: string, config: JsonObject): TopicSettings {
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(asObject(config['attributes']))) attributes[name] = asText(value)
  return {
    brokerName,
    readQueues: asNumber(config['readQueueNums']),
    writeQueues: asNumber(config['writeQueueNums']),
    perm: asNumber(config['perm']),
    order: config['order'] === true,
    attributes,
  }
}

/** The request that gives a topic what `before` says, except for what is changed. */
function updateOf(topic: string, before: TopicSettings, changes: TopicChanges): CommandInit {
  const { queues, perm = before.perm, order = before.order } = changes
  if (queues !== undefined && (!Number.isInteger(queues) || queues < 1)) {
    throw new ClientError('INVALID_PARAMETER', `queues must be a whole number of at least 1, not ${queues}`)
  }
  const extFields = {
    topic,
    defaultTopic: 'TBW102',
    readQueueNums: queues ?? before.readQueues,
    writeQueueNums: queues ?? before.writeQueues,
    perm,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order,
    attributes: attributeChanges(before, changes.attributes ?? {}),
    force: false,
  }
  return { code: RequestCode.UPDATE_AND_CREATE_TOPIC, extFields }
}

/** `+name=value,-name`; taking away what is not there would be refused. */
function attributeChanges(before: TopicSettings, changes: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(changes)
    .filter(([name, value]) => value !== undefined || Object.hasOwn(before.attributes, name))
    .map(([name, value]) => (value === undefined ? `-${name}` : `+${name}=${value}`))
    .join(',')
}

/** None when the broker does not have the topic. */
async function queuesOn(core: ClientCore, address: string, topic: string): Promise<TopicQueue[]> {
  const init = { code: RequestCode.GET_TOPIC_STATS_INFO, extFields: { topic } }
  const answer = await core.request(address, init)
  if (answer.code === ResponseCode.TOPIC_NOT_EXIST) return []
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, `queues of ${topic}`)
  const body = asObject(parseLenientJson(answer.body.toString('utf8')))
  return Object.entries(asObject(body['offsetTable'])).map(([key, value]) => {
    const queue = asObject(parseLenientJson(key))
    const offsets = asObject(value)
    const storedAt = asNumber(offsets['lastUpdateTimestamp'])
    return {
      brokerName: asText(queue['brokerName']),
      queueId: asNumber(queue['queueId']),
      minOffset: BigInt(asNumber(offsets['minOffset'])),
      maxOffset: BigInt(asNumber(offsets['maxOffset'])),
      storedAt: storedAt > 0 ? new Date(storedAt) : undefined,
    }
  })
}

export async function topicSettings(core: ClientCore, brokers: Brokers, topic: string): Promise<TopicSettings[]> {
  const found: TopicSettings[] = []
  for (const [brokerName, address] of brokers) {
    const config = await topicConfig(core, address, topic)
    if (config !== undefined) found.push(settingsOf(brokerName, config))
  }
  return found.toSorted((a, b) => compareText(a.brokerName, b.brokerName))
}

export async function updateTopic(core: ClientCore, brokers: Brokers, topic: string, changes: TopicChanges) {
  const found = await topicSettings(core, brokers, topic)
  if (found.length === 0) throw new ClientError('TOPIC_NOT_EXIST', `no broker has a topic ${topic}`)
  for (const settings of found) {
    await core.ask(brokers.get(settings.brokerName) ?? '', updateOf(topic, settings, changes), `change topic ${topic}`)
  }
}

export async function topicQueues(core: ClientCore, brokers: Brokers, topic: string): Promise<TopicQueue[]> {
  const found: TopicQueue[] = []
  for (const address of brokers.values()) found.push(...(await queuesOn(core, address, topic)))
  return found.toSorted((a, b) => compareText(a.brokerName, b.brokerName) || a.queueId - b.queueId)
}

export async function topicGroups(core: ClientCore, brokers: Brokers, topic: string): Promise<string[]> {
  const found = new Set<string>()
  const init = { code: RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, extFields: { topic } }
  for (const address of brokers.values()) {
    const answer = await core.ask(address, init, `groups of ${topic}`)
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    for (const group of asArray(body['groupList'])) found.add(asText(group))
  }
  return [...found].toSorted()
}

export async function createTopic(cluster: AdminCluster, name: string, options: TopicOptions): Promise<void> {
  const queues = options.queues ?? 4
  const extFields = {
    topic: checkTopic(name),
    defaultTopic: 'TBW102',
    readQueueNums: queues,
    writeQueueNums: queues,
    perm: options.perm ?? 6,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: options.order ?? false,
    attributes: featureChanges(options),
    force: false,
  }
  await cluster.everyBroker({ code: RequestCode.UPDATE_AND_CREATE_TOPIC, extFields }, `create topic ${name}`)
  cluster.core.routes.forget(name)
}

export async function deleteTopic(cluster: AdminCluster, name: string): Promise<void> {
  const { core } = cluster
  const extFields = { topic: checkTopic(name) }
  await cluster.everyBroker({ code: RequestCode.DELETE_TOPIC_IN_BROKER, extFields }, `delete topic ${name}`)
  const answers = await core.askEveryNameServer({ code: RequestCode.DELETE_TOPIC_IN_NAMESRV, extFields })
  const refusal = answers.find(({ code }) => code !== ResponseCode.SUCCESS)
  if (refusal !== undefined) throw errorOfAnswer(refusal.code, refusal.remark, `delete topic ${name}`)
  core.routes.forget(name)
}

export async function topicNames(core: ClientCore): Promise<string[]> {
  const answer = await core.askNameServer({ code: RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER })
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, 'list topics')
  const body = asObject(parseLenientJson(answer.body.toString('utf8')))
  return asArray(body['topicList']).map(asText).toSorted()
}
