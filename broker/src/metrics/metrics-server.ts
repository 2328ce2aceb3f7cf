import { type Clock, formatAddress, type Listener, type Network, type StreamSocket } from '@tandemmq/remoting'
import { CONTENT_TYPE } from './exposition.ts'
import type { Metrics } from './metrics.ts'

const REQUEST_BYTES_MAX = 8_192
const CONNECTIONS_MAX = 16
/** For the request, and for taking the answer. */
const TIMEOUT_MS = 10_000
/** Work done before others have their turn. */
const SLICE_MS = 1
const END_OF_HEAD = '\r\n\r\n'

/**
 * GET /metrics over HTTP/1.1, one request per connection. It knows nothing else: no keep-alive, no TLS, no authentication, so it
 * belongs on an address only the collector reaches.
 */
export class MetricsServer {
  readonly #clock: Clock
  readonly #network: Network
  readonly #metrics: Metrics
  readonly #sockets = new Set<StreamSocket>()
  #listener: Listener | undefined
  #isClosed = false

  constructor(options: { clock: Clock; network: Network; metrics: Metrics }) {
    this.#clock = options.clock
    this.#network = options.network
    this.#metrics = options.metrics
  }

  /** @throws {TandemError} ADDRESS_IN_USE, CONNECT_FAILED */
  async start(host: string, port: number): Promise<void> {
    this.#listener = await this.#network.listen({ host, port }, (socket) => this.#accept(socket))
  }

  /** `http://127.0.0.1:9100/metrics`; undefined before the start. */
  get url(): string | undefined {
    const listener = this.#listener
    return listener && `http://${formatAddress(listener.host, listener.port)}/metrics`
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const socket of this.#sockets) socket.destroy()
    await this.#listener?.close()
  }

  #accept(socket: StreamSocket): void {
    let head = ''
    let isAnswering = false
    const timer = this.#clock.setTimer(TIMEOUT_MS, () => socket.destroy())
    this.#sockets.add(socket)
    socket.handler = {
      onData: (bytes, start, end) => {
        if (isAnswering) return
        head += bytes.toString('latin1', start, end)
        const isWhole = head.includes(END_OF_HEAD)
        if (!isWhole && head.length <= REQUEST_BYTES_MAX) return
        isAnswering = true
        this.#answer(socket, isWhole ? head : '')
      },
      onDrain: () => {},
      onClose: () => {
        timer.cancel()
        this.#sockets.delete(socket)
      },
    }
    if (this.#sockets.size > CONNECTIONS_MAX || this.#isClosed) socket.destroy()
  }

  #answer(socket: StreamSocket, head: string): void {
    const [, method = '', path = ''] = /^([A-Z]+) (\/[^ ?]*)[^ ]* HTTP\/1\.[01]\r\n/.exec(head) ?? []
    if (method === '') return refuse(socket, '400 Bad Request', 'this is no HTTP request\n')
    if (path !== '/metrics') return refuse(socket, '404 Not Found', 'there is only /metrics\n')
    if (method !== 'GET') return refuse(socket, '405 Method Not Allowed', 'GET only\n')
    this.#render(socket, this.#metrics.pieces(), [])
  }

  #render(socket: StreamSocket, pieces: Generator<string>, parts: Buffer[]): void {
    if (!this.#sockets.has(socket)) return
    const began = this.#clock.monotonic()
    let text = ''
    try {
      do {
        const { done, value } = pieces.next()
        if (done === true) return send(socket, '200 OK', [...parts, Buffer.from(text)])
        text += value
      } while (this.#clock.monotonic() - began < SLICE_MS)
    } catch (error) {
      return refuse(socket, '500 Internal Server Error', `${error instanceof Error ? error.message : String(error)}\n`)
    }
    if (text !== '') parts.push(Buffer.from(text))
    this.#clock.soon(() => this.#render(socket, pieces, parts))
  }
}

function refuse(socket: StreamSocket, status: string, text: string): void {
  send(socket, status, [Buffer.from(text)], 'text/plain; charset=utf-8')
}

function send(socket: StreamSocket, status: string, parts: readonly Buffer[], type = CONTENT_TYPE): void {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const fields = [`Content-Type: ${type}`, `Content-Length: ${length}`, 'Connection: close']
  const head = Buffer.from(`HTTP/1.1 ${status}\r\n${fields.join('\r\n')}${END_OF_HEAD}`, 'latin1')
  for (const part of [head, ...parts]) if (part.length > 0) socket.write(part, 0, part.length)
  socket.end()
}
