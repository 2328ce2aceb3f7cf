import { connect, type Socket } from 'node:net'
import { encodeFrame, type ExtFields, type Frame, FrameReader } from './frames.ts'

/** Requests and answers over one connection, JSON headers. */
export class Wire {
  readonly socket: Socket
  readonly #waiting = new Map<number, { resolve(answer: Frame): void; reject(error: Error): void }>()
  #opaque = 1

  constructor(port: number) {
    const reader = new FrameReader((answer) => {
      const asked = this.#waiting.get(answer.opaque)
      this.#waiting.delete(answer.opaque)
      asked?.resolve(answer)
    })
    this.socket = connect(port, '127.0.0.1')
    this.socket.setNoDelay(true)
    this.socket.on('data', (bytes: Buffer) => reader.push(bytes))
    const fail = (): void => {
      for (const { reject } of this.#waiting.values()) reject(new Error('connection lost'))
      this.#waiting.clear()
    }
    this.socket.on('error', fail)
    this.socket.on('close', fail)
  }

  request(code: number, extFields: ExtFields, body?: Buffer): Promise<Frame> {
    const opaque = this.#opaque++
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) return reject(new Error('connection lost'))
      this.#waiting.set(opaque, { resolve, reject })
      this.socket.write(encodeFrame({ code, opaque }, extFields, body))
    })
  }
}
