import { javaStringHash } from '@tandemmq/protocol'

/** Longest pause between two attempts to reach a broker again. */
export const RECONNECT_MAX_MS = 5_000

/** What a subscription says on the wire (SubscriptionData, remoting.md 1.8). */
export interface SubscriptionData {
  readonly topic: string
  readonly subString: string
  readonly tagsSet: readonly string[]
  readonly codeSet: readonly number[]
  readonly expressionType: 'TAG' | 'SQL92'
  readonly subVersion: number
  readonly classFilterMode: false
}

/** `'*'` everything, `tags` any of these, `sql` an SQL92 expression over properties (the tag is `TAGS`). */
export type Filter = '*' | { readonly tags: readonly string[] } | { readonly sql: string }

export function subscriptionData(topic: string, filter: Filter, version: number): SubscriptionData {
  const common = { topic, subVersion: version, classFilterMode: false as const }
  if (filter === '*') return { ...common, subString: '*', tagsSet: [], codeSet: [], expressionType: 'TAG' }
  if ('sql' in filter) {
    return { ...common, subString: filter.sql, tagsSet: [], codeSet: [], expressionType: 'SQL92' }
  }
  const tags = [...new Set(filter.tags)]
  return {
    ...common,
    subString: tags.join(' || '),
    tagsSet: tags,
    codeSet: [...new Set(tags.map(javaStringHash))],
    expressionType: 'TAG',
  }
}

export interface ConsumerData {
  readonly groupName: string
  readonly consumeType: 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY'
  readonly messageModel: 'BROADCASTING' | 'CLUSTERING'
  readonly consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET' | 'CONSUME_FROM_FIRST_OFFSET' | 'CONSUME_FROM_TIMESTAMP'
  readonly subscriptionDataSet: readonly SubscriptionData[]
  readonly unitMode: false
}

/** The groups of one client. */
export interface Membership {
  readonly producers: readonly string[]
  readonly consumers: readonly ConsumerData[]
  /** Databases whose transactions this client can be asked about. */
  readonly domains?: readonly string[] | undefined
  /** How long the consumers' queues wait for them when the connection breaks, ms. Default 0. */
  readonly absenceMs?: number | undefined
}

/** {@link RECONNECT_MAX_MS} and some: for so long a broker that restarted keeps our queues for us. */
const RESTART_MS = RECONNECT_MAX_MS + 1_000

/** @param startedAt this program's start by its clock, ms */
export function heartbeatBody(clientId: string, startedAt: number, membership: Membership): Buffer {
  const { absenceMs = 0, domains = [] } = membership
  return Buffer.from(
    JSON.stringify({
      clientID: clientId,
      consumerDataSet: membership.consumers,
      heartbeatFingerprint: 0,
      // Ours: stock brokers skip what they do not know.
      ...(membership.consumers.length > 0 && { instance: { absenceMs, restartMs: RESTART_MS, startedAt } }),
      ...(domains.length > 0 && { transactionDomains: domains }),
      producerDataSet: membership.producers.map((groupName) => ({ groupName })),
      withoutSub: false,
    }),
  )
}
