import type { Socket } from 'node:net'
import { normalizeHost } from './address.ts'
import type { SocketHandler, StreamSocket } from './network.ts'

const nobody: SocketHandler = { onData() {}, onDrain() {}, onClose() {} }

/** A TCP socket of the machine. */
export class SystemSocket implements StreamSocket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  handler: SocketHandler = nobody
  #socket: Socket
  #writable = true
  #waitsForDrain = false
  #error: Error | undefined
  #written: (error?: Error | null) => void

  constructor(socket: Socket) {
    this.#socket = socket
    this.remoteAddress = normalizeHost(socket.remoteAddress ?? '')
    this.remotePort = socket.remotePort ?? 0
    this.localAddress = normalizeHost(socket.localAddress ?? '')
    this.localPort = socket.localPort ?? 0
    this.#written = (error) => {
      if (error || !this.#waitsForDrain || socket.writableLength > 0) return
      this.#waitsForDrain = false
      this.handler.onDrain()
    }
    // The peer said it will send no more: as in RocketMQ the connection ends, what was written before still leaves.
    socket.on('end', () => {
      this.#writable = false
    })
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.on('close', () => {
      this.#writable = false
      const handler = this.handler
      this.handler = nobody
      handler.onClose(this.#error)
    })
  }

  /** Plain reading: Node allocates a buffer per read. */
  readEvents(): void {
    this.#socket.on('data', (bytes: Buffer) => this.handler.onData(bytes, 0, bytes.length))
  }

  get pendingBytes(): number {
    return this.#socket.writableLength
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (!this.#writable) return
    this.#socket.write(bytes.subarray(start, end), this.#written)
    if (this.#socket.writableLength > 0) this.#waitsForDrain = true
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    this.#writable = false
    this.#socket.end()
    // An unread input would hide the peer's FIN and keep the socket for ever.
    this.#socket.resume()
  }

  destroy(error?: Error): void {
    this.#writable = false
    this.#error ??= error
    this.#socket.destroy()
  }
}
