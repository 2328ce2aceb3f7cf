import type { CommandInit } from '@tandemmq/protocol'
import {
  parseLenientJson,
  parseOffsetMessageId,
  RecordView,
  RequestCode,
  ResponseCode,
  TandemRequestCode,
} from '@tandemmq/protocol'
import { formatAddress } from '@tandemmq/remoting'
import type { AllGroupSettings, ConsumerInfo, DirectOutcome, GroupSettings } from './admin-groups.ts'
import { consumeDirectly, consumerInfo, groupConfig, settingsOfConfig, writeGroup } from './admin-groups.ts'
import type { MessageRange, ResetPreview, ResetTarget } from './admin-history.ts'
import { messagesInRange, previewOf, targetOffset } from './admin-history.ts'
import type { GroupConnections, MemberConnection, OpenTransaction, QueueOffsets, QueueProgress } from './admin-views.ts'
import { memberOf, progressOf, transactionOf } from './admin-views.ts'
import { ClientCore } from './client-core.ts'
import { ClientError, errorOfAnswer } from './client-error.ts'
import { ConsumedMessage } from './consumed-message.ts'
import type { JsonObject } from './json.ts'
import { asArray, asObject, asText } from './json.ts'
import { commitInit, committedOffset, maxOffset, minOffset, offsetAt } from './offset-requests.ts'
import type { ConnectionOptions } from './options.ts'
import { checkGroup, checkTopic, settingsOf } from './options.ts'
import { sortQueues } from './rebalance.ts'
import { readMessages } from './record-reader.ts'
import type { BrokerData, MessageQueue, TopicRoute } from './route.ts'
import { compareText } from './route.ts'
import type { SubscriptionConflict } from './subscription-conflicts.ts'
import { conflictsOfBody } from './subscription-conflicts.ts'

export type AdminOptions = ConnectionOptions

export interface TopicOptions {
  /** Queues per broker. Default 4. */
  queues?: number | undefined
  /** 4 read, 2 write. Default 6. */
  perm?: number | undefined
  /** Default false. */
  order?: boolean | undefined
}

export interface KeyQuery {
  /** Default 32; a broker gives 64 at most. */
  max?: number | undefined
  from?: Date | undefined
  to?: Date | undefined
}

const NAMESERVER_TOPIC_DELETE = RequestCode.DELETE_TOPIC_IN_NAMESRV
const RESET_TO_LAST = -1
const TRANSACTIONS_MAX = 10_000

/** Operator's view of a cluster. */
export class Admin {
  readonly #core: ClientCore

