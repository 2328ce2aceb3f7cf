import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Broker, type BrokerStats, startBroker } from '@tandemmq/broker'
import { MemoryDisk, MemoryNetwork, VirtualClock } from '@tandemmq/broker/simulation'
import { type CommandInit, RequestCode, type RemotingCommand, ResponseCode } from '@tandemmq/protocol'
import { expect } from 'vitest'
import { Bystander } from './bystander.ts'
import { RawClient } from './raw-client.ts'
import { RawPeer } from './remoting-worlds.ts'

/** What the process may hold more than at the start, after everything a test did was let go. */
const KEPT_BYTES_MAX = 96 << 20

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Why a connection was closed, as the broker counts it. */
export type CloseReason = keyof BrokerStats['remoting']['closedBy']

/**
 * A broker in this process on sockets of the machine, somebody who sends it nonsense, and a bystander who goes on sending and
 * receiving. {@link harmless} after each test says that nobody else noticed.
 */
export class NonsenseWorld {
  readonly disk = new MemoryDisk()
  readonly log: string[] = []
  #broker: Broker | undefined
  #bystander: Bystander | undefined
  #bystandersConnections = 0
  #bytesAtStart = 0
  readonly #clients: RawClient[] = []

  static async start(): Promise<NonsenseWorld> {
    const world = new NonsenseWorld()
    const { disk, log } = world
    world.#broker = await startBroker({
      dataDir: '/data',
      port: 0,
      flush: 'async',
      disk,
      hotBytesMax: 16 << 20,
      segmentBytes: 8 << 20,
      log: (line) => log.push(line),
    })
    world.#bystander = await Bystander.start(world.address)
    await world.#bystander.roundsMore(2)
    world.#bystandersConnections = world.stats().connections
    collectGarbage()
    world.#bytesAtStart = world.#heldBytes
    return world
  }

  /** Without what was stored: its disk is memory too. */
  get #heldBytes(): number {
    return process.memoryUsage().arrayBuffers - this.disk.capacity
  }

  get broker(): Broker {
    if (this.#broker === undefined) throw new Error('the world has not begun')
    return this.#broker
  }

  get address(): string {
    return this.broker.address
  }

  get bystander(): Bystander {
    if (this.#bystander === undefined) throw new Error('the world has not begun')
    return this.#bystander
  }

  stats(): BrokerStats {
    return this.broker.stats()
  }

  /** Held by the broker for frames whose end it has not seen. */
  get unfinishedBytes(): number {
    return this.stats().remoting.receivedUnfinishedBytes
  }

  /** Looks again in every turn of the loop. @throws {Error} when it is not so within 10 s */
  async until(isSo: () => boolean): Promise<void> {
    const end = Date.now() + 10_000
    while (!isSo()) {
      if (Date.now() > end) throw new Error(`not so: ${isSo}`)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Every file there is, from the root on. */
  paths(): string[] {
    const walk = (path: string): string[] => {
      const names = this.disk.list(path)
      return names.length === 0 ? [path] : names.flatMap((name) => walk(`${path}/${name}`))
    }
    return walk('')
  }

  closedBy(reason: CloseReason): number {
    return this.stats().remoting.closedBy[reason]
  }

  /** Closed at the latest by {@link harmless}. */
  async raw(): Promise<RawClient> {
    const client = await RawClient.connect(this.address)
    this.#clients.push(client)
    return client
  }

  /** Sends `bytes` on a connection of their own; they must end it, for this reason and no other connection. */
  async expectClosed(bytes: Uint8Array, reason: CloseReason): Promise<void> {
    const before = this.stats().remoting.closedBy
    const client = await this.raw()
    client.write(bytes)
    expect(await client.answer()).toBeUndefined()
    expect(this.stats().remoting.closedBy).toEqual({ ...before, [reason]: before[reason] + 1 })
  }

  /** Sends one request in both serializations; both must be answered alike, and the connection must stay. */
  async expectAnswer(init: CommandInit, expected: Partial<RemotingCommand>): Promise<void> {
    const client = await this.raw()
    for (const serialization of [0, 1] as const) {
      expect(await client.ask({ ...init, serialization })).toMatchObject(expected)
    }
    await this.expectAlive(client)
    client.end()
  }

  /** The connection still serves. */
  async expectAlive(client: RawClient): Promise<void> {
    expect(await client.ask({ code: RequestCode.GET_BROKER_CLUSTER_INFO })).toMatchObject({
      code: ResponseCode.SUCCESS,
    })
  }

  /** To be awaited after each test. */
  async harmless(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.end()
    await this.bystander.roundsMore(2)
    await this.until(() => this.stats().connections === this.#bystandersConnections)
    await this.until(() => this.unfinishedBytes === 0 && this.stats().remoting.outputBytes === 0)
    expect(this.stats().remoting.ownerErrors).toBe(0)
    // Whatever came was refused by a rule, never by an accident of ours.
    expect(this.stats().requests.failed).toBe(0)
    collectGarbage()
    expect(this.#heldBytes - this.#bytesAtStart).toBeLessThan(KEPT_BYTES_MAX)
  }

  async end(): Promise<void> {
    const disturbances = await this.bystander.end()
    await this.broker.close()
    expect(disturbances).toEqual([])
  }
}

/** The same on a virtual clock and a network in memory, for what takes time. The bystander sends once a second. */
export class TimedNonsenseWorld {
  readonly clock = new VirtualClock({ seed: 3 })
  readonly network = new MemoryNetwork({ clock: this.clock, latencyMs: 0.5 })
  readonly log: string[] = []
  #broker: Broker | undefined
  #bystander: Bystander | undefined

  static async start(options: { connectionsMax?: number } = {}): Promise<TimedNonsenseWorld> {
    const world = new TimedNonsenseWorld()
    const { clock, network, log } = world
    const disk = new MemoryDisk({ soon: (callback) => clock.soon(callback) })
    const where = { clock, network, disk, dataDir: '/data', host: '10.0.0.1', port: 9876 }
    const sizes = { hotBytesMax: 16 << 20, segmentBytes: 8 << 20 }
    world.#broker = await clock.run(startBroker({ ...where, ...sizes, ...options, log: (line) => log.push(line) }))
    const bystander = Bystander.start('10.0.0.1:9876', { clock, network: network.host('10.0.0.2'), paceMs: 1_000 })
    world.#bystander = await clock.run(bystander)
    await clock.advance(5_000)
    return world
  }

  stats(): BrokerStats {
    if (this.#broker === undefined) throw new Error('the world has not begun')
    return this.#broker.stats()
  }

  /** Messages the bystander got round. */
  get rounds(): number {
    return this.#bystander?.rounds ?? 0
  }

  /** Settles only while the clock runs. */
  async connectLater(): Promise<RawPeer> {
    return new RawPeer(await this.network.connect({ host: '10.0.0.1', port: 9876, timeoutMs: 10_000 }))
  }

  connect(): Promise<RawPeer> {
    return this.clock.run(this.connectLater(), 10_000)
  }

  async end(): Promise<void> {
    const disturbances = await this.clock.run(this.#bystander?.end() ?? Promise.resolve([]), 60_000)
    await this.clock.run(this.#broker?.close() ?? Promise.resolve(), 60_000)
    expect(disturbances).toEqual([])
  }
}

/** A send of one message by SEND_MESSAGE_V2; the letters are those of SendMessageRequestHeaderV2.java. */
export function sendOf(
  over: Record<string, string | undefined> = {},
  body: Uint8Array = Buffer.from('x'),
): CommandInit {
  const extFields = { a: 'p', b: 'nonsense', c: 'TBW102', d: '4', e: '0', f: '0', g: '1700000000000', h: '0', i: '' }
  return {
    code: RequestCode.SEND_MESSAGE_V2,
    extFields: { ...extFields, j: '0', k: 'false', m: 'false', ...over },
    body,
  }
}

/** A pull that brings its subscription along. */
export function pullOf(over: Record<string, string | undefined> = {}): CommandInit {
  const extFields = { consumerGroup: 'reader', topic: 'nonsense', queueId: '0', queueOffset: '0', maxMsgNums: '32' }
  const rest = { sysFlag: '4', commitOffset: '0', suspendTimeoutMillis: '0', subscription: '*', subVersion: '0' }
  return { code: RequestCode.PULL_MESSAGE, extFields: { ...extFields, ...rest, expressionType: 'TAG', ...over } }
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A frame around any header bytes. @param type serialization byte: 0 JSON, 1 ROCKETMQ */
export function frameAround(type: number, header: Uint8Array | string, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const bytes = typeof header === 'string' ? Buffer.from(header) : header
  return Buffer.concat([u32(4 + bytes.length + body.length), u32(type * 0x1000000 + bytes.length), bytes, body])
}
