import { ProtocolError, RequestCode, TandemError } from '@tandemmq/protocol'
import { type Clock, type Network, RemotingServer, systemClock, systemNetwork } from '@tandemmq/remoting'
import { limitedLog } from './limited-log.ts'
import { BrokerRegistry, KvConfig, type KvJournal, NameServer } from './nameserver/index.ts'
import { Dispatcher } from './server/dispatcher.ts'
import type { Handler } from './server/handler.ts'
import { registryHandlers } from './server/registry-handlers.ts'
import { answer } from './server/request-body.ts'
import { nameServerRefusals } from './server/request-table.ts'
import { routeHandlers } from './server/route-handlers.ts'
import { type Disk, MessageStore, systemDisk } from './store/index.ts'

/** What `startNameServer` takes. */
export interface NameServerOptions {
  /** Address to listen on. Default `127.0.0.1`; anything else is reachable by others and unauthenticated. */
  host?: string
  /** Default 9876; 0 picks a free one. */
  port?: number
  /** Keeps operators' settings (KV config) over a restart. Default: they live in memory. Routes always do. */
  dataDir?: string
  /** Default 10,000. */
  connectionsMax?: number
  /** Silence after which a broker is removed that named no time of its own, ms. Default 120,000. */
  brokerExpiryMs?: number
  /** Replaced by tests only. */
  clock?: Clock
  network?: Network
  disk?: Disk
  /** One line of text per event worth an operator's attention. Default: none. */
  log?: (line: string) => void
}

const optionNames: ReadonlySet<string> = new Set<keyof NameServerOptions>([
  ...(['host', 'port', 'dataDir', 'connectionsMax', 'brokerExpiryMs', 'clock', 'network', 'disk', 'log'] as const),
])
/** Nobody keeps anything: settings are gone with the process. */
const noJournal: KvJournal = { register() {}, appendDurable: () => Promise.resolve(), commit() {} }

/** A running name server without a broker. Any number of them serve a cluster, each on its own: brokers register with all. */
export class NameServerProcess {
  readonly #server: RemotingServer
  readonly #nameServer: NameServer
  readonly #dispatcher: Dispatcher
  readonly #store: MessageStore | undefined
  #closing: Promise<void> | undefined

  constructor(options: NameServerOptions) {
    const { clock = systemClock, network = systemNetwork, disk = systemDisk, log = () => {}, dataDir } = options
    const { host = '127.0.0.1', port = 9876, connectionsMax = 10_000, brokerExpiryMs = 120_000 } = options
    this.#store =
      dataDir === undefined
        ? undefined
        : MessageStore.open({ disk, clock, directory: dataDir, flush: 'sync', describe() {} })
    const kvConfig = new KvConfig({ journal: this.#store?.journal ?? noJournal })
    const lines = limitedLog(clock, log)
    const registry = new BrokerRegistry({ clock, log: lines, expiryMs: brokerExpiryMs })
    this.#nameServer = new NameServer({ registry, kvConfig })
    const settings = { host, port, connectionsMax, brokerExpiryMs, ...(dataDir === undefined ? {} : { dataDir }) }
    const config: Handler = (connection, header) => {
      const body = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
      answer(connection, header, { body: body.toSorted().join('') })
    }
    this.#dispatcher = new Dispatcher({
      handlers: [
        routeHandlers({ nameServer: this.#nameServer, kvConfig }),
        registryHandlers({ nameServer: this.#nameServer, instanceId: '' }),
        new Map([[RequestCode.GET_NAMESRV_CONFIG, config]]),
      ],
      onClosed: (connection, error) => {
        registry.connectionClosed(connection)
        if (!(error instanceof ProtocolError)) return
        lines(`connection from ${connection.remoteAddress}:${connection.remotePort} closed: ${error.message}`)
      },
      log: lines,
      refusals: nameServerRefusals,
    })
    this.#server = new RemotingServer({ clock, network, owner: this.#dispatcher, host, port, connectionsMax })
  }

  /** Use {@link startNameServer}. */
  async start(): Promise<this> {
    try {
      await this.#server.start()
    } catch (error) {
      await this.close()
      throw error
    }
    return this
  }

  /** `host:port` for `nameServers`. */
  get address(): string {
    return this.#server.address
  }

  get port(): number {
    return this.#server.port
  }

  /** Request codes this name server serves, ascending; any other is answered with "not supported". */
  get requestCodes(): number[] {
    return this.#dispatcher.codes()
  }

  /** Names of the brokers that are registered now. */
  get brokerNames(): string[] {
    return this.#nameServer.registry.brokers().map(({ brokerName }) => brokerName)
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await this.#server.close()
    this.#nameServer.registry.close()
    await this.#store?.close()
  }
}

/**
 * Starts a name server alone; it serves when the promise resolves.
 * @throws {TandemError} OPTION_INVALID, ADDRESS_IN_USE; with `dataDir` also DIRECTORY_LOCKED, DIRECTORY_NOT_WRITABLE,
 *   FORMAT_VERSION_UNKNOWN, LOG_DAMAGED
 */
export async function startNameServer(options: NameServerOptions = {}): Promise<NameServerProcess> {
  for (const [name, value] of Object.entries(options)) {
    if (!optionNames.has(name)) throw new TandemError('OPTION_INVALID', `there is no option "${name}"`)
    const least = { port: 0, connectionsMax: 1, brokerExpiryMs: 1 }[name]
    if (least === undefined || value === undefined) continue
    const most = name === 'port' ? 65_535 : Number.MAX_SAFE_INTEGER
    if (!Number.isInteger(value) || Number(value) < least || Number(value) > most) {
      throw new TandemError('OPTION_INVALID', `${name} must be a whole number from ${least} to ${most}, not ${value}`)
    }
  }
  return new NameServerProcess(options).start()
}
