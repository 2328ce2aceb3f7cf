import { groupNameProblem, retryTopic } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import { AbsentMembers } from './absent-members.ts'
import { ByteTable } from './byte-table.ts'
import {
  type ClientVersion,
  type ConsumerGroup,
  consumerGroup,
  type ConsumerMember,
  supersede,
} from './consumer-group.ts'
import { defaultGroupConfig, type GroupConfig } from './group-config.ts'
import { knownRetryPolicy, retryDelayMs, type RetryPolicy } from './group-retry-policy.ts'
import type { ConsumerData, Instance } from './heartbeat.ts'
import { MemberTable } from './member-table.ts'
import { MembershipNotices } from './membership-notices.ts'
import { type Journal, storeNow, storeSoon } from './state-table.ts'
import type { Subscription } from './subscription.ts'
import { conflictsOf, newest, sameInterest, type SubscriptionConflict } from './subscription-conflicts.ts'
import type { Topics } from './topics.ts'

const TABLE = 'groups'

type Entry = { put: GroupConfig } | { delete: string }

/** Consumer groups: their settings, kept in the journal table `groups`, and who is a member right now. */
export class ConsumerGroups {
  readonly #clock: Clock
  readonly #journal: Journal
  readonly #topics: Topics
  readonly #byName = new Map<string, ConsumerGroup>()
  readonly #byBytes = new ByteTable<ConsumerGroup>()
  readonly #members: MemberTable<ConsumerMember>
  readonly #absent: AbsentMembers
  readonly #conflicts = new Map<string, readonly SubscriptionConflict[]>()
  readonly #notices: MembershipNotices
  /** Set by who keeps something for a member: it has left, and nobody waits for it. */
  onGone: (group: string, clientId: string) => void = () => {}
  /** Set by who holds questions of members: one says that it leaves, on this connection. */
  onFarewell: (group: string, connection: Connection) => void = () => {}
  #stored: Promise<void> = Promise.resolve()

