import {
  decodeRecord,
  decompressBody,
  ProtocolError,
  type StoredMessage,
  SysFlag,
  TandemError,
} from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { RemotingServer, systemClock, systemNetwork, type Timer } from '@tandemmq/remoting'
import { type MetricSources, type RunningMetrics, snapshot, startMetrics } from './metrics/index.ts'
import { type BrokerOptions, type ResolvedOptions, resolveOptions } from './options.ts'
import { limitedLog } from './limited-log.ts'
import { passedOver } from './queueing/index.ts'
import { openRooms, type Rooms } from './rooms.ts'
import { Dispatcher } from './server/dispatcher.ts'
import { createHandlers } from './server/handlers.ts'
import { systemDisk } from './store/index.ts'

/** Queues named one by one. */
const LOSSES_LOGGED_MAX = 20
const RETENTION_INTERVAL_MS = 60_000
const DECOMPRESSED_BYTES_MAX = 64 << 20
/** A connection that took nothing for so long is closed when others need the room. */
const READER_STALLED_MS = 1_000
/** Strangers must not fill the disk with log lines. */
const NONSENSE_LINES_MAX = 20
const NONSENSE_WINDOW_MS = 10_000

/** Figures of a running broker; what `stats()` gives. */
export interface BrokerStats {
  connections: number
  /** Why connections were closed, what is held for frames and answers under way. */
  remoting: RemotingServer['stats'] & { outputBytes: number }
  requests: ReturnType<Dispatcher['stats']>
  store: ReturnType<Rooms['store']['stats']>
  pulls: ReturnType<Rooms['pulls']['stats']>
  leases: ReturnType<Rooms['leases']['stats']>
  transactions: ReturnType<Rooms['transactions']['stats']>
  order: ReturnType<Rooms['order']['stats']>
  delay: ReturnType<Rooms['delay']['stats']>
  retry: ReturnType<Rooms['retry']['stats']>
  dedup: ReturnType<Rooms['dedup']['stats']>
}

/** A running broker: name server and broker on one port. */
export class Broker {
  readonly #options: ResolvedOptions
  readonly #rooms: Rooms
  readonly #dispatcher: Dispatcher
  readonly #server: RemotingServer
  readonly #logRoom: (line: string) => void
  #retention: Timer | undefined
  #metrics: RunningMetrics | undefined
  #commitRequested = false
  #nonsense = { since: Number.NEGATIVE_INFINITY, lines: 0 }
  #closing: Promise<void> | undefined

