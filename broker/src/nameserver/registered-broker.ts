import { type DataVersion, sameVersion } from './data-version.ts'
import type { RoutedTopic } from './local-broker.ts'
import type { BrokerData, QueueData, RouteSource } from './route.ts'

const PERM_WRITE = 2
const MASTER_ID = 0
/** What an entry costs beside its name, so that the sum bounds memory. */
const ENTRY_BYTES = 120

/** One address of a registered broker. */
export interface Member {
  readonly brokerId: number
  readonly address: string
  readonly haServerAddr: string
  dataVersion: DataVersion
  /** ms without a sign of life after which it is removed. */
  timeoutMs: number
  /** Monotonic ms. */
  lastSeenAt: number
  /** The connection it registered on; when that closes it is gone. */
  owner: object
}

/** A broker that registered over the wire: its addresses by id and the topics its master has (broker.md 9.4). */
export class RegisteredBroker implements RouteSource {
  readonly brokerName: string
  clusterName: string
  zoneName: string | undefined
  /** A slave may be read in the master's place. */
  enableActingMaster = false
  readonly members = new Map<number, Member>()
  readonly #topics = new Map<string, QueueData>()
  #bytes = 0

  constructor(brokerName: string, clusterName: string) {
    this.brokerName = brokerName
    this.clusterName = clusterName
  }

  /** Estimated memory of its topics. */
  get bytes(): number {
    return this.#bytes
  }

  brokerData(): BrokerData {
    const members = [...this.members.values()].toSorted((a, b) => a.brokerId - b.brokerId)
    return {
      brokerAddrs: new Map(members.map(({ brokerId, address }) => [brokerId, address])),
      brokerName: this.brokerName,
      cluster: this.clusterName,
      enableActingMaster: this.enableActingMaster,
      ...(this.zoneName === undefined ? {} : { zoneName: this.zoneName }),
    }
  }

  queueData(topic: string): QueueData | undefined {
    return this.#topics.get(topic)
  }

  topics(): string[] {
    return [...this.#topics.keys()]
  }

  /** True for the master, and for the slave with the smallest id of those that are left. */
  speaksForTopics(brokerId: number): boolean {
    return brokerId === MASTER_ID || brokerId === Math.min(...this.members.keys())
  }

  /**
   * Takes over the topics of a registration. They are additions: a broker also registers single topics it just created.
   * @param changed false: only topics that are not known yet
   * @param complete topics that are not among them are gone
   */
  take(topics: readonly RoutedTopic[], how: { changed: boolean; complete: boolean; readOnly: boolean }): void {
    for (const topic of topics) {
      if (!how.changed && this.#topics.has(topic.name)) continue
      const perm = how.readOnly ? topic.perm & ~PERM_WRITE : topic.perm
      this.put(topic.name, {
        brokerName: this.brokerName,
        perm,
        readQueueNums: topic.readQueues,
        topicSysFlag: topic.sysFlag,
        writeQueueNums: topic.writeQueues,
      })
    }
    if (!how.complete || this.#topics.size === topics.length) return
    const kept = new Set(topics.map(({ name }) => name))
    for (const name of this.topics()) if (!kept.has(name)) this.delete(name)
  }

  put(topic: string, data: QueueData): void {
    if (!this.#topics.has(topic)) this.#bytes += bytesOf(topic)
    this.#topics.set(topic, data)
  }

  delete(topic: string): void {
    if (this.#topics.delete(topic)) this.#bytes -= bytesOf(topic)
  }

  /** Memory that `topics` would add. */
  bytesNeeded(topics: readonly { name: string }[]): number {
    let bytes = 0
    for (const { name } of topics) if (!this.#topics.has(name)) bytes += bytesOf(name)
    return bytes
  }

  /** The master has left and a slave stands in for it: nothing can be written. */
  makeReadOnly(): void {
    for (const [topic, data] of this.#topics) this.#topics.set(topic, { ...data, perm: data.perm & ~PERM_WRITE })
  }

  isChanged(brokerId: number, address: string, version: DataVersion): boolean {
    const member = this.members.get(brokerId)
    return member === undefined || member.address !== address || !sameVersion(member.dataVersion, version)
  }
}

const bytesOf = (topic: string): number => ENTRY_BYTES + 2 * topic.length
