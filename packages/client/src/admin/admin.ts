import { parseOffsetMessageId } from '@tandemmq/protocol'
import { formatAddress } from '@tandemmq/remoting'
import { ClientError } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { BrokerData, MessageQueue, TopicRoute } from '../cluster/route.ts'
import { compareText } from '../cluster/route.ts'
import { committedOffset, offsetAt } from '../consumer/offset-requests.ts'
import { sortQueues } from '../consumer/queue/rebalance.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import type { ConnectionOptions } from '../options.ts'
import { checkGroup, checkTopic } from '../options.ts'
import type { KeyedCancellation, KeyedMove, TimerKey, TimerTime } from '../producer/timer-requests.ts'
import { cancelKey, rescheduleKey } from '../producer/timer-requests.ts'
import type { BrokerFigures } from './admin-brokers.ts'
import { brokerFigures } from './admin-brokers.ts'
import type { Brokers } from './admin-cluster.ts'
import { AdminCluster } from './admin-cluster.ts'
import type { DeadLetter, DeadLetterQuery, RedriveOptions, RedriveResult } from './admin-dead-letters.ts'
import { deadLetters, redrive } from './admin-dead-letters.ts'
import type { AllGroupSettings, GroupSettings } from './admin-groups.ts'
import { deleteGroup, groupConfig, groupNames, settingsOfConfig, writeGroup } from './admin-groups.ts'
import { type HeldGroup, heldGroups } from './admin-held-groups.ts'
import type { MessageRange, ResetPreview, ResetTarget } from './admin-history.ts'
import { checkedTarget, messagesInRange, previewOf } from './admin-history.ts'
import type { ConsumerInfo, DirectOutcome, GroupConnections } from './admin-members.ts'
import { consumeDirectly, consumerInfo, membersOf } from './admin-members.ts'
import type { KeyQuery } from './admin-messages.ts'
import { messageAtId, messageOfUniqueId, queryMessages, readMessageAt } from './admin-messages.ts'
import type { QueueOffsets, QueueProgress } from './admin-positions.ts'
import { groupProgress, offsetsOf } from './admin-positions.ts'
import { resetGroup } from './admin-reset.ts'
import type { TimerQuery, WaitingTimer } from './admin-timers.ts'
import { timersOf } from './admin-timers.ts'
import type { TopicChanges, TopicOptions, TopicQueue, TopicSettings } from './admin-topics.ts'
import {
  createTopic,
  deleteTopic,
  topicGroups,
  topicNames,
  topicQueues,
  topicSettings,
  updateTopic,
} from './admin-topics.ts'
import type { OpenTransaction, ResolvedTransaction, ResolveOptions } from './admin-transactions.ts'
import { openTransactions, resolvedTransactions, resolveTransaction } from './admin-transactions.ts'

export type AdminOptions = ConnectionOptions

/** Operator's view of a cluster. */
export class Admin {
  readonly #cluster: AdminCluster

  constructor(options: AdminOptions) {
    this.#cluster = new AdminCluster(options)
  }

  /** @throws {ClientError} CONNECT_FAILED when no name server answers: an operator wants to know at once */
  start(): Promise<void> {
    return this.#cluster.start()
  }

