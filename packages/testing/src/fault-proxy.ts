import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { FrameWatch } from './frame-watch.ts'
import type { FrameHead } from './frame-watch.ts'

/** A TCP proxy on real sockets between client and broker that fails on demand. */
export interface FaultProxy extends AsyncDisposable {
  /** `127.0.0.1:PORT`: what the client dials instead of the broker. */
  readonly address: string
  /** Connections open right now. */
  readonly connections: number
  /** Every chunk of bytes, both ways, arrives this much later, in order. 0 = at once. */
  delay(ms: number): void
  /** Silence: nothing passes in either direction, connections stay open, new ones are accepted and hear nothing. */
  cut(): void
  /** Ends {@link cut}; what was held back passes now. */
  heal(): void
  /** Closes every connection with RST, as a crashed peer does. New connections work. */
  reset(): void
  /**
   * Swallows one reply of the broker whole: the request was carried out and the client does not hear of it.
   * @param k which reply from now on, 1 = the next
   * @param requestCode count only replies to requests of this code, e.g. 310 (send)
   * @returns resolves when the reply was dropped
   */
  dropReply(k?: number, requestCode?: number): Promise<void>
  close(): Promise<void>
}

/** @param target `host:port` of the broker */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const proxy = new Proxy(target)
  await proxy.listen()
  return proxy
}

interface Drop {
  left: number
  requestCode: number | undefined
  done: () => void
}

class Proxy implements FaultProxy {
  readonly #server: Server
  readonly #links = new Set<Link>()
  readonly #drops: Drop[] = []
  readonly #target: { host: string; port: number }
  delayMs = 0
  isCut = false

  constructor(target: string) {
    const colon = target.lastIndexOf(':')
    this.#target = { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) }
    this.#server = createServer((client) => {
      const link: Link = new Link(client, connect(this.#target), this, () => this.#links.delete(link))
      this.#links.add(link)
    })
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, '127.0.0.1', () => resolve())
    })
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get connections(): number {
    return this.#links.size
  }

  delay(ms: number): void {
    this.delayMs = ms
  }

  cut(): void {
    this.isCut = true
  }

  heal(): void {
    this.isCut = false
    for (const link of this.#links) link.pump()
  }

  reset(): void {
    for (const link of this.#links) link.reset()
  }

  dropReply(k = 1, requestCode?: number): Promise<void> {
    return new Promise((resolve) => this.#drops.push({ left: k, requestCode, done: resolve }))
  }

  /** Whether this reply is the one to swallow. */
  swallows(requestCode: number | undefined): boolean {
    for (const [at, drop] of this.#drops.entries()) {
      if (drop.requestCode !== undefined && drop.requestCode !== requestCode) continue
      drop.left--
      if (drop.left > 0) continue
      this.#drops.splice(at, 1)
      drop.done()
      return true
    }
    return false
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.reset()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** One client connection and the one to the broker behind it. */
class Link {
  readonly #client: Socket
  readonly #broker: Socket
  readonly #proxy: Proxy
  readonly #codes = new Map<number, number>()
  readonly #held: { to: Socket; bytes: Buffer; dueAt: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(client: Socket, broker: Socket, proxy: Proxy, onGone: () => void) {
    this.#client = client
    this.#broker = broker
    this.#proxy = proxy
    const requests = new FrameWatch((bytes, head) => this.#fromClient(bytes, head))
    const replies = new FrameWatch((bytes, head) => this.#fromBroker(bytes, head))
    client.setNoDelay(true)
    broker.setNoDelay(true)
    client.on('data', (bytes) => requests.push(bytes as Buffer))
    broker.on('data', (bytes) => replies.push(bytes as Buffer))
    for (const [socket, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        clearTimeout(this.#timer)
        other.destroy()
        onGone()
      })
    }
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#broker.resetAndDestroy()
  }

  /** Passes on what is due; calls itself again for what is not. */
  pump(): void {
    clearTimeout(this.#timer)
    if (this.#proxy.isCut) return
    for (let next = this.#held[0]; next !== undefined; next = this.#held[0]) {
      const waitMs = next.dueAt - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs)
        return
      }
      this.#held.shift()
      next.to.write(next.bytes)
    }
  }

  #fromClient(bytes: Buffer, head: FrameHead | undefined): void {
    if (head !== undefined && !head.isReply) this.#codes.set(head.opaque, head.code)
    this.#hold(this.#broker, bytes)
  }

  #fromBroker(bytes: Buffer, head: FrameHead | undefined): void {
    if (head?.isReply) {
      const requestCode = this.#codes.get(head.opaque)
      this.#codes.delete(head.opaque)
      if (this.#proxy.swallows(requestCode)) return
    }
    this.#hold(this.#client, bytes)
  }

  #hold(to: Socket, bytes: Buffer): void {
    this.#held.push({ to, bytes, dueAt: performance.now() + this.#proxy.delayMs })
    this.pump()
  }
}
