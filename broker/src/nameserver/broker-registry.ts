import type { Clock, Timer } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { DataVersion } from './data-version.ts'
import { type Member, RegisteredBroker } from './registered-broker.ts'
import type { Registration } from './registration.ts'
import type { QueueData } from './route.ts'

const SCAN_INTERVAL_MS = 5_000
const EXPIRY_MS = 120_000
const EXPIRY_MS_MAX = 86_400_000
const MASTER_ID = 0

export interface RegistryOptions {
  clock: Clock
  /** Silence after which a broker is removed that named no time of its own, ms. Default 120,000. */
  expiryMs?: number
  /** Addresses registered at a time; further ones are refused. Default 1,000. */
  brokersMax?: number
  /** Estimated memory of all registered topics; beyond it registrations are refused. Default 64 MiB, some 300,000 topics. */
  bytesMax?: number
  /** One line per broker that comes, moves or goes. Default: none. */
  log?: (line: string) => void
}

/** Who registers, asks or leaves: fields every such request carries. */
export interface BrokerIdentity {
  clusterName: string
  brokerName: string
  /** `host:port` given to clients. */
  brokerAddr: string
  /** 0 = master. */
  brokerId: number
}

export interface BrokerTraits {
  haServerAddr: string
  /** ms without a sign of life; absent: the registry's default. */
  heartbeatTimeoutMs?: number | undefined
  /** Absent marks a broker before 5.0, whose slaves never speak for its topics. */
  enableActingMaster?: boolean | undefined
  zoneName?: string | undefined
  /** The table is whole: topics it lacks are gone. Only our brokers say so. */
  complete?: boolean | undefined
}

/**
 * Brokers that registered over the wire, in memory only, as RocketMQ's RouteInfoManager (broker.md 9.4): a broker is there until
 * its connection closes, it is silent for too long, or it leaves. Anyone may register, so everything is bounded.
 */
export class BrokerRegistry {
  readonly #clock: Clock
  readonly #expiryMs: number
  readonly #brokersMax: number
  readonly #bytesMax: number
  readonly #log: (line: string) => void
  readonly #brokers = new Map<string, RegisteredBroker>()
  #scan: Timer | undefined
  /** The last address of a broker is gone. */
  onLeft: (brokerName: string) => void = () => {}

  constructor(options: RegistryOptions) {
    this.#clock = options.clock
    this.#expiryMs = options.expiryMs ?? EXPIRY_MS
    this.#brokersMax = options.brokersMax ?? 1_000
    this.#bytesMax = options.bytesMax ?? 64 << 20
    this.#log = options.log ?? (() => {})
  }

