import { ProtocolError } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import type { Rejoin } from './absent-members.ts'
import type { SqlExpressions } from './sql/index.ts'
import {
  hashOfTag,
  type MessageFilter,
  refuseExpressionType,
  type Subscription,
  tagFilter,
  tagsOf,
} from './subscription.ts'

export type ConsumeType = 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY' | 'CONSUME_POP'
export type MessageModel = 'BROADCASTING' | 'CLUSTERING'

export interface ConsumerData {
  group: string
  consumeType: string
  messageModel: string
  consumeFromWhere: string
  subscriptions: Subscription[]
}

/** A HEART_BEAT body (remoting.md 2B, 34), checked. */
export interface HeartbeatData {
  clientId: string
  producerGroups: string[]
  consumers: ConsumerData[]
  /** Hash of the subscriptions, 0 from clients without heartbeat v2. */
  fingerprint: number
  /** Heartbeat v2: subscriptions are left out because they did not change. */
  withoutSubscriptions: boolean
  /** What only our clients say of themselves. */
  instance: Instance | undefined
  /** Likewise: databases whose transactions this client can be asked about, many in one CHECK_TRANSACTIONS. */
  transactionDomains: string[]
}

/** One run of a program under a client id, and how long it may be away before others get its queues. */
export interface Instance extends Rejoin {
  /** Its own clock when it started, ms. Of two that live under one id the younger counts. */
  startedAt: number
}

/** Queues of somebody who is away are handled by nobody: not for longer than a day. */
const REJOIN_MS_MAX = 86_400_000

type Fields = Record<string, unknown>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** @throws {ProtocolError} FIELD_INVALID naming what is wrong */
export function fieldsOf(value: unknown, what: string): Fields {
  if (!isFields(value)) throw new ProtocolError('FIELD_INVALID', `${what} must be a JSON object`)
  return value
}

export function textOf(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw new ProtocolError('FIELD_INVALID', `${name} must be a text`)
  return value
}

export function listOf(fields: Fields, name: string): unknown[] {
  const value = fields[name] ?? []
  if (!Array.isArray(value)) throw new ProtocolError('FIELD_INVALID', `${name} must be a list`)
  return value
}

/** fastjson turns texts into numbers where a number belongs, and Go relies on it for `codeSet`. */
export function numberOf(value: unknown, fallback: number): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : fallback
}

/** Enums travel as their name, or as their position among `names`. */
function enumOf(value: unknown, names: readonly string[]): string {
  if (typeof value === 'string') return value
  return (typeof value === 'number' ? names[value] : undefined) ?? (names[0] as string)
}

const consumeTypes = ['CONSUME_ACTIVELY', 'CONSUME_PASSIVELY', 'CONSUME_POP']
const messageModels = ['BROADCASTING', 'CLUSTERING']
const startPositions = [
  'CONSUME_FROM_LAST_OFFSET',
  'CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST',
  'CONSUME_FROM_MIN_OFFSET',
  'CONSUME_FROM_MAX_OFFSET',
  'CONSUME_FROM_FIRST_OFFSET',
  'CONSUME_FROM_TIMESTAMP',
]

/**
 * A subscription that cannot be understood is kept with the reason: the rest of the heartbeat counts all the same.
 * @throws {ProtocolError} FIELD_INVALID
 */
export function subscriptionOf(value: unknown, sql: SqlExpressions): Subscription {
  const fields = fieldsOf(value, 'a subscription')
  const topic = textOf(fields, 'topic')
  const text = typeof fields['subString'] === 'string' ? fields['subString'] : '*'
  const given = typeof fields['expressionType'] === 'string' ? fields['expressionType'] : ''
  const expressionType = given === '' ? 'TAG' : given
  const tags = expressionType === 'TAG' ? tagsOf(text) : []
  const asked = listOf(fields, 'codeSet').map((code) => numberOf(code, 0) | 0)
  let filter: MessageFilter | BrokerError
  try {
    if (expressionType === 'TAG') filter = tagFilter(text, asked)
    else if (expressionType === 'SQL92') filter = sql.of(text)
    else refuseExpressionType(expressionType)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    filter = error
  }
  const codes = tags.map(hashOfTag)
  return { topic, expressionType, text, version: numberOf(fields['subVersion'], 0), filter, tags, codes }
}

function consumerOf(value: unknown, sql: SqlExpressions): ConsumerData {
  const fields = fieldsOf(value, 'an entry of consumerDataSet')
  return {
    group: textOf(fields, 'groupName'),
    consumeType: enumOf(fields['consumeType'], consumeTypes),
    messageModel: enumOf(fields['messageModel'] ?? 1, messageModels),
    consumeFromWhere: enumOf(fields['consumeFromWhere'], startPositions),
    subscriptions: listOf(fields, 'subscriptionDataSet').map((entry) => subscriptionOf(entry, sql)),
  }
}

function instanceOf(value: unknown): Instance | undefined {
  if (value === undefined || value === null) return undefined
  const fields = fieldsOf(value, 'instance')
  const wait = (name: string): number => Math.min(REJOIN_MS_MAX, Math.max(0, numberOf(fields[name], 0)))
  return {
    startedAt: numberOf(fields['startedAt'], 0),
    restartMs: wait('restartMs'),
    absenceMs: wait('absenceMs'),
  }
}

/** @throws {ProtocolError} FIELD_INVALID */
export function heartbeatOf(body: unknown, sql: SqlExpressions): HeartbeatData {
  const fields = fieldsOf(body, 'the heartbeat')
  return {
    clientId: textOf(fields, 'clientID'),
    producerGroups: listOf(fields, 'producerDataSet').map((entry) =>
      textOf(fieldsOf(entry, 'a producer'), 'groupName'),
    ),
    consumers: listOf(fields, 'consumerDataSet').map((entry) => consumerOf(entry, sql)),
    fingerprint: numberOf(fields['heartbeatFingerprint'], 0),
    withoutSubscriptions: fields['withoutSub'] === true,
    instance: instanceOf(fields['instance']),
    transactionDomains: listOf(fields, 'transactionDomains').map((domain) => {
      if (typeof domain === 'string') return domain
      throw new ProtocolError('FIELD_INVALID', 'transactionDomains must be a list of texts')
    }),
  }
}