  private constructor(options: ResolvedOptions) {
    this.#options = options
    this.#logRoom = limitedLog(options.clock, options.log)
    this.#rooms = openRooms(options, {
      onFenced: (error) => options.log(`tandem: ${error.message}`),
      onFull: (isFull) => this.#onFull(isFull),
    })
    const handlers = createHandlers(options, this.#rooms, {
      requestCommit: () => this.#requestCommit(),
      outputBytes: () => this.#server.stats.outputBytes,
      figures: () => snapshot(this.#metricSources()),
      relieve: (bytesMax) => this.#server.relieveOutput(bytesMax, READER_STALLED_MS),
    })
    this.#dispatcher = new Dispatcher({
      handlers: [handlers.handlers],
      onClosed: (connection, error) => {
        handlers.connectionClosed(connection)
        if (isNonsense(error)) this.#logNonsense(connection, error)
      },
      log: options.log,
      measured: this.#rooms.measured,
    })
    this.#server = new RemotingServer({
      clock: options.clock,
      network: options.network,
      owner: this.#dispatcher,
      host: options.host,
      port: options.port,
      connectionsMax: options.connectionsMax,
      outputBytesTotalMax: options.outputBytesMax,
    })
  }

  /** Recovers the directory, then listens. Use {@link startBroker}. */
  static async start(options: ResolvedOptions): Promise<Broker> {
    const broker = new Broker(options)
    try {
      await broker.#server.start()
    } catch (error) {
      await broker.close()
      throw error
    }
    broker.#rooms.transactions.start()
    broker.#rooms.order.start((half) => broker.#rooms.transactions.isPending(half))
    broker.#rooms.delay.start()
    broker.#rooms.statistics.start()
    await broker.#rooms.registrar.start(broker.port)
    broker.#retain()
    await broker.#startMetrics()
    return broker
  }

  /** `host:port` for `nameServers`. */
  get address(): string {
    return this.#server.address
  }

  /** Where Prometheus finds the figures; undefined unless `metricsPort` was given. */
  get metricsUrl(): string | undefined {
    return this.#metrics?.url
  }

  get port(): number {
    return this.#server.port
  }

  /** Request codes this broker serves, ascending; any other is answered with "not supported". */
  get requestCodes(): number[] {
    return this.#dispatcher.codes()
  }

  stats(): BrokerStats {
    const { store, pulls, leases, transactions, order, delay, retry, dedup } = this.#rooms
    return {
      connections: this.#server.connections.size,
      remoting: { ...structuredClone(this.#server.stats), outputBytes: this.#outputBytes() },
      requests: this.#dispatcher.stats(),
      store: store.stats(),
      pulls: pulls.stats(),
      leases: leases.stats(),
      transactions: transactions.stats(),
      order: order.stats(),
      delay: delay.stats(),
      retry: retry.stats(),
      dedup: dedup.stats(),
    }
  }

  /**
   * What a topic holds, in log order, bodies decompressed: for programs in this process, tests above all. Reads the whole
   * topic at once.
   */
  messages(topic: string): StoredMessage[] {
    const { topics, store } = this.#rooms
    const found: StoredMessage[] = []
    for (const queue of topics.find(topic)?.queues ?? []) {
      for (let offset = queue.minOffset; offset < queue.maxOffset; offset++) {
        const record = queue.size(offset) === 0 ? undefined : store.read(queue.physicalOffset(offset))
        if (record === undefined) continue
        const message = decodeRecord(record)
        if ((message.sysFlag & SysFlag.COMPRESSED) !== 0) {
          message.body = decompressBody(message.body, message.sysFlag, DECOMPRESSED_BYTES_MAX)
        }
        found.push(message)
      }
    }
    return found.toSorted((a, b) => Number(a.physicalOffset - b.physicalOffset))
  }

  /** Stops accepting, answers what was appended, flushes, frees directory and port. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    this.#retention?.cancel()
    await this.#metrics?.close()
    await this.#rooms.registrar.close()
    const {
      store,
      pulls,
      leases,
      transactions,
      order,
      delay,
      offsets,
      groups,
      producers,
      domains,
      nameServer,
      queues,
    } = this.#rooms
    this.#rooms.statistics.close()
    transactions.close()
    order.close()
    delay.close()
    pulls.close()
    leases.close()
    offsets.flush()
    store.commitTurn()
    groups.close()
    await this.#server.close()
    await queues.close()
    offsets.close()
    nameServer.registry.close()
    producers.close()
    domains.close()
    await store.close()
  }

  async #startMetrics(): Promise<void> {
    try {
      this.#metrics = await startMetrics(this.#options, this.#metricSources())
    } catch (error) {
      await this.close()
      throw error
    }
  }

  #metricSources(): MetricSources {
    const { clock, disk, dataDir } = this.#options
    const { connections, stats } = this.#server
    return {
      ...this.#rooms,
      passedOver,
      clock,
      remoting: () => ({ connections: connections.size, outputBytes: stats.outputBytes, stats }),
      diskUsed: () => disk.usedRatio?.(dataDir),
      memory: () => process.memoryUsage(),
    }
  }

  #outputBytes(): number {
    let bytes = 0
    for (const connection of this.#server.connections) bytes += connection.pendingBytes
    return bytes
  }

  /** One write, one round of answers and one socket write per connection for everything of this turn. */
  #requestCommit(): void {
    if (this.#commitRequested) return
    this.#commitRequested = true
    this.#options.clock.soon(() => {
      this.#commitRequested = false
      this.#rooms.store.commitTurn()
      this.#server.flushDirty()
    })
  }

  /** A peer that does not speak the protocol is told by closing; who runs the broker wants to know why. */
  #logNonsense(connection: Connection, error: TandemError): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#nonsense.since >= NONSENSE_WINDOW_MS) this.#nonsense = { since: now, lines: 0 }
    if (this.#nonsense.lines++ >= NONSENSE_LINES_MAX) return
    const { remoteAddress, remotePort } = connection
    this.#options.log(`connection from ${remoteAddress}:${remotePort} closed: ${error.message}`)
  }

  #retain(): void {
    const { store, transactions, order, delay, leases, dedup, needs } = this.#rooms
    const pins = [transactions, order, delay, leases, dedup]
    dedup.expire()
    const needed = (): number => Math.min(needs.earliest(), ...pins.map((room) => room.earliestPinned()))
    const { removed, forced } = store.retain(needed)
    if (removed > 0) this.#options.log(`retention removed ${removed} bytes of the log`)
    if (forced > 0) this.#logLoss(forced)
    this.#retention = this.#options.clock.setTimer(RETENTION_INTERVAL_MS, () => this.#retain())
  }

  #onFull(isFull: boolean): void {
    const { dataDir, clock } = this.#options
    if (!isFull) return this.#logRoom(`${dataDir} has room again: messages are taken`)
    this.#logRoom(
      `${dataDir} has no room (disk, inodes, quota or file handles): messages are refused until there is some`,
    )
    clock.soon(() => {
      // Before the start is complete there is no timer, and the start retains itself.
      if (this.#retention === undefined || this.#closing !== undefined) return
      this.#retention.cancel()
      this.#retain()
    })
  }

  /** Somebody asked for it by a hard limit, and must see what it cost. */
  #logLoss(bytes: number): void {
    const { log } = this.#options
    const lost = this.#rooms.needs.lost()
    log(`a hard limit of retention removed ${bytes} bytes that were still needed`)
    for (const { group, topic, queueId, messages } of lost.slice(0, LOSSES_LOGGED_MAX)) {
      log(`group ${group} lost ${messages} messages of ${topic} queue ${queueId} that it had not consumed`)
    }
    if (lost.length > LOSSES_LOGGED_MAX) log(`and so on: ${lost.length} queues of groups in all`)
  }
}

/** Whether a peer was sent away for what it did, not for silence. */
function isNonsense(error: Error | undefined): error is TandemError {
  return error instanceof ProtocolError || (error instanceof TandemError && error.code === 'SLOW_READER')
}

/**
 * Starts a broker in this process; it serves when the promise resolves.
 * @throws {TandemError} OPTION_INVALID, ADDRESS_IN_USE, DIRECTORY_LOCKED, DIRECTORY_NOT_WRITABLE, FORMAT_VERSION_UNKNOWN,
 *   LOG_DAMAGED
 */
export async function startBroker(given: BrokerOptions): Promise<Broker> {
  const options = resolveOptions(given, { clock: systemClock, network: systemNetwork, disk: systemDisk })
  return Broker.start(options)
}