  constructor(options: AdminOptions) {
    this.#core = new ClientCore(settingsOf(options), {
      membership: () => ({ producers: [], consumers: [] }),
      onRequest: () => false,
    })
  }

  /** @throws {ClientError} CONNECT_FAILED when no name server answers: an operator wants to know at once */
  async start(): Promise<void> {
    if (this.#core.isStarted) return
    this.#core.start()
    await this.#core.routes.discover()
  }

  close(): Promise<void> {
    return this.#core.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Creates the topic on every broker, or changes it. Fewer queues than before hide messages from consumers. */
  async createTopic(name: string, options: TopicOptions = {}): Promise<void> {
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
      attributes: '',
      force: false,
    }
    await this.#everyBroker({ code: RequestCode.UPDATE_AND_CREATE_TOPIC, extFields }, `create topic ${name}`)
    this.#core.routes.forget(name)
  }

  /** Deletes the topic with its messages from every broker. A topic that does not exist is not an error. */
  async deleteTopic(name: string): Promise<void> {
    const extFields = { topic: checkTopic(name) }
    await this.#everyBroker({ code: RequestCode.DELETE_TOPIC_IN_BROKER, extFields }, `delete topic ${name}`)
    const answers = await this.#core.askEveryNameServer({ code: NAMESERVER_TOPIC_DELETE, extFields })
    const refusal = answers.find(({ code }) => code !== ResponseCode.SUCCESS)
    if (refusal !== undefined) throw errorOfAnswer(refusal.code, refusal.remark, `delete topic ${name}`)
    this.#core.routes.forget(name)
  }

  /** Names of all topics, the system's own included, sorted. */
  async topics(): Promise<string[]> {
    const answer = await this.#core.askNameServer({ code: RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER })
    if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, 'list topics')
    return asArray(jsonOf(answer.body)['topicList']).map(asText).toSorted()
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND */
  async queues(topic: string): Promise<MessageQueue[]> {
    return sortQueues((await this.#route(topic)).readQueues)
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND */
  async queueOffsets(topic: string): Promise<QueueOffsets[]> {
    const queues = await this.queues(topic)
    return Promise.all(
      queues.map(async (queue) => {
        const [min, max] = await Promise.all([minOffset(this.#core, queue), maxOffset(this.#core, queue)])
        const { brokerName, queueId } = queue
        return { brokerName, queueId, minOffset: BigInt(min), maxOffset: BigInt(max) }
      }),
    )
  }

  /** Offset of the first message stored at or after `time`; the max offset when all are older. */
  async searchOffset(queue: MessageQueue, time: Date): Promise<bigint> {
    await this.#route(queue.topic)
    return BigInt(await offsetAt(this.#core, queue, time))
  }

  /** A group's position; undefined when it never committed. */
  async committedOffset(group: string, queue: MessageQueue): Promise<bigint | undefined> {
    await this.#route(queue.topic)
    const offset = await committedOffset(this.#core, checkGroup(group), queue)
    return offset === undefined ? undefined : BigInt(offset)
  }

  /**
   * Moves a group in all queues of a topic, also while it is running.
   * @param to an instant means the first message stored at or after it
   * @throws {ClientError} GROUP_NOT_EXIST, ROUTE_NOT_FOUND, INVALID_PARAMETER
   */
  async resetOffset(group: string, topic: string, to: ResetTarget): Promise<void> {
    await this.resetOffsets(group, topic, to)
  }

  /**
   * What {@link resetOffset} would do now, without doing it: per queue how many messages would be delivered again or skipped, the
   * first and the last of them. Messages on their way through the group's retry topic are not touched by a reset and not counted.
   * @throws {ClientError} ROUTE_NOT_FOUND, INVALID_PARAMETER
   */
  async previewReset(group: string, topic: string, to: ResetTarget): Promise<ResetPreview> {
    checkGroup(group)
    return previewOf(this.#core, group, topic, await this.queues(topic), checkedTarget(to))
  }

  /**
   * As {@link resetOffset}.
   * @returns the preview taken right before, i.e. what is delivered again or skipped; a running group may have come further by then
   * @throws {ClientError} GROUP_NOT_EXIST, ROUTE_NOT_FOUND, INVALID_PARAMETER
   */
  async resetOffsets(group: string, topic: string, to: ResetTarget): Promise<ResetPreview> {
    const preview = await this.previewReset(group, topic, to)
    await this.#reset(group, topic, to)
    return preview
  }

  /**
   * Messages of a topic by the time they were stored, oldest first.
   * @throws {ClientError} ROUTE_NOT_FOUND, INVALID_PARAMETER
   */
  async messages(range: MessageRange): Promise<ConsumedMessage[]> {
    return messagesInRange(this.#core, await this.queues(range.topic), range)
  }

  async #reset(group: string, topic: string, to: ResetTarget): Promise<void> {
    const route = await this.#route(topic)
    const timestamp = to === 'last' ? RESET_TO_LAST : to === 'first' ? 0 : to.getTime()
    const extFields = { topic, group, timestamp, isForce: true, queueId: -1, offset: -1 }
    const init = { code: RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, extFields }
    for (const { name, address } of route.brokers.values()) {
      if (address === undefined) continue
      const answer = await this.#core.request(address, init)
      if (answer.code === ResponseCode.CONSUMER_NOT_ONLINE) await this.#resetOffline(group, route, name, to)
      else if (answer.code !== ResponseCode.SUCCESS) {
        throw errorOfAnswer(answer.code, answer.remark, `reset ${group} in ${topic}`)
      }
    }
  }

  /**
   * @param id offset message id (32 or 56 hex digits with address and position) or, with `topic`, a unique message id
   * @returns undefined when it is not there (any more)
   */
  async messageById(id: string, topic?: string): Promise<ConsumedMessage | undefined> {
    if (topic !== undefined) {
      const found = await this.#query(topic, id, true, { max: 32 })
      const exact = found.find((message) => message.messageId === id)
      if (exact !== undefined) return exact
    }
    return this.#messageAt(id)
  }

  /** Messages with this key, newest of each broker first. */
  async messagesByKey(topic: string, key: string, query: KeyQuery = {}): Promise<ConsumedMessage[]> {
    const found = await this.#query(topic, key, false, query)
    // The index is a hash: other keys may have slipped in.
    return found.filter((message) => message.keys.includes(key) || message.messageId === key)
  }

  /** Who consumes as this group now; no members when nobody is connected. */
  async consumerConnections(group: string): Promise<GroupConnections> {
    const extFields = { consumerGroup: checkGroup(group) }
    const init = { code: RequestCode.GET_CONSUMER_CONNECTION_LIST, extFields }
    const members = new Map<string, MemberConnection>()
    const subscriptions: Record<string, string> = {}
    const conflicts: SubscriptionConflict[] = []
    let messageModel = ''
    for (const address of (await this.#brokers()).values()) {
      const answer = await this.#core.request(address, init)
      if (answer.code === ResponseCode.CONSUMER_NOT_ONLINE) continue
      if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, `members of ${group}`)
      const body = jsonOf(answer.body)
      messageModel = asText(body['messageModel'])
      conflicts.push(...conflictsOfBody(body))
      for (const entry of asArray(body['connectionSet'])) {
        const member = memberOf(asObject(entry))
        members.set(member.clientId, member)
      }
      for (const [topic, data] of Object.entries(asObject(body['subscriptionTable']))) {
        subscriptions[topic] = asText(asObject(data)['subString'])
      }
    }
    return { members: [...members.values()], messageModel, subscriptions, conflicts }
  }

  /** Names of all consumer groups the brokers know, sorted. */
  async groups(): Promise<string[]> {
    const names = new Set<string>()
    for (const address of (await this.#brokers()).values()) {
      const answer = await this.#core.ask(
        address,
        { code: RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG },
        'list groups',
      )
      for (const name of Object.keys(asObject(jsonOf(answer.body)['subscriptionGroupTable']))) names.add(name)
    }
    return [...names].toSorted()
  }

  /** The brokers of the cluster now, sorted by name. */
  async brokers(): Promise<BrokerData[]> {
    this.#core.requireStarted()
    const brokers = await this.#core.routes.discover()
    return brokers.toSorted((a, b) => compareText(a.name, b.name))
  }

  /** Creates the group on every broker, or changes what is given. Groups also come into being when a consumer joins. */
  async createGroup(name: string, settings: GroupSettings = {}): Promise<void> {
    checkGroup(name)
    for (const address of (await this.#brokers()).values()) await writeGroup(this.#core, address, name, settings)
  }

  /** Of the first broker that knows the group; undefined when none does. */
  async groupSettings(name: string): Promise<AllGroupSettings | undefined> {
    checkGroup(name)
    for (const address of (await this.#brokers()).values()) {
      const config = await groupConfig(this.#core, address, name)
      if (config !== undefined) return settingsOfConfig(config)
    }
    return undefined
  }

  /**
   * Deletes the group from every broker. Its dead letters stay.
   * @param options.positions also forget how far it was. Default false
   */
  async deleteGroup(name: string, options: { positions?: boolean | undefined } = {}): Promise<void> {
    const extFields = { groupName: checkGroup(name), cleanOffset: options.positions ?? false }
    await this.#everyBroker({ code: RequestCode.DELETE_SUBSCRIPTIONGROUP, extFields }, `delete group ${name}`)
  }

  /**
   * Asks a running consumer about itself.
   * @param options.work also what its handlers are doing. Default false
   * @returns undefined when no broker has such a client in the group
   * @throws {ClientError} SYSTEM_ERROR when the client did not answer in time
   */
  async consumerInfo(
    group: string,
    clientId: string,
    options: { work?: boolean | undefined } = {},
  ): Promise<ConsumerInfo | undefined> {
    checkGroup(group)
    for (const address of (await this.#brokers()).values()) {
      const info = await consumerInfo(this.#core, address, group, clientId, options.work ?? false)
      if (info !== undefined) return info
    }
    return undefined
  }

  /**
   * Lets a running consumer handle one message now, beside what its group consumes: nothing is committed or given back.
   * @throws {ClientError} SYSTEM_ERROR when the client is not there or has no handler of the topic
   */
  async consumeDirectly(group: string, clientId: string, message: ConsumedMessage): Promise<DirectOutcome> {
    checkGroup(group)
    const { topic, offsetMessageId } = message
    // The broker that stored it: an offset message id holds the address.
    const { host, port } = parseOffsetMessageId(offsetMessageId)
    const question = { group, clientId, offsetMessageId, topic }
    return consumeDirectly(this.#core, formatAddress(host, port), question)
  }

  /** How far a group is in every queue it subscribes to or has a position in, its retry topic included. */
  async progress(group: string): Promise<QueueProgress[]> {
    const extFields = { consumerGroup: checkGroup(group) }
    const progress: QueueProgress[] = []
    for (const address of (await this.#brokers()).values()) {
      const answer = await this.#core.ask(
        address,
        { code: RequestCode.GET_CONSUME_STATS, extFields },
        `progress of ${group}`,
      )
      for (const [queue, offsets] of Object.entries(asObject(jsonOf(answer.body)['offsetTable']))) {
        progress.push(progressOf(asObject(parseLenientJson(queue)), asObject(offsets)))
      }
    }
    return progress
  }

  /**
   * Half messages nobody ended yet, oldest first per broker.
   * @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ
   */
  async transactions(limit = 1_000): Promise<OpenTransaction[]> {
    const init = { code: TandemRequestCode.LIST_TRANSACTIONS, extFields: { limit } }
    const open: OpenTransaction[] = []
    for (const [brokerName, address] of await this.#brokers()) {
      const answer = await this.#core.ask(address, init, 'list transactions')
      for (const entry of asArray(jsonOf(answer.body)['transactions'])) {
        open.push(transactionOf(asObject(entry), brokerName))
      }
    }
    return open.slice(0, limit)
  }

  /**
   * Ends a half message by hand, when its producer never will.
   * @param brokerName whose log `physicalOffset` is a position in; may be left out when only one broker has something open there
   * @throws {ClientError} INVALID_PARAMETER when several have; ROUTE_NOT_FOUND for a broker that is not there;
   *   REQUEST_NOT_SUPPORTED on Apache RocketMQ
   */
  async resolveTransaction(
    physicalOffset: bigint,
    decision: 'commit' | 'rollback',
    brokerName?: string,
  ): Promise<string> {
    const brokers = await this.#brokers()
    const name = brokerName ?? (await this.#brokerOfTransaction(physicalOffset, [...brokers.keys()]))
    const address = name === undefined ? undefined : brokers.get(name)
    if (name === undefined) return 'unknown'
    if (address === undefined) throw new ClientError('ROUTE_NOT_FOUND', `the name servers know no broker ${name}`)
    const body = Buffer.from(JSON.stringify({ physicalOffset: Number(physicalOffset), decision }))
    const init = { code: TandemRequestCode.RESOLVE_TRANSACTION, body }
    const answer = await this.#core.ask(address, init, 'resolve a transaction')
    return asText(jsonOf(answer.body)['outcome'])
  }

  /** Positions are those of one broker's log: the same number means different messages on two. */
  async #brokerOfTransaction(physicalOffset: bigint, names: readonly string[]): Promise<string | undefined> {
    if (names.length === 1) return names[0]
    const open = await this.transactions(TRANSACTIONS_MAX)
    const holders = open.filter((one) => one.physicalOffset === physicalOffset).map((one) => one.brokerName)
    if (holders.length <= 1) return holders[0]
    const which = holders.join(' and ')
    throw new ClientError(
      'INVALID_PARAMETER',
      `${which} both have a half message at ${physicalOffset}: name the broker`,
    )
  }

  #route(topic: string): Promise<TopicRoute> {
    return this.#core.routes.load(checkTopic(topic))
  }

  /** Brokers of the cluster by name: asked anew, because operators act on what is there now. */
  async #brokers(): Promise<Map<string, string>> {
    this.#core.requireStarted()
    const addresses = new Map<string, string>()
    for (const { name, address } of await this.#core.routes.discover()) {
      if (address !== undefined) addresses.set(name, address)
    }
    if (addresses.size === 0) throw new ClientError('ROUTE_NOT_FOUND', 'the name servers know no broker')
    return addresses
  }

  async #everyBroker(init: CommandInit, doing: string): Promise<void> {
    for (const address of (await this.#brokers()).values()) await this.#core.ask(address, init, doing)
  }

  /** A stock broker resets running groups only; a stopped one is moved by committing for it. */
  async #resetOffline(group: string, route: TopicRoute, brokerName: string, to: ResetTarget) {
    for (const queue of route.readQueues.filter((one) => one.brokerName === brokerName)) {
      const target = await targetOffset(this.#core, queue, to)
      await this.#core.ask(this.#core.brokerAddress(brokerName), commitInit(group, queue, target), `reset ${group}`)
    }
  }

  async #query(topic: string, key: string, isUnique: boolean, query: KeyQuery): Promise<ConsumedMessage[]> {
    const route = await this.#route(topic)
    const extFields = {
      topic,
      key,
      maxNum: query.max ?? 32,
      beginTimestamp: query.from?.getTime() ?? 0,
      endTimestamp: query.to?.getTime() ?? Number.MAX_SAFE_INTEGER,
      _UNIQUE_KEY_QUERY: isUnique,
    }
    const found: ConsumedMessage[] = []
    for (const { name, address } of route.brokers.values()) {
      if (address === undefined) continue
      const answer = await this.#core.request(address, { code: RequestCode.QUERY_MESSAGE, extFields })
      if (answer.code === ResponseCode.QUERY_NOT_FOUND) continue
      if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, `query ${topic}`)
      readMessages(answer.body, name, '', (message) => void found.push(message))
    }
    return found
  }

  async #messageAt(id: string): Promise<ConsumedMessage | undefined> {
    let place: ReturnType<typeof parseOffsetMessageId>
    try {
      place = parseOffsetMessageId(id)
    } catch {
      return undefined
    }
    // A unique id is as long: where an offset id has the port, it has process number and a hash, which no port is as large as.
    if (place.port < 1 || place.port > 65_535) return undefined
    const init = { code: RequestCode.VIEW_MESSAGE_BY_ID, extFields: { offset: place.physicalOffset } }
    const answer = await this.#core.request(formatAddress(place.host, place.port), init)
    const view = new RecordView()
    if (answer.code !== ResponseCode.SUCCESS || !view.at(answer.body, 0)) return undefined
    return new ConsumedMessage(answer.body, 0, view, '', '')
  }
}

function checkedTarget(to: ResetTarget): ResetTarget {
  if (to === 'first' || to === 'last' || (to instanceof Date && !Number.isNaN(to.getTime()))) return to
  throw new ClientError('INVALID_PARAMETER', `a group is moved to 'first', 'last' or a Date, not ${String(to)}`)
}

function jsonOf(body: Buffer): JsonObject {
  return asObject(parseLenientJson(body.toString('utf8')))
}
