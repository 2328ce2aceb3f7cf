import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

type Direction = 'request' | 'reply'

/** A TCP proxy for any protocol that fails on demand; frames are nothing to it. */
export class StreamProxy implements AsyncDisposable {
  readonly #target: { host: string; port: number }
  readonly #server: Server
  readonly #links = new Set<Link>()
  /** Every chunk, both ways, arrives this much later, in order; ms. */
  delayMs = 0
  isHeld: Readonly<Record<Direction, boolean>> = { request: false, reply: false }

  private constructor(port: number) {
    this.#target = { host: '127.0.0.1', port }
    this.#server = createServer((client) => {
      const link: Link = new Link(client, connect(this.#target), this, () => this.#links.delete(link))
      this.#links.add(link)
    })
  }

  /** @param port of the server behind, which may come and go */
  static async start(port: number): Promise<StreamProxy> {
    const proxy = new StreamProxy(port)
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject)
      proxy.#server.listen(0, '127.0.0.1', () => resolve())
    })
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Where connections from now on go; those that are open end. */
  retarget(port: number): void {
    this.#target.port = port
    this.reset()
  }

  /** Silence, connections stay open: in both directions, or in one only, so that what is asked is done and not answered. */
  cut(direction?: Direction): void {
    this.isHeld = { request: direction !== 'reply', reply: direction !== 'request' }
  }

  /** Ends {@link cut}; what was held back arrives now. */
  heal(): void {
    this.isHeld = { request: false, reply: false }
    for (const link of this.#links) link.pump()
  }

  /** Ends every connection with RST; what was held back is lost. */
  reset(): void {
    for (const link of this.#links) link.reset()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.reset()
    await closed
  }
}

class Lane {
  readonly #to: Socket
  readonly #direction: Direction
  readonly #proxy: StreamProxy
  readonly #held: { bytes: Buffer; dueAt: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket, direction: Direction, proxy: StreamProxy) {
    this.#to = to
    this.#direction = direction
    this.#proxy = proxy
    from.on('data', (bytes) => this.#take(bytes as Buffer))
  }

  #take(bytes: Buffer): void {
    const { delayMs, isHeld } = this.#proxy
    if (delayMs === 0 && !isHeld[this.#direction] && this.#held.length === 0) {
      this.#to.write(bytes)
      return
    }
    this.#held.push({ bytes, dueAt: performance.now() + delayMs })
    this.pump()
  }

  pump(): void {
    clearTimeout(this.#timer)
    if (this.#proxy.isHeld[this.#direction]) return
    for (let next = this.#held[0]; next !== undefined; next = this.#held[0]) {
      const waitMs = next.dueAt - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs)
        return
      }
      this.#held.shift()
      this.#to.write(next.bytes)
    }
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

class Link {
  readonly #client: Socket
  readonly #server: Socket
  readonly #lanes: readonly Lane[]

  constructor(client: Socket, server: Socket, proxy: StreamProxy, onGone: () => void) {
    this.#client = client
    this.#server = server
    this.#lanes = [new Lane(client, server, 'request', proxy), new Lane(server, client, 'reply', proxy)]
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      socket.setNoDelay(true)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        for (const lane of this.#lanes) lane.stop()
        // What the server said before it ended (an error, a farewell) arrives first.
        if (socket === server) other.end()
        else other.destroy()
        onGone()
      })
    }
  }

  pump(): void {
    for (const lane of this.#lanes) lane.pump()
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#server.resetAndDestroy()
  }
}