  /**
   * Reads the journal's table.
   * @param options.channelExpiryMs ms without heartbeat after which a member is gone, default 120,000, Infinity allowed
   * @param options.memberGraceMs longest wait for members of before a restart, default what each asked for
   */
  constructor(options: {
    clock: Clock
    journal: Journal
    topics: Topics
    channelExpiryMs?: number
    memberGraceMs?: number | undefined
  }) {
    this.#clock = options.clock
    this.#journal = options.journal
    this.#topics = options.topics
    this.#topics.knowsGroup = (group) => this.#byName.has(group)
    const { clock, channelExpiryMs } = options
    this.#notices = new MembershipNotices({
      clock,
      members: (group) => this.members(group),
      isWanted: (group) => this.#byName.get(group)?.config.notifyConsumerIdsChangedEnable !== false,
    })
    this.#members = new MemberTable({
      clock,
      ...(channelExpiryMs === undefined ? {} : { channelExpiryMs }),
      onLeft: (group, member, isFarewell) => {
        this.#absent.left(group, member.clientId, isFarewell)
        this.#onChange(group)
      },
    })
    this.#absent = new AbsentMembers({
      clock,
      journal: options.journal,
      graceMs: options.memberGraceMs,
      onGone: (group, clientId) => {
        this.onGone(group, clientId)
        this.#notices.changed(group)
      },
    })
    this.#journal.register(TABLE, {
      apply: (entry) => this.#apply(entry as Entry),
      snapshot: () => [...this.#byName.values()].map(({ config }) => ({ put: config })),
    })
  }

  find(name: string): ConsumerGroup | undefined {
    return this.#byName.get(name)
  }

  /** As {@link find} for UTF-8 bytes; allocates nothing. */
  intern(bytes: Buffer, start: number, end: number): ConsumerGroup | undefined {
    return this.#byBytes.find(bytes, start, end)
  }

  list(): ConsumerGroup[] {
    return [...this.#byName.values()]
  }

  /** @throws {BrokerError} GROUP_NOT_EXIST */
  require(name: string): ConsumerGroup {
    const group = this.#byName.get(name)
    if (group === undefined) throw new BrokerError('GROUP_NOT_EXIST', `group ${name} does not exist`)
    return group
  }

  /**
   * The group, created with default settings when unknown; its retry topic exists afterwards.
   * @throws {BrokerError} GROUP_NAME_INVALID
   */
  ensure(name: string): ConsumerGroup {
    const known = this.#byName.get(name)
    if (known === undefined) return this.configure(defaultGroupConfig(name))
    this.#topics.ensure(retryTopic(name), known.config.retryQueueNums)
    return known
  }

  /** Creates the group or replaces its settings. @throws {BrokerError} GROUP_NAME_INVALID; TOPIC_NOT_EXIST without room for its retry topic */
  configure(config: GroupConfig): ConsumerGroup {
    const problem = groupNameProblem(config.groupName)
    if (problem !== undefined) throw new BrokerError('GROUP_NAME_INVALID', problem)
    // First: where there is no room for one more topic there is none for the group.
    if (config.retryQueueNums > 0) this.#topics.ensure(retryTopic(config.groupName), config.retryQueueNums)
    const group = this.#put(config)
    this.#stored = storeSoon(this.#journal, TABLE, { put: config } satisfies Entry)
    return group
  }

  /** Resolves when all settings given so far are durable. @throws {StoreError} STORE_FENCED */
  stored(): Promise<void> {
    this.#journal.commit()
    return this.#stored
  }

  /** Forgets the settings; live members make it a group again with their next heartbeat. */
  async delete(name: string): Promise<void> {
    const group = this.require(name)
    this.#remove(group)
    this.#absent.deleteGroup(name)
    await storeNow(this.#journal, TABLE, { delete: name } satisfies Entry)
  }

  /** How the group's messages are delivered again and when they become dead letters. */
  policyOf(group: string): RetryPolicy {
    const config = this.#byName.get(group)?.config
    if (config === undefined) return { attemptsMax: 16, delayMs: () => undefined }
    const { retryMaxTimes, groupRetryPolicy } = config
    return {
      attemptsMax: retryMaxTimes < 0 ? Number.POSITIVE_INFINITY : retryMaxTimes,
      delayMs: (retries) => retryDelayMs(groupRetryPolicy, retries),
    }
  }

  /**
   * Takes one group of a heartbeat (remoting.md 4.4).
   * @param short heartbeat v2 without subscriptions: the ones sent before stay
   * @returns false when a short heartbeat met a member whose subscriptions are not known: the client must send them
   * @throws {BrokerError} GROUP_NAME_INVALID; CLIENT_ID_TAKEN when a younger program lives under this client id
   */
  heartbeat(
    connection: Connection,
    client: ClientVersion & { clientId: string; fingerprint: number; short: boolean; instance?: Instance | undefined },
    data: ConsumerData,
  ): boolean {
    this.ensure(data.group)
    const known = this.#members.get(data.group, connection.id)
    const same = known !== undefined && known.clientId === client.clientId
    const namesake = same ? undefined : this.#previousSelf(data.group, client.clientId)
    if (namesake !== undefined) supersede(namesake, client.instance)
    const current = same && known.fingerprint === client.fingerprint
    if (client.short && current) {
      known.lastSeenAt = this.#clock.monotonic()
      return true
    }
    const before = same ? known.subscriptions : namesake?.subscriptions
    const given = new Map(data.subscriptions.map((subscription) => [subscription.topic, subscription]))
    const subscriptions = client.short ? (before ?? given) : newest(before, given)
    const member: ConsumerMember = {
      connection,
      clientId: client.clientId,
      language: client.language,
      version: client.version,
      lastSeenAt: this.#clock.monotonic(),
      consumeType: data.consumeType,
      messageModel: data.messageModel,
      consumeFromWhere: data.consumeFromWhere,
      fingerprint: client.short ? 0 : client.fingerprint,
      subscriptions,
      instance: client.instance,
    }
    // Replacing a connection or a member keeps the set of client ids, but clients cached the old view: tell them.
    const changed = !same || before === undefined || !sameInterest(before, subscriptions)
    if (known !== undefined && !same) this.#absent.left(data.group, known.clientId, true)
    this.#members.add(data.group, member)
    // Who broadcasts takes no queues from others.
    if (data.messageModel !== 'BROADCASTING') this.#absent.joined(data.group, client.clientId, client.instance)
    if (changed) this.#onChange(data.group)
    return !client.short
  }

  unregister(group: string, connection: Connection): void {
    this.#members.remove(group, connection.id)
    this.onFarewell(group, connection)
  }

  connectionClosed(connection: Connection): void {
    this.#members.connectionClosed(connection.id)
  }

  member(group: string, connectionId: number): ConsumerMember | undefined {
    return this.#members.get(group, connectionId)
  }

  members(group: string): ConsumerMember[] {
    return [...(this.#members.membersOf(group)?.values() ?? [])]
  }

  /**
   * Ascending; clients sort by the same order to share out queues. Who is away and expected back counts, as long as anybody is
   * here to do the sharing.
   */
  clientIds(group: string): string[] {
    const here = this.members(group).map(({ clientId }) => clientId)
    if (here.length === 0) return []
    return [...new Set([...here, ...this.#absent.of(group)])].toSorted()
  }

  /**
   * What the client behind `connectionId` wants of `topic`. A client that pulls through another connection than it
   * heartbeats through gets the newest subscription any member has.
   */
  subscription(group: string, topic: string, connectionId: number): Subscription | undefined {
    return this.#members.get(group, connectionId)?.subscriptions.get(topic) ?? this.subscriptions(group).get(topic)
  }

  /** The newest of each topic over all members. */
  subscriptions(group: string): Map<string, Subscription> {
    const union = new Map<string, Subscription>()
    for (const { subscriptions } of this.members(group)) {
      for (const [topic, subscription] of subscriptions) {
        const other = union.get(topic)
        if (other === undefined || subscription.version > other.version) union.set(topic, subscription)
      }
    }
    return union
  }

  /** What live members disagree about. */
  conflicts(group: string): readonly SubscriptionConflict[] {
    let conflicts = this.#conflicts.get(group)
    if (conflicts === undefined) this.#conflicts.set(group, (conflicts = conflictsOf(this.members(group))))
    return conflicts
  }

  /** Groups with live members. */
  online(): string[] {
    return this.#members.groups()
  }

  /** Before the connections: those who are here now are remembered. */
  close(): void {
    this.#absent.close()
    this.#members.close()
  }

  #previousSelf(group: string, clientId: string): ConsumerMember | undefined {
    return this.members(group).find((member) => member.clientId === clientId)
  }

  #onChange(group: string): void {
    this.#conflicts.delete(group)
    this.#notices.changed(group)
  }

  #put(config: GroupConfig): ConsumerGroup {
    const known = this.#byName.get(config.groupName)
    if (known !== undefined) {
      known.config = config
      return known
    }
    const group = consumerGroup(config)
    this.#byName.set(group.name, group)
    this.#byBytes.set(group.nameBytes, group)
    return group
  }

  #remove(group: ConsumerGroup): void {
    this.#byName.delete(group.name)
    this.#byBytes.delete(group.nameBytes)
  }

  #apply(entry: Entry): void {
    if ('put' in entry) {
      this.#put({ ...entry.put, groupRetryPolicy: knownRetryPolicy(entry.put.groupRetryPolicy) })
      return
    }
    const group = this.#byName.get(entry.delete)
    if (group !== undefined) this.#remove(group)
  }
}
