import { FRAME_BYTES_MAX, HeaderView, LanguageCode, PROTOCOL_VERSION, ProtocolError } from '@tandemmq/protocol'
import { formatAddress } from './address.ts'
import type { Clock } from './clock.ts'
import { Connection } from './connection.ts'
import { type ConnectionContext, type ConnectionOwner, emptyStats, type RemotingStats } from './connection-context.ts'
import { FlushQueue } from './flush-queue.ts'
import type { Listener, Network, StreamSocket } from './network.ts'
import { OpenConnections } from './open-connections.ts'
import { RemotingError } from './remoting-error.ts'

export interface RemotingServerOptions {
  clock: Clock
  network: Network
  owner: ConnectionOwner
  /** Address to listen on, e.g. `127.0.0.1`, `0.0.0.0`, `::`. */
  host: string
  /** 0 = any free one. */
  port: number
  /** A connection from which nothing came for so long is closed; 0 = never. Default 120_000, as RocketMQ. */
  idleTimeoutMs?: number
  /**
   * A frame that began must be complete within this time, else its connection is closed; 0 = never. Default 30_000. Time
   * during which this side does not read is not counted.
   */
  frameTimeoutMs?: number
  /** A longer frame closes its connection. Default 16 MiB, as RocketMQ. */
  frameBytesMax?: number
  /** Bytes of unfinished frames held for all connections; above, those with the oldest ones are closed. Default 256 MiB. */
  receiveBytesMax?: number
  /** Output a peer has not taken: above, reading from it pauses. Default 4 MiB. */
  outputBytesHigh?: number
  /** Above, the connection is destroyed. Default 64 MiB. */
  outputBytesMax?: number
  /** Output of all connections: above, the one that has most of it waiting is destroyed. Default 256 MiB. */
  outputBytesTotalMax?: number
  /** Further connections are closed at once. Default 20_000. */
  connectionsMax?: number
  /** Told what `owner` threw; by default nobody is, it is only counted. */
  onError?(error: unknown, connection: Connection): void
}

/** Listens, and hands the requests of every connection to one owner. */
export class RemotingServer {
  readonly stats: RemotingStats = emptyStats()
  #options: RemotingServerOptions
  #connectionsMax: number
  #connections: OpenConnections
  #context: ConnectionContext
  #flushQueue: FlushQueue
  #listener: Listener | undefined
  #closing: Promise<void> | undefined

  constructor(options: RemotingServerOptions) {
    this.#options = options
    this.#connectionsMax = options.connectionsMax ?? 20_000
    this.#flushQueue = new FlushQueue(options.clock)
    this.#connections = new OpenConnections(options.clock, {
      idleTimeoutMs: options.idleTimeoutMs ?? 120_000,
      frameTimeoutMs: options.frameTimeoutMs ?? 30_000,
    })
    this.#context = {
      clock: options.clock,
      flushQueue: this.#flushQueue,
      owner: options.owner,
      stats: this.stats,
      header: new HeaderView(),
      language: LanguageCode.NODE_JS,
      version: PROTOCOL_VERSION,
      unansweredMsMax: Number.POSITIVE_INFINITY,
      pausesReading: true,
      nextId: 1,
      frameBytesMax: options.frameBytesMax ?? FRAME_BYTES_MAX,
      outputBytesHigh: options.outputBytesHigh ?? 4_194_304,
      outputBytesMax: options.outputBytesMax ?? 67_108_864,
      receiveBytesMax: options.receiveBytesMax ?? 268_435_456,
      outputBytesTotalMax: options.outputBytesTotalMax ?? 268_435_456,
      bufferBytes: 0,
      makeOutputRoom: () => this.relieveOutput(this.#context.outputBytesTotalMax, 0),
      makeRoom: () => this.#makeRoom(),
      forget: (connection) => this.#connections.delete(connection),
      onError: (error, connection) => options.onError?.(error, connection),
    }
  }

  /** @throws {RemotingError} ADDRESS_IN_USE; CONNECT_FAILED when the host cannot be bound; CLOSED */
  async start(): Promise<void> {
    if (this.#listener || this.#closing) throw new RemotingError('CLOSED', 'a server starts once')
    const { network, host, port } = this.#options
    this.#listener = await network.listen({ host, port }, (socket) => this.#accept(socket))
  }

  /** `127.0.0.1:9876` or `[::1]:9876`, as bound. @throws {RemotingError} NOT_STARTED */
  get address(): string {
    return formatAddress(this.#bound.host, this.#bound.port)
  }

  /** As bound. @throws {RemotingError} NOT_STARTED */
  get port(): number {
    return this.#bound.port
  }

  /** Open ones and those not yet quite closed. */
  get connections(): ReadonlySet<Connection> {
    return this.#connections.all
  }

  /** Writes the output of all connections now, from the owner's turn; without a call `clock.soon` does it. */
  flushDirty(): void {
    this.#flushQueue.flush()
  }

  /** Stops accepting, lets output leave, and destroys what is still open after `drainTimeoutMs`. Idempotent. */
  close(drainTimeoutMs = 5_000): Promise<void> {
    this.#closing ??= this.#close(drainTimeoutMs)
    return this.#closing
  }

  get #bound(): Listener {
    if (!this.#listener) throw new RemotingError('NOT_STARTED', 'the server does not listen yet')
    return this.#listener
  }

  #accept(socket: StreamSocket): void {
    if (this.#closing || this.#connections.all.size >= this.#connectionsMax) {
      this.stats.connectionsRefused++
      socket.destroy()
      return
    }
    this.#connections.add(new Connection(socket, this.#context))
  }

  /** Whoever takes longest is least likely to be a client at work. */
  #makeRoom(): void {
    const bytesMax = this.#context.receiveBytesMax
    while (this.stats.receivedUnfinishedBytes > bytesMax) {
      let oldest: Connection | undefined
      for (const connection of this.#connections.all) {
        if (connection.unfinishedSince < (oldest?.unfinishedSince ?? Number.POSITIVE_INFINITY)) oldest = connection
      }
      if (oldest === undefined) return
      const detail = `unfinished frames hold more than ${bytesMax} bytes, and this one is the oldest`
      oldest.destroyBecause('RECEIVE_LIMIT', new ProtocolError('FRAME_TIMEOUT', detail))
    }
  }

  /**
   * Closes connections that have taken nothing for `stalledMs`, those with most output waiting first, until all wait for no more
   * than `bytesMax`, or no such connection is left.
   */
  relieveOutput(bytesMax: number, stalledMs: number): void {
    const { stats } = this
    const silentSince = this.#options.clock.monotonic() - stalledMs
    while (stats.outputBytes > bytesMax) {
      let slowest: Connection | undefined
      for (const connection of this.#connections.all) {
        if (!connection.isOpen || connection.lastActiveAt > silentSince) continue
        if (connection.pendingBytes > (slowest?.pendingBytes ?? 0)) slowest = connection
      }
      if (slowest === undefined) return
      const detail = `answers to all peers hold more than ${bytesMax} bytes, and this one has most of them: ${slowest.pendingBytes}`
      slowest.destroyBecause('SLOW_READER', new RemotingError('SLOW_READER', detail))
    }
  }

  async #close(drainTimeoutMs: number): Promise<void> {
    await this.#listener?.close()
    await this.#connections.close(drainTimeoutMs)
  }
}
