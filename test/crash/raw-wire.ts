import { connect, type Socket } from 'node:net'

export interface Answer {
  readonly code: number
  readonly opaque: number
  readonly remark?: string
  readonly extFields?: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** Requests and answers over one connection, JSON headers. */
export class Wire {
  readonly socket: Socket
  readonly #waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>()
  #opaque = 1
  #kept = Buffer.alloc(0)

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.setNoDelay(true)
    this.socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    const fail = (): void => {
      for (const { reject } of this.#waiting.values()) reject(new Error('connection lost'))
      this.#waiting.clear()
    }
    this.socket.on('error', fail)
    this.socket.on('close', fail)
  }

  request(code: number, extFields: Record<string, string | number | boolean>, body = Buffer.alloc(0)): Promise<Answer> {
    const opaque = this.#opaque++
    const strings = Object.fromEntries(Object.entries(extFields).map(([key, value]) => [key, String(value)]))
    const header = Buffer.from(
      JSON.stringify({ code, extFields: strings, flag: 0, language: 'OTHER', opaque, version: 441 }),
    )
    const frame = Buffer.alloc(8 + header.length + body.length)
    frame.writeInt32BE(frame.length - 4, 0)
    frame.writeInt32BE(header.length, 4)
    header.copy(frame, 8)
    body.copy(frame, 8 + header.length)
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) return reject(new Error('connection lost'))
      this.#waiting.set(opaque, { resolve, reject })
      this.socket.write(frame)
    })
  }

  #onData(bytes: Buffer): void {
    const all = Buffer.concat([this.#kept, bytes])
    let at = 0
    while (all.length - at >= 4 && all.length - at >= 4 + all.readInt32BE(at)) {
      const end = at + 4 + all.readInt32BE(at)
      const headerEnd = at + 8 + (all.readInt32BE(at + 4) & 0xffffff)
      const header = JSON.parse(all.toString('utf8', at + 8, headerEnd)) as Omit<Answer, 'body'>
      const asked = this.#waiting.get(header.opaque)
      this.#waiting.delete(header.opaque)
      asked?.resolve({ ...header, body: all.subarray(headerEnd, end) })
      at = end
    }
    this.#kept = all.subarray(at)
  }
}
