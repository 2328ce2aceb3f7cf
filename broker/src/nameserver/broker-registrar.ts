import type { Clock, Network } from '@tandemmq/remoting'
import { formatAddress, RemotingClient, sleep } from '@tandemmq/remoting'
import type { DataVersion } from './data-version.ts'
import type { RoutedTopic } from './local-broker.ts'
import { NameServerLink } from './name-server-link.ts'
import { encodeRegistration } from './registration.ts'

const wildcards: ReadonlySet<string> = new Set(['0.0.0.0', '::', ''])
const PATIENCE_MS = 1_000
/** Beyond it the table is sent compressed, so that tens of thousands of topics fit into a frame (broker.md 9.4). */
const PLAIN_BYTES_MAX = 1 << 20

export interface RegistrarOptions {
  clock: Clock
  network: Network
  /** `host:port` each. Empty: nothing is registered anywhere. */
  nameServers: readonly string[]
  brokerName: string
  clusterName: string
  /** Random; by it the name server part of this process knows its own broker. */
  instanceId: string
  /** What clients are told: `host:port`, or `auto` for the address we listen on. */
  advertise: string
  /** Address we listen on; may be a wildcard. */
  host: string
  topics(): RoutedTopic[]
  /** Default 30,000 ms. */
  intervalMs?: number
  /** One line when a name server is reached or lost. */
  log(line: string): void
}

/** The table as it is sent to every name server, encoded once per version. */
export interface RegistrationTable {
  readonly version: DataVersion
  readonly complete: { readonly body: Buffer; readonly compressed: boolean }
  /** What clients are told; `local` is our end of the connection to a name server. */
  addressFrom(local: string): string
  /** The topics that changed, alone; those that are gone are left out. */
  of(names: ReadonlySet<string>): Buffer
}

/**
 * Keeps this broker known to separate name servers, ours or Apache's (remoting.md 2D): all topics at the start and every 30 s, each
 * change at once, and a word of leave. A name server that does not answer is tried again and holds up nobody.
 */
export class BrokerRegistrar implements RegistrationTable {
  readonly #options: RegistrarOptions
  readonly #remoting: RemotingClient
  readonly #links: NameServerLink[]
  #version: DataVersion
  #complete: { body: Buffer; compressed: boolean } | undefined
  #port = 0
  #isStarted = false
  #isSoon = false
  #closing: Promise<void> | undefined

  constructor(options: RegistrarOptions) {
    const { clock, network } = options
    this.#options = options
    this.#version = { counter: 0, stateVersion: 0, timestamp: clock.now() }
    this.#remoting = new RemotingClient({
      clock,
      network,
      owner: {
        onRequest: (connection, { isOneway, opaque, serialization, code }) => {
          // Word of the smallest broker id (905) is for brokers with slaves, and one-way.
          if (!isOneway) connection.reply({ opaque, serialization }, { code: 3, remark: `${code} is not for brokers` })
        },
        onClosed: (connection) => {
          for (const link of this.#links) link.connectionClosed(connection)
        },
      },
    })
    this.#links = options.nameServers.map((address) => new NameServerLink(address, this.#remoting, this, options))
  }

  get version(): DataVersion {
    return this.#version
  }

  get complete(): { body: Buffer; compressed: boolean } {
    if (this.#complete !== undefined) return this.#complete
    const table = { dataVersion: this.#version, topics: this.#options.topics() }
    const plain = encodeRegistration(table, false)
    const compressed = plain.length > PLAIN_BYTES_MAX
    this.#complete = { body: compressed ? encodeRegistration(table, true) : plain, compressed }
    return this.#complete
  }

  addressFrom(local: string): string {
    const { advertise, host } = this.#options
    if (advertise !== 'auto') return advertise
    // On all interfaces: the one that leads to the name server is the best guess; `advertise` knows better.
    return formatAddress(wildcards.has(host) ? local : host, this.#port)
  }

  of(names: ReadonlySet<string>): Buffer {
    const topics = this.#options.topics().filter(({ name }) => names.has(name))
    return encodeRegistration({ dataVersion: this.#version, topics }, false)
  }

  /**
   * Registers everywhere; resolves when every name server has answered or failed, after 1 s at the latest.
   * @param port where we listen
   */
  start(port: number): Promise<void> {
    this.#isStarted = true
    this.#port = port
    return this.#patiently(this.#links.map((link) => link.register()))
  }

  /** A topic was created, changed or deleted: tells the name servers at the end of this turn. */
  changed(topic: string, isDeleted: boolean): void {
    const { counter } = this.#version
    this.#version = { counter: counter + 1, stateVersion: 0, timestamp: this.#options.clock.now() }
    this.#complete = undefined
    for (const link of this.#links) link.changed(topic, isDeleted)
    if (!this.#isStarted || this.#isSoon || this.#links.length === 0) return
    this.#isSoon = true
    this.#options.clock.soon(() => {
      this.#isSoon = false
      for (const link of this.#links) if (link.isRegistered) void link.settled()
    })
  }

  /** Resolves when the name servers that can be reached know all changes so far, after 1 s at the latest. */
  announced(): Promise<void> {
    const links = this.#links.filter((link) => link.isRegistered)
    return this.#patiently(links.map((link) => link.settled()))
  }

  /** Leaves every name server it is registered with, in 1 s at most. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#patiently(this.#links.map((link) => link.leave())).then(() => this.#remoting.close())
    return this.#closing
  }

  async #patiently(work: Promise<void>[]): Promise<void> {
    if (work.length === 0) return
    const over = new AbortController()
    const patience = sleep(this.#options.clock, PATIENCE_MS, over.signal).catch(() => undefined)
    await Promise.race([Promise.all(work), patience])
    over.abort()
  }
}