  close(): Promise<void> {
    return this.#core.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Creates the topic on every broker, or changes it; settings not named stay as they are. Of fewer queues than before,
   * those that hold messages are still read from, see {@link topicSettings}; an Apache broker hides them.
   * @throws {ClientError} OPTION_INVALID for a setting out of its range
   */
  createTopic(name: string, options: TopicOptions = {}): Promise<void> {
    return createTopic(this.#cluster, name, options)
  }

  /**
   * Changes a topic on every broker that has it; what is not given stays.
   * @throws {ClientError} TOPIC_NOT_EXIST, INVALID_PARAMETER
   */
  async updateTopic(name: string, changes: TopicChanges): Promise<void> {
    await updateTopic(this.#core, await this.#brokers(), checkTopic(name), changes)
    this.#core.routes.forget(name)
  }

  /** A topic's settings on each broker that has it, brokers sorted by name. */
  async topicSettings(name: string): Promise<TopicSettings[]> {
    return topicSettings(this.#core, await this.#brokers(), checkTopic(name))
  }

  /** Every queue of a topic with its positions and the time of its newest message: one request per broker. */
  async topicQueues(name: string): Promise<TopicQueue[]> {
    return topicQueues(this.#core, await this.#brokers(), checkTopic(name))
  }

  /** Groups that consume the topic now or have a position in it, sorted. */
  async topicGroups(name: string): Promise<string[]> {
    return topicGroups(this.#core, await this.#brokers(), checkTopic(name))
  }

  /** Deletes the topic with its messages from every broker. A topic that does not exist is not an error. */
  deleteTopic(name: string): Promise<void> {
    return deleteTopic(this.#cluster, name)
  }

  /** Names of all topics, the system's own included, sorted. */
  topics(): Promise<string[]> {
    return topicNames(this.#core)
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND */
  async queues(topic: string): Promise<MessageQueue[]> {
    return sortQueues((await this.#route(topic)).readQueues)
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND */
  async queueOffsets(topic: string): Promise<QueueOffsets[]> {
    return offsetsOf(this.#core, await this.queues(topic))
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
    await resetGroup(this.#core, await this.#route(topic), group, topic, to)
    return preview
  }

  /**
   * Messages of a topic by the time they were stored, oldest first.
   * @throws {ClientError} ROUTE_NOT_FOUND, INVALID_PARAMETER
   */
  async messages(range: MessageRange): Promise<ConsumedMessage[]> {
    return messagesInRange(this.#core, await this.queues(range.topic), range)
  }

  /**
   * @param id offset message id (32 or 56 hex digits with address and position) or, with `topic`, a unique message id
   * @returns undefined when it is not there (any more)
   */
  async messageById(id: string, topic?: string): Promise<ConsumedMessage | undefined> {
    const found =
      topic === undefined ? undefined : await messageOfUniqueId(this.#core, await this.#route(topic), topic, id)
    return found ?? messageAtId(this.#core, id)
  }

  /** The record at a position of one broker's log, half messages included; undefined when there is none. */
  async messageAt(brokerName: string, physicalOffset: bigint): Promise<ConsumedMessage | undefined> {
    const address = (await this.#brokers()).get(brokerName)
    if (address === undefined) throw new ClientError('ROUTE_NOT_FOUND', `the name servers know no broker ${brokerName}`)
    return readMessageAt(this.#core, address, physicalOffset, brokerName)
  }

  /** Messages with this key, newest of each broker first. */
  async messagesByKey(topic: string, key: string, query: KeyQuery = {}): Promise<ConsumedMessage[]> {
    const found = await queryMessages(this.#core, await this.#route(topic), { topic, key, isUnique: false }, query)
    // The index is a hash: other keys may have slipped in.
    return found.filter((message) => message.keys.includes(key) || message.messageId === key)
  }

  /** Who consumes as this group now; no members when nobody is connected. */
  async consumerConnections(group: string): Promise<GroupConnections> {
    return membersOf(this.#core, await this.#brokers(), checkGroup(group))
  }

  /** Names of all consumer groups the brokers know, sorted. */
  async groups(): Promise<string[]> {
    return groupNames(this.#core, await this.#brokers())
  }

  /** The brokers of the cluster now, sorted by name. */
  async brokers(): Promise<BrokerData[]> {
    this.#core.requireStarted()
    const brokers = await this.#core.routes.discover()
    return brokers.toSorted((a, b) => compareText(a.name, b.name))
  }

  /**
   * Figures of each broker, under the names of its metrics (docs/operations.md).
   * @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ
   */
  async brokerFigures(): Promise<BrokerFigures[]> {
    return brokerFigures(this.#core, await this.#brokers())
  }

  /** Creates the group on every broker, or changes what is given. Groups also come into being when a consumer joins. */
  async createGroup(name: string, settings: GroupSettings = {}): Promise<void> {
    checkGroup(name)
    for (const address of (await this.#brokers()).values()) await writeGroup(this.#core, address, name, settings)
  }

  /**
   * As {@link createGroup}, for a group that is there.
   * @throws {ClientError} GROUP_NOT_EXIST when no broker knows it
   */
  async updateGroup(name: string, settings: GroupSettings): Promise<void> {
    if ((await this.groupSettings(name)) === undefined) throw new ClientError('GROUP_NOT_EXIST', `no group ${name}`)
    await this.createGroup(name, settings)
  }

  /** Of the first broker that knows the group; undefined when none does. */
  async groupSettings(name: string): Promise<AllGroupSettings | undefined> {
    checkGroup(name)
    const config = await this.#cluster.firstAnswer((address) => groupConfig(this.#core, address, name))
    return config === undefined ? undefined : settingsOfConfig(config)
  }

  /**
   * Deletes the group from every broker. Its dead letters stay.
   * @param options.positions also forget how far it was. Default false
   */
  async deleteGroup(name: string, options: { positions?: boolean | undefined } = {}): Promise<void> {
    return deleteGroup(this.#cluster, checkGroup(name), options.positions ?? false)
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
    const work = options.work ?? false
    return this.#cluster.firstAnswer((address) => consumerInfo(this.#core, address, group, clientId, work))
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
    return groupProgress(this.#core, await this.#brokers(), checkGroup(group))
  }

  /**
   * Half messages nobody ended yet, oldest first per broker.
   * @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ
   */
  async transactions(limit = 1_000): Promise<OpenTransaction[]> {
    return openTransactions(this.#core, await this.#brokers(), limit)
  }

  /**
   * Which messages wait for an undecided transaction of their `orderBy`, by key, longest waiting first per broker.
   * @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ
   */
  async heldGroups(limit = 1_000): Promise<HeldGroup[]> {
    return heldGroups(this.#core, await this.#brokers(), limit)
  }

  /**
   * Half messages that were decided by hand, newest first; a broker keeps the last 10,000.
   * @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ
   */
  async resolvedTransactions(limit = 1_000): Promise<ResolvedTransaction[]> {
    return resolvedTransactions(this.#core, await this.#brokers(), limit)
  }

  /**
   * Ends a half message by hand, when its producer never will. The broker writes down who did it, when, what and why, before
   * it touches the message.
   * @param brokerName whose log `physicalOffset` is a position in; may be left out when only one broker has something open there
   * @throws {ClientError} INVALID_PARAMETER when several have; ROUTE_NOT_FOUND for a broker that is not there;
   *   REQUEST_NOT_SUPPORTED on Apache RocketMQ
   */
  async resolveTransaction(
    physicalOffset: bigint,
    decision: 'commit' | 'rollback',
    brokerName?: string,
    who: ResolveOptions = {},
  ): Promise<string> {
    return resolveTransaction(this.#core, await this.#brokers(), physicalOffset, decision, brokerName, who)
  }

  /**
   * Delayed messages that wait, by due time; pages are fetched as they are read.
   * @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ; INVALID_PARAMETER for a key without a topic
   */
  async *timers(query: TimerQuery = {}): AsyncGenerator<WaitingTimer, void, undefined> {
    yield* timersOf(this.#core, await this.#brokers(), query)
  }

  /** Takes back every delayed message of a key. @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ */
  async cancelTimers(target: TimerKey): Promise<KeyedCancellation> {
    checkTopic(target.topic)
    return cancelKey(this.#core, await this.#brokers(), target)
  }

  /** Moves every delayed message of a key. @throws {ClientError} as {@link cancelTimers}; MESSAGE_ILLEGAL beyond the horizon */
  async rescheduleTimers(target: TimerKey, time: TimerTime): Promise<KeyedMove> {
    checkTopic(target.topic)
    return rescheduleKey(this.#core, await this.#brokers(), target, time)
  }

  /**
   * Reads the dead letters of a group, oldest first per broker, those of now: `for await (const dead of admin.deadLetters('billing'))`.
   * Holds a page of them in memory. Nothing of it changes what the group or anybody else gets.
   * @throws {ClientError} ABORTED; NO_PERMISSION on an Apache broker whose dead letter topic is write-only
   */
  deadLetters(group: string, query: DeadLetterQuery = {}): AsyncGenerator<DeadLetter, void> {
    return deadLetters(this.#core, group, query)
  }

  /**
   * Sends dead letters back to their group, and to no other: each is delivered again as a first attempt, from its retry topic. What was
   * redriven before is left out, so an interrupted redrive is resumed by asking again. The dead letter itself stays readable with
   * `redriven: true` until retention takes it.
   * @throws {ClientError} REQUEST_NOT_SUPPORTED on Apache RocketMQ, unless `unrecorded` is set; ABORTED; INVALID_PARAMETER; what a broker answered
   */
  redrive(group: string, options: RedriveOptions = {}): Promise<RedriveResult> {
    return redrive(this.#core, group, options)
  }

  get #core(): ClientCore {
    return this.#cluster.core
  }

  #route(topic: string): Promise<TopicRoute> {
    return this.#cluster.route(topic)
  }

  #brokers(): Promise<Brokers> {
    return this.#cluster.brokers()
  }
}
