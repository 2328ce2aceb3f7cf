import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type CommandInit, decodeCommand, encodeCommand, FrameSplitter, type RemotingCommand } from '@tandemmq/protocol'

/** A connection that sends bytes as they are, right or wrong, and decodes the answers. */
export class RawClient {
  readonly #socket: Socket
  readonly #answers: RemotingCommand[] = []
  readonly #waiting: ((answer: RemotingCommand | undefined) => void)[] = []
  readonly #closed: Promise<unknown>
  #isClosed = false
  #opaque = 0
  /** What the broker asked of this client. */
  readonly requests: RemotingCommand[] = []

  private constructor(socket: Socket) {
    this.#socket = socket
    const splitter = new FrameSplitter({
      onFrame: (bytes, start, end) => this.#arrived(decodeCommand(Buffer.from(bytes.subarray(start - 4, end)))),
    })
    socket.on('data', (bytes: Buffer) => splitter.push(bytes, 0, bytes.length))
    // Bytes still under way when the broker closes end in a reset, which is the same to us.
    socket.on('error', () => undefined)
    this.#closed = new Promise((resolve) => socket.once('close', resolve)).then(() => {
      this.#isClosed = true
      for (const give of this.#waiting.splice(0)) give(undefined)
    })
  }

  static async connect(address: string): Promise<RawClient> {
    const at = address.lastIndexOf(':')
    const socket = connect({ host: address.slice(0, at), port: Number(address.slice(at + 1)), noDelay: true })
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** The socket itself, for what only it can do: pausing, half-closing, resetting. */
  get socket(): Socket {
    return this.#socket
  }

  /** Resolves when the broker, or this side, closed the connection. */
  get closed(): Promise<unknown> {
    return this.#closed
  }

  get isClosed(): boolean {
    return this.#isClosed
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

  #arrived(frame: RemotingCommand): void {
    if ((frame.flag & 1) === 0) {
      this.requests.push(frame)
      return
    }
    const give = this.#waiting.shift()
    if (give === undefined) this.#answers.push(frame)
    else give(frame)
  }
}