  brokers(): RegisteredBroker[] {
    return [...this.#brokers.values()]
  }

  find(brokerName: string): RegisteredBroker | undefined {
    return this.#brokers.get(brokerName)
  }

  /**
   * REGISTER_BROKER 103.
   * @param owner the connection it came on
   * @returns the master's addresses, for a slave
   * @throws {BrokerError} SYSTEM_ERROR for a first registration of exactly one topic, which is a broker not ready yet;
   *   SYSTEM_BUSY when the registry is full
   */
  register(
    who: BrokerIdentity,
    traits: BrokerTraits,
    { topics, dataVersion }: Registration,
    owner: object,
  ): { masterAddr?: string; haServerAddr?: string } {
    const { brokerName, brokerAddr, brokerId } = who
    const known = this.#brokers.get(brokerName)
    const holder = known?.members.get(brokerId)
    if (holder === undefined && topics.length === 1) {
      throw new BrokerError(
        'SYSTEM_ERROR',
        `broker ${brokerName} ${brokerId} is not registered and sent one topic only`,
      )
    }
    if (holder !== undefined && holder.address !== brokerAddr) {
      // Of two controllers' choices the newer one counts; without a controller both are 0 and the newcomer has moved.
      if (holder.dataVersion.stateVersion > dataVersion.stateVersion) return {}
      this.#log(`broker ${brokerName} ${brokerId} moved from ${holder.address} to ${brokerAddr}`)
    }
    this.#refuseWhenFull(known, holder, topics)
    const broker = known ?? new RegisteredBroker(brokerName, who.clusterName)
    this.#brokers.set(brokerName, broker)
    broker.clusterName = who.clusterName
    broker.zoneName = traits.zoneName
    broker.enableActingMaster = traits.enableActingMaster === true
    for (const member of broker.members.values()) {
      // A slave that became master: one address holds one id.
      if (member.address === brokerAddr && member.brokerId !== brokerId) broker.members.delete(member.brokerId)
    }
    const isNew = holder === undefined
    const changed = isNew || broker.isChanged(brokerId, brokerAddr, dataVersion)
    broker.members.set(brokerId, this.#memberOf(who, traits, dataVersion, owner))
    const isSlave = brokerId !== MASTER_ID
    if (!isSlave || (traits.enableActingMaster !== undefined && broker.speaksForTopics(brokerId))) {
      broker.take(topics, {
        changed,
        complete: traits.complete === true,
        readOnly: isSlave && broker.enableActingMaster,
      })
    }
    if (isNew) this.#log(`broker ${brokerName} ${brokerId} of ${who.clusterName} registered as ${brokerAddr}`)
    this.#scan ??= this.#clock.setTimer(SCAN_INTERVAL_MS, () => this.#removeSilent())
    const master = isSlave ? broker.members.get(MASTER_ID) : undefined
    return master === undefined ? {} : { masterAddr: master.address, haServerAddr: master.haServerAddr }
  }

  /** UNREGISTER_BROKER 104. One that is not there is no error. */
  unregister({ brokerName, brokerAddr }: BrokerIdentity): void {
    const broker = this.#brokers.get(brokerName)
    if (broker === undefined) return
    for (const member of broker.members.values()) {
      if (member.address === brokerAddr) this.#remove(broker, member, 'left')
    }
  }

  /** QUERY_DATA_VERSION 322: is `version` news, and what is known. Counts as a sign of life. */
  queryVersion(who: BrokerIdentity, version: DataVersion): { changed: boolean; known: DataVersion | undefined } {
    const member = this.#memberAt(who)
    this.heartbeat(who)
    const changed =
      this.#brokers.get(who.brokerName)?.isChanged(member?.brokerId ?? -1, who.brokerAddr, version) ?? true
    return { changed, known: member?.dataVersion }
  }

  /** BROKER_HEARTBEAT 904: a sign of life and nothing else. */
  heartbeat(who: Omit<BrokerIdentity, 'brokerId'>): void {
    const member = this.#memberAt(who)
    if (member !== undefined) member.lastSeenAt = this.#clock.monotonic()
  }

  /** The brokers that registered on this connection last are gone. */
  connectionClosed(owner: object): void {
    for (const broker of this.brokers()) {
      for (const member of broker.members.values()) {
        if (member.owner === owner) this.#remove(broker, member, 'lost its connection')
      }
    }
  }

  /** DELETE_TOPIC_IN_NAMESRV 216: forgets the route, in one cluster or in all. A broker that still has the topic brings it back. */
  deleteTopic(topic: string, clusterName?: string): void {
    for (const broker of this.#brokers.values()) {
      if (clusterName === undefined || broker.clusterName === clusterName) broker.delete(topic)
    }
  }

  /** REGISTER_TOPIC_IN_NAMESRV 217. Queues of brokers that are not registered are ignored, as in the original. */
  registerTopic(topic: string, queueDatas: readonly QueueData[]): void {
    for (const data of queueDatas) {
      const broker = this.#brokers.get(data.brokerName)
      if (broker === undefined) continue
      this.#refuseWhenFull(broker, broker.members.values().next().value, [{ name: topic }])
      broker.put(topic, data)
    }
  }

  close(): void {
    this.#scan?.cancel()
    this.#scan = undefined
    this.#brokers.clear()
  }

  #memberOf(who: BrokerIdentity, traits: BrokerTraits, dataVersion: DataVersion, owner: object): Member {
    const timeoutMs = traits.heartbeatTimeoutMs ?? this.#expiryMs
    return {
      brokerId: who.brokerId,
      address: who.brokerAddr,
      haServerAddr: traits.haServerAddr,
      dataVersion,
      timeoutMs: Math.min(Math.max(timeoutMs, SCAN_INTERVAL_MS), EXPIRY_MS_MAX),
      lastSeenAt: this.#clock.monotonic(),
      owner,
    }
  }

  #memberAt({ brokerName, brokerAddr }: Omit<BrokerIdentity, 'brokerId'>): Member | undefined {
    const members = this.#brokers.get(brokerName)?.members.values() ?? []
    for (const member of members) if (member.address === brokerAddr) return member
    return undefined
  }

  #refuseWhenFull(
    broker: RegisteredBroker | undefined,
    holder: Member | undefined,
    topics: readonly { name: string }[],
  ): void {
    let members = 0
    let bytes = 0
    for (const one of this.#brokers.values()) {
      members += one.members.size
      bytes += one.bytes
    }
    if (holder === undefined && members >= this.#brokersMax) {
      throw new BrokerError('SYSTEM_BUSY', `the name server has ${this.#brokersMax} brokers and takes no more`)
    }
    const needed = (broker ?? new RegisteredBroker('', '')).bytesNeeded(topics)
    if (needed > 0 && bytes + needed > this.#bytesMax) {
      throw new BrokerError('SYSTEM_BUSY', `the name server's table of topics is full (${this.#bytesMax} bytes)`)
    }
  }

  #remove(broker: RegisteredBroker, member: Member, why: string): void {
    broker.members.delete(member.brokerId)
    this.#log(`broker ${broker.brokerName} ${member.brokerId} at ${member.address} ${why}`)
    if (broker.members.size === 0) {
      this.#brokers.delete(broker.brokerName)
      this.onLeft(broker.brokerName)
    } else if (broker.enableActingMaster && !broker.members.has(MASTER_ID)) broker.makeReadOnly()
  }

  #removeSilent(): void {
    const now = this.#clock.monotonic()
    for (const broker of this.brokers()) {
      for (const member of broker.members.values()) {
        if (now - member.lastSeenAt > member.timeoutMs) {
          this.#remove(broker, member, `was silent for more than ${member.timeoutMs} ms`)
        }
      }
    }
    this.#scan =
      this.#brokers.size === 0 ? undefined : this.#clock.setTimer(SCAN_INTERVAL_MS, () => this.#removeSilent())
  }
}
