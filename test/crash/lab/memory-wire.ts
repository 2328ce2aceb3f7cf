import type { Network, StreamSocket } from '@tandemmq/remoting'
import { encodeFrame, type ExtFields, type Frame, FrameReader, isResponse, ONEWAY } from '../frames.ts'

/** Requests and answers over a connection of a memory network. Whoever waits when it breaks waits for ever: the machine is gone. */
export class MemoryWire {
  readonly #socket: StreamSocket
  readonly #waiting = new Map<number, (answer: Frame) => void>()
  #opaque = 1
  /** Gets what the broker asks. */
  onRequest: (frame: Frame) => void = () => {}

  private constructor(socket: StreamSocket) {
    this.#socket = socket
    const reader = new FrameReader((frame) => {
      if (!isResponse(frame)) return this.onRequest(frame)
      const answer = this.#waiting.get(frame.opaque)
      this.#waiting.delete(frame.opaque)
      answer?.(frame)
    })
    socket.handler = {
      onData: (bytes, start, end) => reader.push(bytes.subarray(start, end)),
      onDrain: () => {},
      onClose: () => {},
    }
  }

  static async open(network: Network, host: string, port: number): Promise<MemoryWire> {
    return new MemoryWire(await network.connect({ host, port, timeoutMs: 1_000 }))
  }

  request(code: number, extFields: ExtFields, body?: Buffer): Promise<Frame> {
    const opaque = this.#opaque++
    return new Promise((resolve) => {
      this.#waiting.set(opaque, resolve)
      this.#write(encodeFrame({ code, opaque }, extFields, body))
    })
  }

  oneway(code: number, extFields: ExtFields, body?: Buffer): void {
    this.#write(encodeFrame({ code, opaque: this.#opaque++, flag: ONEWAY }, extFields, body))
  }

  close(): void {
    this.#socket.destroy()
  }

  #write(frame: Buffer): void {
    this.#socket.write(frame, 0, frame.length)
  }
}
