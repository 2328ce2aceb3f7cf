import type { JsonObject } from './json.ts'
import { asNumber, asText } from './json.ts'
import type { SubscriptionConflict } from './subscription-conflicts.ts'

export interface QueueOffsets {
  readonly brokerName: string
  readonly queueId: number
  /** First message still there. */
  readonly minOffset: bigint
  /** One behind the last message. */
  readonly maxOffset: bigint
}

/** Where a group is in one queue. */
export interface QueueProgress {
  readonly topic: string
  readonly brokerName: string
  readonly queueId: number
  /** One behind the last message. */
  readonly maxOffset: bigint
  /** The next message of the group. */
  readonly committedOffset: bigint
}

export interface MemberConnection {
  readonly clientId: string
  readonly address: string
  readonly language: string
  readonly version: number
}

export interface GroupConnections {
  readonly members: readonly MemberConnection[]
  readonly messageModel: string
  readonly subscriptions: Readonly<Record<string, string>>
  /** Topics of which the members want different messages; Apache brokers do not tell. */
  readonly conflicts: readonly SubscriptionConflict[]
}

/** A half message nobody ended yet. Fields as the broker tells them; times in ms. */
export interface OpenTransaction {
  readonly brokerName: string
  readonly transactionId: string
  readonly messageId: string
  readonly group: string
  readonly topic: string
  readonly keys: string
  /** Position in the broker's log. */
  readonly physicalOffset: bigint
  readonly storedAt: Date
  readonly ageMs: number
  /** Property TANDEM_DOMAIN: only who announced it is asked. */
  readonly domain: string | undefined
  /** Check-backs that reached a producer. */
  readonly asked: number
  /** Check-backs that were answered. */
  readonly attempts: number
  readonly state: string
  /** Messages of its `orderBy` that wait for it; 0 while it waits for an earlier one itself. */
  readonly holdsBack: number
}

/** A half message that an operator decided by hand. */
export interface ResolvedTransaction {
  readonly brokerName: string
  readonly at: Date
  readonly decision: string
  /** What the half message was or became: `committed`, `rolledBack`, `pending`, `unknown`. */
  readonly outcome: string
  /** Address the request came from. */
  readonly client: string
  /** Who, and why, as they say; empty when they did not. */
  readonly by: string
  readonly reason: string
  readonly physicalOffset: bigint
  readonly transactionId: string
  readonly messageId: string
  readonly group: string
  readonly topic: string
  readonly keys: string
  readonly domain: string | undefined
}

export function progressOf(queue: JsonObject, offsets: JsonObject): QueueProgress {
  return {
    topic: asText(queue['topic']),
    brokerName: asText(queue['brokerName']),
    queueId: asNumber(queue['queueId']),
    maxOffset: BigInt(asNumber(offsets['brokerOffset'])),
    committedOffset: BigInt(asNumber(offsets['consumerOffset'])),
  }
}

export function memberOf(entry: JsonObject): MemberConnection {
  return {
    clientId: asText(entry['clientId']),
    address: asText(entry['clientAddr']),
    language: asText(entry['language']),
    version: asNumber(entry['version']),
  }
}

export function transactionOf(entry: JsonObject, brokerName: string): OpenTransaction {
  return {
    brokerName,
    transactionId: asText(entry['transactionId']),
    messageId: asText(entry['messageId']),
    group: asText(entry['group']),
    topic: asText(entry['topic']),
    keys: asText(entry['keys']),
    physicalOffset: BigInt(asNumber(entry['physicalOffset'])),
    storedAt: new Date(asNumber(entry['storedAt'])),
    ageMs: asNumber(entry['ageMs']),
    domain: entry['domain'] === undefined ? undefined : asText(entry['domain']),
    asked: asNumber(entry['asked']),
    attempts: asNumber(entry['attempts']),
    state: asText(entry['state']),
    holdsBack: asNumber(entry['holdsBack']),
  }
}

export function resolvedOf(entry: JsonObject, brokerName: string): ResolvedTransaction {
  const text = (name: string): string => asText(entry[name])
  return {
    brokerName,
    at: new Date(asNumber(entry['at'])),
    ...{ decision: text('decision'), outcome: text('outcome') },
    ...{ client: text('client'), by: text('by'), reason: text('reason') },
    physicalOffset: BigInt(asNumber(entry['physicalOffset'])),
    ...{ transactionId: text('transactionId'), messageId: text('messageId') },
    ...{ group: text('group'), topic: text('topic'), keys: text('keys') },
    domain: entry['domain'] === undefined ? undefined : text('domain'),
  }
}
