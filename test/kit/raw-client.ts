import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type CommandInit, decodeCommand, encodeCommand, FrameSplitter, type RemotingCommand } from '@tandemmq/protocol'

/** A connection that sends bytes as they are, right or wrong, and decodes the answers. */
export class RawClient {
  readonly #socket: Socket
  readonly #answers: RemotingCommand[] = []
  readonly #waiting: ((answer: RemotingCommand | undefined) => void)[] = []
  #isClosed = false
  #opaque = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    const splitter = new FrameSplitter({
      onFrame: (bytes, start, end) => this.#arrived(decodeCommand(Buffer.from(bytes.subarray(start - 4, end)))),
    })
    socket.on('data', (bytes: Buffer) => splitter.push(bytes, 0, bytes.length))
    // Bytes still under way when the broker closes end in a reset, which is the same to us.
    socket.on('error', () => undefined)
    socket.once('close', () => {
      this.#isClosed = true
      for (const give of this.#waiting.splice(0)) give(undefined)
    })
  }

  static async connect(address: string): Promise<RawClient> {
    const at = address.lastIndexOf(':')
    const socket = connect({ host: address.slice(0, at), port: Number(address.slice(at + 1)) })
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** @returns the answer, undefined when the broker closed the connection instead */
  ask(init: CommandInit): Promise<RemotingCommand | undefined> {
    this.write(encodeCommand({ version: 441, ...init, opaque: ++this.#opaque }))
    return this.answer()
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  answer(): Promise<RemotingCommand | undefined> {
    const ready = this.#answers.shift()
    if (ready !== undefined || this.#isClosed) return Promise.resolve(ready)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  end(): void {
    this.#socket.destroy()
  }

  #arrived(answer: RemotingCommand): void {
    const give = this.#waiting.shift()
    if (give === undefined) this.#answers.push(answer)
    else give(answer)
  }
}
