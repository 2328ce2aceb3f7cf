import { formatAddress } from './address.ts'
import type { Clock } from './clock.ts'
import { MemorySocket, type Wire } from './memory-socket.ts'
import type { Listener, Network, StreamSocket } from './network.ts'
import { RemotingError } from './remoting-error.ts'

export interface MemoryNetworkOptions {
  clock: Clock
  /** One-way delay: a fixed number of ms, or the bounds between which chance picks one per write. Default [0.05, 0.5]. */
  latencyMs?: number | readonly [number, number]
  /** Largest piece handed to a reader; how a stream is cut below that is chance. Default 65_536. */
  chunkBytesMax?: number
  /** What the two kernels together take before the writer has to wait, per direction. Default 262_144. */
  windowBytes?: number
}

export type CutDirection = 'both' | 'toServer' | 'toClient'

type Peer = { socket: MemorySocket; client: string; server: string }

/**
 * TCP in memory: ordered, byte-exact streams with delay, chance chunks and real back-pressure, delivered by the timers of
 * its clock, so on a virtual clock a seed decides everything. Faults name the listener (`host:port`) or any host.
 */
export class MemoryNetwork implements Network {
  #clock: Clock
  #latency: readonly [number, number]
  #listeners = new Map<string, (socket: StreamSocket) => void>()
  #peers = new Set<Peer>()
  #cuts = new Map<string, CutDirection>()
  #delays = new Map<string, number>()
  #refused = new Set<string>()
  #nextPort = 40_000
  #waiting: (() => void)[] = []
  #options: { chunkBytesMax: number; windowBytes: number }

  constructor(options: MemoryNetworkOptions) {
    this.#clock = options.clock
    const latency = options.latencyMs ?? [0.05, 0.5]
    this.#latency = typeof latency === 'number' ? [latency, latency] : latency
    this.#options = { chunkBytesMax: options.chunkBytesMax ?? 65_536, windowBytes: options.windowBytes ?? 262_144 }
  }

  listen(where: { host: string; port: number }, onSocket: (socket: StreamSocket) => void): Promise<Listener> {
    const host = hostOf(where.host)
    const port = where.port === 0 ? this.#nextPort++ : where.port
    const key = formatAddress(host, port)
    if (this.#listeners.has(key)) {
      return Promise.reject(new RemotingError('ADDRESS_IN_USE', `${key}: another program listens there`))
    }
    this.#listeners.set(key, onSocket)
    const close = (): Promise<void> => {
      if (this.#listeners.get(key) === onSocket) this.#listeners.delete(key)
      return Promise.resolve()
    }
    return Promise.resolve({ host, port, close })
  }

  connect(where: { host: string; port: number; timeoutMs: number }): Promise<StreamSocket> {
    return this.#connectFrom('127.0.0.1', where)
  }

  /** The same network seen from another machine: its connections come from `address`, and faults may name it. */
  host(address: string): Network {
    return {
      listen: (where, onSocket) => this.listen(where, onSocket),
      connect: (where) => this.#connectFrom(address, where),
    }
  }

  /** Nothing passes until {@link heal}; as with TCP, what was sent meanwhile arrives then. */
  cut(address: string, direction: CutDirection = 'both'): void {
    this.#cuts.set(address, direction)
  }

  /** Ends {@link cut}, {@link refuse} and {@link delay} of `address`. */
  heal(address: string): void {
    this.#cuts.delete(address)
    this.#delays.delete(address)
    this.#refused.delete(address)
    for (const peer of this.#peers) peer.socket.wake()
    for (const retry of this.#waiting.splice(0)) retry()
  }

  /** New connections are refused. */
  refuse(address: string): void {
    this.#refused.add(address)
  }

  /** Adds to the delay of every write, each way. */
  delay(address: string, ms: number): void {
    this.#delays.set(address, ms)
  }

  /** The open connections fall silent for ever, neither side is told: a NAT forgot them, a peer lost power. */
  halfOpen(address: string): void {
    for (const peer of this.#peers) if (concerns(peer, address)) peer.socket.vanish()
  }

  /** The open connections end with ECONNRESET on both sides; bytes under way are lost. */
  reset(address: string): void {
    for (const peer of this.#peers) if (concerns(peer, address)) peer.socket.reset()
  }

  /** Ends of open connections. */
  get openSockets(): number {
    return this.#peers.size
  }

  #connectFrom(clientHost: string, where: { host: string; port: number; timeoutMs: number }): Promise<StreamSocket> {
    const host = hostOf(where.host)
    const server = formatAddress(host, where.port)
    const client = formatAddress(clientHost, this.#nextPort++)
    return new Promise((resolve, reject) => {
      let isOver = false
      const fail = (detail: string): void => {
        isOver = true
        timer.cancel()
        reject(new RemotingError('CONNECT_FAILED', `${server}: ${detail}`))
      }
      const timer = this.#clock.setTimer(where.timeoutMs, () => fail(`no connection within ${where.timeoutMs} ms`))
      const attempt = (): void => {
        if (isOver) return
        const wire = this.#wire(client, server)
        if (wire.isCut('toServer') || wire.isCut('toClient')) {
          this.#waiting.push(attempt)
          return
        }
        const onSocket = this.#listenerAt(host, where.port)
        if (onSocket === undefined || this.#isRefused(client, server)) return fail('connect ECONNREFUSED')
        isOver = true
        timer.cancel()
        resolve(this.#establish(client, server, wire, onSocket))
      }
      this.#clock.setTimer(this.#latencyOf(client, server) + this.#latencyOf(client, server), attempt)
    })
  }

  #establish(client: string, server: string, wire: Wire, onSocket: (socket: StreamSocket) => void): StreamSocket {
    const near = new MemorySocket(client, server, 'toServer', wire)
    const far = new MemorySocket(server, client, 'toClient', wire)
    near.join(far)
    for (const socket of [near, far]) {
      const peer = { socket, client, server }
      this.#peers.add(peer)
      socket.onGone = () => void this.#peers.delete(peer)
    }
    onSocket(far)
    return near
  }

  #wire(client: string, server: string): Wire {
    return {
      clock: this.#clock,
      ...this.#options,
      latency: () => this.#latencyOf(client, server),
      isCut: (direction) =>
        this.#cuts.size > 0 &&
        [server, hostPart(server), hostPart(client)].some((address) => {
          const cut = this.#cuts.get(address)
          return cut === 'both' || cut === direction
        }),
    }
  }

  #latencyOf(client: string, server: string): number {
    const [low, high] = this.#latency
    let ms = low + (high > low ? this.#clock.random() * (high - low) : 0)
    if (this.#delays.size === 0) return ms
    for (const address of [server, hostPart(server), hostPart(client)]) ms += this.#delays.get(address) ?? 0
    return ms
  }

  #isRefused(client: string, server: string): boolean {
    return this.#refused.has(server) || this.#refused.has(hostPart(server)) || this.#refused.has(hostPart(client))
  }

  #listenerAt(host: string, port: number): ((socket: StreamSocket) => void) | undefined {
    const any = host.includes(':') ? '::' : '0.0.0.0'
    return this.#listeners.get(formatAddress(host, port)) ?? this.#listeners.get(formatAddress(any, port))
  }
}

function concerns(peer: Peer, address: string): boolean {
  return peer.server === address || hostPart(peer.server) === address || hostPart(peer.client) === address
}

function hostOf(host: string): string {
  return host === 'localhost' ? '127.0.0.1' : host
}

function hostPart(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '')
}
