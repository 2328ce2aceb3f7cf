import { BrokerError } from '../broker-error.ts'
import type { Traffic } from '../traffic.ts'
import type { GroupConfig } from './group-config.ts'
import type { Instance } from './heartbeat.ts'
import type { Member } from './member-table.ts'
import type { Subscription } from './subscription.ts'

export interface ConsumerMember extends Member {
  consumeType: string
  messageModel: string
  consumeFromWhere: string
  /** Undefined for clients that are not ours. */
  instance: Instance | undefined
  /** Heartbeat v2: hash of the subscriptions the client last sent in full, 0 when it sends them always. */
  fingerprint: number
  /** By topic; each member keeps its own, so that differing members do not overwrite each other (broker.md 7.4). */
  subscriptions: Map<string, Subscription>
}

/** A group the broker knows, with or without live members. */
export interface ConsumerGroup {
  readonly name: string
  readonly nameBytes: Buffer
  config: GroupConfig
  /** Handed to its members, by topic. */
  readonly delivered: Map<string, Traffic>
}

export function consumerGroup(config: GroupConfig): ConsumerGroup {
  const { groupName: name } = config
  return { name, nameBytes: Buffer.from(name), config, delivered: new Map() }
}

export interface ClientVersion {
  language: number
  version: number
}

/**
 * Two programs under one client id would both take its queues. The younger one counts, and the other one's connection is closed:
 * it comes back, and is told here.
 * @throws {BrokerError} CLIENT_ID_TAKEN
 */
export function supersede(other: ConsumerMember, mine: Instance | undefined): void {
  if (mine === undefined || other.instance === undefined || other.instance.startedAt === mine.startedAt) return
  if (other.instance.startedAt > mine.startedAt) {
    const { remoteAddress, remotePort } = other.connection
    const younger = `a program that started later, at ${remoteAddress}:${remotePort}, is this member now`
    throw new BrokerError('CLIENT_ID_TAKEN', `client id ${other.clientId}: ${younger}`)
  }
  other.connection.destroy()
}
