import {
  CLIENT_VERSION,
  type CommandInit,
  FRAME_BYTES_MAX,
  HeaderView,
  LanguageCode,
  type RemotingCommand,
  ResponseCode,
} from '@tandemmq/protocol'
import { parseAddress } from './address.ts'
import type { Clock } from './clock.ts'
import { Connection } from './connection.ts'
import { type ConnectionContext, type ConnectionOwner, emptyStats, type RemotingStats } from './connection-context.ts'
import { FlushQueue } from './flush-queue.ts'
import type { Network } from './network.ts'
import { OpenConnections } from './open-connections.ts'
import { RemotingError } from './remoting-error.ts'

export interface RemotingClientOptions {
  clock: Clock
  network: Network
  /** Gets what servers ask of this client. Default: such requests are answered "not supported". */
  owner?: ConnectionOwner
  /** Default 3000, as RocketMQ. */
  connectTimeoutMs?: number
  /** A connection from which nothing came for so long is closed; 0 = never. Default 120_000, as RocketMQ. */
  idleTimeoutMs?: number
  /**
   * A connection on which requests time out and nothing is received for so long is ended, so that the next request makes a new one:
   * a half-open connection looks like that. Default 5,000; Infinity waits for `idleTimeoutMs`.
   */
  unansweredMsMax?: number
  /** Language code of frames that name none. Default NODE_JS. */
  language?: number
  frameBytesMax?: number
  outputBytesHigh?: number
  outputBytesMax?: number
  /** Told what `owner` threw; by default nobody is, it is only counted. */
  onError?(error: unknown, connection: Connection): void
}

/** Connections to servers, one per address, made when first needed and again after one was lost. */
export class RemotingClient {
  readonly stats: RemotingStats = emptyStats()
  #options: RemotingClientOptions
  #open = new Map<string, Connection>()
  #attempts = new Map<string, Promise<Connection>>()
  #connections: OpenConnections
  #context: ConnectionContext
  #flushQueue: FlushQueue
  #closing: Promise<void> | undefined

  constructor(options: RemotingClientOptions) {
    this.#options = options
    this.#flushQueue = new FlushQueue(options.clock)
    this.#connections = new OpenConnections(options.clock, {
      idleTimeoutMs: options.idleTimeoutMs ?? 120_000,
      frameTimeoutMs: 0,
    })
    this.#context = {
      clock: options.clock,
      flushQueue: this.#flushQueue,
      owner: options.owner ?? answersNothing,
      stats: this.stats,
      header: new HeaderView(),
      language: options.language ?? LanguageCode.NODE_JS,
      version: CLIENT_VERSION,
      unansweredMsMax: options.unansweredMsMax ?? 5_000,
      pausesReading: false,
      nextId: 1,
      frameBytesMax: options.frameBytesMax ?? FRAME_BYTES_MAX,
      outputBytesHigh: options.outputBytesHigh ?? 4_194_304,
      outputBytesMax: options.outputBytesMax ?? 67_108_864,
      // A client chose its servers; a slow line is no reason to ask for the same bytes again.
      receiveBytesMax: Number.POSITIVE_INFINITY,
      outputBytesTotalMax: Number.POSITIVE_INFINITY,
      bufferBytes: 0,
      makeOutputRoom: () => {},
      makeRoom: () => {},
      forget: (connection) => this.#forget(connection),
      onError: (error, connection) => options.onError?.(error, connection),
    }
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections.all
  }

  /** The connection to `address` if there is one now; no promise, for hot code. */
  openConnection(address: string): Connection | undefined {
    const connection = this.#open.get(address)
    return connection?.isOpen ? connection : undefined
  }

  /**
   * The connection to `address`. Callers that come while it is being made share the attempt; a failed one is forgotten.
   * @param address `host:port` or `[::1]:port`; names are looked up at each attempt
   * @throws {RemotingError} CONNECT_FAILED; CLOSED; OPTION_INVALID for a malformed address
   */
  connection(address: string): Promise<Connection> {
    if (this.#closing) return Promise.reject(new RemotingError('CLOSED', 'the client is closed'))
    const open = this.openConnection(address)
    if (open) return Promise.resolve(open)
    let attempt = this.#attempts.get(address)
    if (!attempt) {
      attempt = this.#connect(address).finally(() => this.#attempts.delete(address))
      this.#attempts.set(address, attempt)
    }
    return attempt
  }

  /**
   * Connects if need be and sends; `timeoutMs` covers both.
   * @throws {RemotingError} as {@link connection} and `Connection.request`
   */
  async request(address: string, init: CommandInit, timeoutMs: number, signal?: AbortSignal): Promise<RemotingCommand> {
    const open = this.openConnection(address)
    if (open) return open.request(init, timeoutMs, signal)
    const deadline = this.#options.clock.monotonic() + timeoutMs
    const connection = await this.#within(this.connection(address), timeoutMs, signal)
    return connection.request(init, Math.max(0, deadline - this.#options.clock.monotonic()), signal)
  }

  /** Connects if need be and sends a request that is never answered. @throws {RemotingError} as {@link connection} */
  async oneway(address: string, init: CommandInit): Promise<void> {
    const connection = this.openConnection(address) ?? (await this.connection(address))
    connection.oneway(init)
  }

  /** Lets output leave, then closes; what is still open after `drainTimeoutMs` is destroyed. Idempotent. */
  close(drainTimeoutMs = 1_000): Promise<void> {
    this.#closing ??= this.#connections.close(drainTimeoutMs)
    return this.#closing
  }

  async #connect(address: string): Promise<Connection> {
    const { host, port } = parseAddress(address)
    const { network, connectTimeoutMs } = this.#options
    const socket = await network.connect({ host, port, timeoutMs: connectTimeoutMs ?? 3_000 })
    if (this.#closing) {
      socket.destroy()
      throw new RemotingError('CLOSED', 'the client was closed while it connected')
    }
    const connection = new Connection(socket, this.#context)
    this.#open.set(address, connection)
    this.#connections.add(connection)
    return connection
  }

  /** The attempt goes on for others when this caller's time is over. */
  #within(attempt: Promise<Connection>, timeoutMs: number, signal: AbortSignal | undefined): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        attempt.catch(() => {})
        return reject(new RemotingError('ABORTED', 'request aborted', { cause: signal.reason }))
      }
      const leave = (): void => {
        timer.cancel()
        signal?.removeEventListener('abort', abort)
      }
      const abort = (): void => {
        leave()
        reject(new RemotingError('ABORTED', 'request aborted', { cause: signal?.reason }))
      }
      const timer = this.#options.clock.setTimer(timeoutMs, () => {
        leave()
        reject(new RemotingError('REQUEST_TIMEOUT', `no connection within ${timeoutMs} ms`))
      })
      signal?.addEventListener('abort', abort, { once: true })
      attempt.finally(leave).then(resolve, reject)
    })
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection)
    for (const [address, open] of this.#open) if (open === connection) this.#open.delete(address)
  }
}

const answersNothing: ConnectionOwner = {
  onRequest(connection: Connection, header: HeaderView): void {
    if ((header.flag & 2) !== 0) return
    const remark = ` request type ${header.code} not supported`
    connection.reply(header, { code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark })
  },
  onClosed() {},
}
