import { Field, type HeaderView } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { ConsumeQueue } from '../store/index.ts'
import { type ConsumerGroup, consumerGroup } from './consumer-group.ts'
import type { ConsumerGroups } from './consumer-groups.ts'
import { defaultGroupConfig } from './group-config.ts'
import type { SqlExpressions } from './sql/index.ts'
import { everything, FilterCache, type MessageFilter, refuseExpressionType, tagFilter } from './subscription.ts'
import { Perm, type Topic } from './topic.ts'
import type { Topics } from './topics.ts'

const PULL_SUBSCRIPTION = 4
const STAR = 0x2a
/** RocketMQ's name for tools that look at messages: looking makes no group and no retry topic. */
const TOOLS_GROUP = 'TOOLS_CONSUMER'

/** What a pull is about and whether it may be served, read from the header in place (order of checks: broker.md 2.1). */
export class PullAdmission {
  readonly #topics: Topics
  readonly #groups: ConsumerGroups
  readonly #sql: SqlExpressions
  readonly #filters = new FilterCache()
  readonly #tools = consumerGroup(defaultGroupConfig(TOOLS_GROUP))

  constructor(options: { topics: Topics; groups: ConsumerGroups; sql: SqlExpressions }) {
    this.#sql = options.sql
    this.#topics = options.topics
    this.#groups = options.groups
  }

  /** @throws {BrokerError} TOPIC_NOT_EXIST, NO_PERMISSION */
  topicOf(header: HeaderView): Topic {
    const at = header.requireField(Field.topic)
    const topic = header.valueEscaped(at)
      ? this.#topics.find(header.text(at))
      : this.#topics.intern(header.valueBytes(at), header.valueStart(at), header.valueEnd(at))
    if (topic === undefined) throw new BrokerError('TOPIC_NOT_EXIST', `topic ${header.text(at)} does not exist`)
    if ((topic.perm & Perm.READ) === 0) throw new BrokerError('NO_PERMISSION', `topic ${topic.name} is not readable`)
    return topic
  }

  /** @throws {BrokerError} SUBSCRIPTION_NOT_EXIST, NO_PERMISSION, GROUP_NAME_INVALID */
  groupOf(header: HeaderView, sysFlag: number): ConsumerGroup {
    const at = header.requireField(Field.consumerGroup)
    const known = header.valueEscaped(at)
      ? this.#groups.find(header.text(at))
      : this.#groups.intern(header.valueBytes(at), header.valueStart(at), header.valueEnd(at))
    const group = known ?? this.#unknownGroup(header, sysFlag)
    if (!group.config.consumeEnable) throw new BrokerError('NO_PERMISSION', `group ${group.name} may not consume`)
    return group
  }

  /** @throws {BrokerError} SUBSCRIPTION_INVALID, SUBSCRIPTION_NOT_EXIST, SUBSCRIPTION_NOT_LATEST, FILTER_DISABLED, NO_PERMISSION */
  filterOf(
    connection: Connection,
    header: HeaderView,
    sysFlag: number,
    group: ConsumerGroup,
    topic: Topic,
  ): MessageFilter {
    if ((sysFlag & PULL_SUBSCRIPTION) !== 0) return this.#carriedFilter(header)
    return this.#registeredFilter(connection, group, topic, header)
  }

  /** A pull consumer that brings its subscription along needs no heartbeat to make its group known. */
  #unknownGroup(header: HeaderView, sysFlag: number): ConsumerGroup {
    const name = header.requireText(Field.consumerGroup)
    if (name === TOOLS_GROUP && (sysFlag & PULL_SUBSCRIPTION) !== 0) return this.#tools
    if ((sysFlag & PULL_SUBSCRIPTION) !== 0) return this.#groups.ensure(name)
    throw new BrokerError('SUBSCRIPTION_NOT_EXIST', `group ${name} has sent no heartbeat`)
  }

  /**
   * The subscription inside the pull decides alone, whatever version the last heartbeat had (remoting.md 11.4): a version raised
   * by a rebalance must not stop consumption until the next heartbeat.
   */
  #carriedFilter(header: HeaderView): MessageFilter {
    const typeAt = header.find(Field.expressionType)
    const at = header.find(Field.subscription)
    if (typeAt >= 0 && header.valueEnd(typeAt) > header.valueStart(typeAt) && !isTag(header, typeAt)) {
      const type = header.text(typeAt)
      return type === 'SQL92' ? this.#sql.of(at < 0 ? '' : header.text(at)) : refuseExpressionType(type)
    }
    if (at < 0) return everything
    if (header.valueEscaped(at)) return tagFilter(header.text(at))
    const bytes = header.valueBytes(at)
    const start = header.valueStart(at)
    const end = header.valueEnd(at)
    if (end === start || (end === start + 1 && bytes[start] === STAR)) return everything
    return this.#filters.of(bytes, start, end)
  }

  #registeredFilter(connection: Connection, group: ConsumerGroup, topic: Topic, header: HeaderView): MessageFilter {
    const subscription = this.#groups.subscription(group.name, topic.name, connection.id)
    if (subscription === undefined) {
      throw new BrokerError('SUBSCRIPTION_NOT_EXIST', `group ${group.name} has not subscribed to ${topic.name}`)
    }
    if (header.longClamped(header.requireField(Field.subVersion)) > subscription.version) {
      throw new BrokerError(
        'SUBSCRIPTION_NOT_LATEST',
        `the subscription of group ${group.name} to ${topic.name} is newer than its last heartbeat`,
      )
    }
    if (subscription.filter instanceof BrokerError) throw subscription.filter
    if (!group.config.consumeBroadcastEnable) {
      const member = this.#groups.member(group.name, connection.id)
      if (member?.messageModel === 'BROADCASTING') {
        throw new BrokerError('NO_PERMISSION', `group ${group.name} may not broadcast`)
      }
    }
    return subscription.filter
  }
}

/** @throws {BrokerError} INVALID_PARAMETER */
export function queueOf(topic: Topic, queueId: number): ConsumeQueue {
  const queue = queueId < topic.readQueues ? topic.queues[queueId] : undefined
  if (queue !== undefined) return queue
  throw new BrokerError(
    'INVALID_PARAMETER',
    `queueId[${queueId}] is illegal, topic:[${topic.name}] has readQueueNums:[${topic.readQueues}]`,
  )
}

/** The three letters TAG, the only expression type there was for years. */
function isTag(header: HeaderView, index: number): boolean {
  const bytes = header.valueBytes(index)
  const start = header.valueStart(index)
  return (
    header.valueEnd(index) - start === 3 &&
    bytes[start] === 0x54 &&
    bytes[start + 1] === 0x41 &&
    bytes[start + 2] === 0x47
  )
}
