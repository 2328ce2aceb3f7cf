import type { CommandInit } from '@tandemmq/protocol'
import { ClientError } from '../client-error.ts'
import { ClientCore } from '../cluster/client-core.ts'
import type { TopicRoute } from '../cluster/route.ts'
import type { ConnectionOptions } from '../options.ts'
import { checkTopic, settingsOf } from '../options.ts'

/** Addresses of the brokers by name. */
export type Brokers = ReadonlyMap<string, string>

/** The cluster an operator looks at: asked anew each time, because operators act on what is there now. */
export class AdminCluster {
  readonly core: ClientCore

  constructor(options: ConnectionOptions) {
    this.core = new ClientCore(settingsOf(options), {
      membership: () => ({ producers: [], consumers: [] }),
      onRequest: () => false,
    })
  }

  /** @throws {ClientError} CONNECT_FAILED when no name server answers */
  async start(): Promise<void> {
    if (this.core.isStarted) return
    this.core.start()
    await this.core.routes.discover()
  }

  /** @throws {ClientError} TOPIC_NAME_INVALID, ROUTE_NOT_FOUND */
  route(topic: string): Promise<TopicRoute> {
    return this.core.routes.load(checkTopic(topic))
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND when there are none */
  async brokers(): Promise<Brokers> {
    this.core.requireStarted()
    const addresses = new Map<string, string>()
    for (const { name, address } of await this.core.routes.discover()) {
      if (address !== undefined) addresses.set(name, address)
    }
    if (addresses.size === 0) throw new ClientError('ROUTE_NOT_FOUND', 'the name servers know no broker')
    return addresses
  }

  async everyBroker(init: CommandInit, doing: string): Promise<void> {
    for (const address of (await this.brokers()).values()) await this.core.ask(address, init, doing)
  }

  /** What the first broker says that has an answer. */
  async firstAnswer<T>(ask: (address: string) => Promise<T | undefined>): Promise<T | undefined> {
    for (const address of (await this.brokers()).values()) {
      const answer = await ask(address)
      if (answer !== undefined) return answer
    }
    return undefined
  }
}
