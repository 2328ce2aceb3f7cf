import { Field, fieldName, type HeaderView } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { BrokerError } from '../../broker-error.ts'
import type { ConsumerGroup } from '../consumer-group.ts'
import type { ConsumerGroups } from '../consumer-groups.ts'
import type { SqlExpressions } from '../sql/index.ts'
import { everything, FilterCache, type MessageFilter, refuseExpressionType } from '../subscription.ts'
import { Perm, type Topic } from '../topic.ts'
import type { Topics } from '../topics.ts'

const MESSAGES_MAX = 32
/** Beyond it a lease is a mistake: a day. */
export const INVISIBLE_MS_MAX = 86_400_000
/** Clients ask for 15 to 30 s. */
const POLL_MS_MAX = 300_000
/** A request that arrives so long after its own end finds nobody waiting (remoting.md 2B-POP). */
const LATE_MS = 500
const ANY_QUEUE = -1
const byKeyField = fieldName('orderByKey')
const marksBeginField = fieldName('marksBegin')

export type PopKind = 'pop' | 'peek' | 'notification'

/** Who asks for what; kept while it waits. */
export interface PopRequest {
  readonly kind: PopKind
  readonly connection: Connection
  readonly opaque: number
  readonly serialization: 0 | 1
  readonly group: ConsumerGroup
  readonly topic: Topic
  /** -1 = all of them, and the retry topic in any case. */
  readonly queueId: number
  readonly filter: MessageFilter
  readonly countMax: number
  readonly invisibleMs: number
  /** 0 = answer at once. */
  readonly pollMs: number
  /** Where a group begins that has no offset yet. */
  readonly fromEnd: boolean
  readonly isOrdered: boolean
  /** Ours, with `isOrdered`: the order of each key counts, not that of the queue. */
  readonly isByKey: boolean
  readonly attemptId: string
  readonly isLate: boolean
  /** Ours: the consumer says when it begins with a message that was delivered before. */
  readonly marksBegin: boolean
}

/** Reads and checks the requests 200050, 200052 and 200054 (order of checks: broker.md 6.2). */
export class PopAdmission {
  readonly #topics: Topics
  readonly #groups: ConsumerGroups
  readonly #sql: SqlExpressions
  readonly #now: () => number
  readonly #filters = new FilterCache()

  constructor(options: { topics: Topics; groups: ConsumerGroups; sql: SqlExpressions; now: () => number }) {
    this.#topics = options.topics
    this.#groups = options.groups
    this.#sql = options.sql
    this.#now = options.now
  }

  /**
   * @throws {BrokerError} TOPIC_NOT_EXIST, NO_PERMISSION, INVALID_PARAMETER, GROUP_NAME_INVALID, SUBSCRIPTION_INVALID, FILTER_DISABLED
   * @throws {ProtocolError} FIELD_MISSING, FIELD_INVALID
   */
  requestOf(kind: PopKind, connection: Connection, header: HeaderView): PopRequest {
    const topicName = header.requireText(Field.topic)
    const groupName = header.requireText(Field.consumerGroup)
    const queueId = header.requireInteger(Field.queueId)
    const topic = this.#topics.require(topicName)
    if ((topic.perm & Perm.READ) === 0) throw new BrokerError('NO_PERMISSION', `topic ${topic.name} is not readable`)
    if (queueId < ANY_QUEUE || queueId >= topic.readQueues) {
      const detail = `queueId[${queueId}] is illegal, topic:[${topic.name}] has readQueueNums:[${topic.readQueues}]`
      throw new BrokerError('INVALID_PARAMETER', detail)
    }
    const group = this.#groups.ensure(groupName)
    if (!group.config.consumeEnable) throw new BrokerError('NO_PERMISSION', `group ${group.name} may not consume`)
    const { opaque, serialization } = header
    const isPop = kind === 'pop'
    const pollMs = kind === 'peek' ? 0 : clamped(header.requireLong(Field.pollTime), POLL_MS_MAX)
    const orderAt = header.find(Field.order)
    const attemptAt = header.find(Field.attemptId)
    const byKeyAt = header.find(byKeyField)
    const marksAt = header.find(marksBeginField)
    return {
      ...{ kind, connection, opaque, serialization, group, topic, queueId, pollMs },
      filter: isPop ? this.#filterOf(header) : everything,
      countMax: kind === 'notification' ? 1 : countOf(header),
      invisibleMs: isPop ? invisibleTimeOf(header, 1) : 0,
      fromEnd: isPop && header.requireInteger(Field.initMode) === 1,
      isOrdered: orderAt >= 0 && header.flagOf(orderAt),
      isByKey: orderAt >= 0 && header.flagOf(orderAt) && byKeyAt >= 0 && header.flagOf(byKeyAt),
      attemptId: attemptAt < 0 ? '' : header.text(attemptAt),
      marksBegin: marksAt >= 0 && header.flagOf(marksAt),
      isLate: kind !== 'peek' && this.#now() - (header.requireLong(Field.bornTime) + pollMs) > LATE_MS,
    }
  }

  #filterOf(header: HeaderView): MessageFilter {
    const typeAt = header.find(Field.expType)
    const at = header.find(Field.exp)
    const type = typeAt < 0 ? '' : header.text(typeAt)
    const text = at < 0 ? '' : header.text(at)
    if (type === 'SQL92') return this.#sql.of(text)
    if (type !== '' && type !== 'TAG') refuseExpressionType(type)
    if (text === '' || text === '*') return everything
    const bytes = Buffer.from(text)
    return this.#filters.of(bytes, 0, bytes.length)
  }
}

/** @throws {BrokerError} INVALID_PARAMETER */
export function invisibleTimeOf(header: HeaderView, min: number): number {
  const invisibleMs = header.requireLong(Field.invisibleTime)
  if (invisibleMs >= min && invisibleMs <= INVISIBLE_MS_MAX) return invisibleMs
  throw new BrokerError('INVALID_PARAMETER', `invisibleTime must be ${min} to ${INVISIBLE_MS_MAX}, not ${invisibleMs}`)
}

function countOf(header: HeaderView): number {
  const count = header.requireInteger(Field.maxMsgNums)
  if (count <= MESSAGES_MAX) return Math.max(count, 1)
  throw new BrokerError('INVALID_PARAMETER', `pop message's num is greater than ${MESSAGES_MAX}`)
}

const clamped = (value: number, max: number): number => Math.min(Math.max(value, 0), max)
