import { decodeRecords, encodeProperties, type RemotingCommand, type StoredMessage } from '@tandemmq/protocol'
import { type ConnectionOwner, RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { type Broker, startBroker } from '../../broker/src/broker.ts'
import type { BrokerOptions } from '../../broker/src/options.ts'
import { MemoryDisk } from '../../broker/src/store/memory-disk.ts'
import { heartbeatBody, pullFields } from './broker-rooms.ts'

type Fields = Record<string, string | number | boolean>

/** A whole broker with clock, network and disk in memory, and one connection to it. */
export class MemoryBroker {
  readonly clock: VirtualClock
  readonly network: MemoryNetwork
  readonly disk = new MemoryDisk()
  #broker: Broker | undefined
  #client: RemotingClient | undefined

  private constructor() {
    this.clock = new VirtualClock({ seed: 1 })
    this.network = new MemoryNetwork({ clock: this.clock, latencyMs: 1 })
  }

  static async start(options: Partial<BrokerOptions> = {}): Promise<MemoryBroker> {
    const world = new MemoryBroker()
    await world.#open(options)
    return world
  }

  get broker(): Broker {
    if (this.#broker === undefined) throw new Error('the broker is closed')
    return this.#broker
  }

  /** Another connection; `owner` gets what the broker asks of it, `from` is the address it comes from. */
  client(owner?: ConnectionOwner, from?: string): RemotingClient {
    const { clock } = this
    const network = from === undefined ? this.network : this.network.host(from)
    return new RemotingClient({ clock, network, ...(owner !== undefined && { owner }) })
  }

  request(
    code: number,
    extFields: Fields = {},
    body: Buffer | string = '',
    serialization: 0 | 1 = 0,
  ): Promise<RemotingCommand> {
    const client = (this.#client ??= this.client())
    const init = { code, serialization, version: 441, extFields, body: Buffer.from(body) }
    return this.clock.run(client.request(this.broker.address, init, 60_000), 120_000)
  }

  send(
    topic: string,
    body: Buffer | string = 'x',
    properties: Record<string, string> = {},
    over: Fields = {},
    code = 10,
  ): Promise<RemotingCommand> {
    const fields = {
      ...{ producerGroup: 'p', topic, defaultTopic: 'TBW102', defaultTopicQueueNums: 1, queueId: 0, sysFlag: 0 },
      ...{ bornTimestamp: this.clock.now(), flag: 0, reconsumeTimes: 0, unitMode: false, batch: false },
      properties: encodeProperties(properties).toString(),
    }
    return this.request(code, { ...fields, ...over }, body)
  }

  /** One pull without waiting, with the subscription in it. */
  pull(over: Fields = {}): Promise<RemotingCommand> {
    return this.request(11, pullFields({ suspendTimeoutMillis: 0, ...over }))
  }

  async messages(over: Fields = {}): Promise<StoredMessage[]> {
    return decodeRecords((await this.pull(over)).body)
  }

  /** Makes the connection a consumer. */
  heartbeat(over: Parameters<typeof heartbeatBody>[0] = {}): Promise<RemotingCommand> {
    return this.request(34, {}, JSON.stringify(heartbeatBody(over)))
  }

  /** Stops the broker in order and starts one on the same directory. */
  async restart(options: Partial<BrokerOptions> = {}): Promise<void> {
    await this.close()
    await this.#open(options)
  }

  async close(): Promise<void> {
    if (this.#client !== undefined) await this.clock.run(this.#client.close())
    if (this.#broker !== undefined) await this.clock.run(this.#broker.close())
    this.#client = this.#broker = undefined
  }

  async #open(options: Partial<BrokerOptions>): Promise<void> {
    const { clock, network, disk } = this
    const place = { dataDir: '/data', port: 9876, clock, network, disk }
    this.#broker = await clock.run(startBroker({ ...place, ...options }))
  }
}
