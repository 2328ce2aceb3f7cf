import type {
  Connection,
  ConnectionOwner,
  Network,
  RemotingClientOptions,
  RemotingServerOptions,
  StreamSocket,
} from '@tandemmq/remoting'
import { createSystemNetwork, RemotingClient, RemotingServer } from '@tandemmq/remoting'
import { type HeaderView, type RemotingCommand, commandOf } from '@tandemmq/protocol'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { afterEach } from 'vitest'

/** A network with a clock that only moves when told to, so the same test runs on real sockets and in memory. */
export interface World {
  readonly clock: VirtualClock
  readonly network: Network
  /** Waits for `promise` without letting deadlines pass: real time on real sockets, little virtual time in memory. */
  run<T>(promise: Promise<T>): Promise<T>
  until(condition: () => boolean): Promise<void>
}

const REAL_LIMIT_MS = 10_000

function realWorld(onread: boolean): World {
  const clock = new VirtualClock({ soon: 'real' })
  return {
    clock,
    network: createSystemNetwork({ onread }),
    run: (promise) => promise,
    async until(condition) {
      const end = Date.now() + REAL_LIMIT_MS
      while (!condition()) {
        if (Date.now() > end) throw new Error('the condition never came true')
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
  }
}

function memoryWorld(seed: number): World {
  const clock = new VirtualClock({ seed })
  return {
    clock,
    network: new MemoryNetwork({ clock }),
    run: (promise) => clock.run(promise, 1_000),
    async until(condition) {
      for (let step = 0; step < 10_000 && !condition(); step++) await clock.advance(0.1)
      if (!condition()) throw new Error('the condition never came true')
    },
  }
}

export const worlds: readonly { name: string; make: () => World }[] = [
  { name: 'sockets read into the shared buffer', make: () => realWorld(true) },
  { name: 'sockets read by data events', make: () => realWorld(false) },
  { name: 'memory, seed 1', make: () => memoryWorld(1) },
  { name: 'memory, seed 2', make: () => memoryWorld(2) },
]

/** An owner made of what a test cares about; records the requests it saw and the connections that ended. */
export class RecordingOwner implements ConnectionOwner {
  readonly requests: RemotingCommand[] = []
  readonly connections: Connection[] = []
  readonly closed: (Error | undefined)[] = []
  #answer: (connection: Connection, header: HeaderView) => void

  constructor(answer: (connection: Connection, header: HeaderView) => void = echo) {
    this.#answer = answer
  }

  onRequest(connection: Connection, header: HeaderView): void {
    this.requests.push(commandOf(header))
    this.connections.push(connection)
    this.#answer(connection, header)
  }

  onClosed(_connection: Connection, error?: Error): void {
    this.closed.push(error)
  }
}

/** Answers with the fields and the body of the request. */
export function echo(connection: Connection, header: HeaderView): void {
  const { extFields, body } = commandOf(header)
  if ((header.flag & 2) === 0) connection.reply(header, { code: 0, extFields, body })
}

/** A peer that writes and reads bytes, not frames. */
export class RawPeer {
  #parts: Buffer[] = []
  receivedBytes = 0
  isClosed = false
  error: Error | undefined
  readonly socket: StreamSocket

  constructor(socket: StreamSocket) {
    this.socket = socket
    socket.handler = {
      onData: (bytes, start, end) => {
        this.#parts.push(Buffer.from(bytes.subarray(start, end)))
        this.receivedBytes += end - start
      },
      onDrain: () => {},
      onClose: (error) => {
        this.isClosed = true
        this.error = error
      },
    }
  }

  get received(): Buffer {
    return Buffer.concat(this.#parts)
  }

  static async connect(world: World, address: { host: string; port: number }): Promise<RawPeer> {
    return new RawPeer(await world.run(world.network.connect({ ...address, timeoutMs: 1_000 })))
  }

  /** The bytes are copied: a test may send the same ones again. */
  send(bytes: Uint8Array): void {
    this.socket.write(Buffer.from(bytes), 0, bytes.length)
  }
}

/** Servers and clients of a world; what a test opens is closed after it. */
export function peersOf(world: World) {
  const { clock, network } = world
  const open: { close(drainTimeoutMs?: number): Promise<void> }[] = []

  afterEach(async () => {
    const closing = Promise.all(open.splice(0).map((one) => one.close(1)))
    await clock.advance(10)
    await world.run(closing)
  })

  return {
    async serve(
      owner: ConnectionOwner = new RecordingOwner(),
      options: Partial<RemotingServerOptions> = {},
    ): Promise<RemotingServer> {
      const server = new RemotingServer({ clock, network, owner, host: '127.0.0.1', port: 0, ...options })
      open.push(server)
      await world.run(server.start())
      return server
    },
    client(options: Partial<RemotingClientOptions> = {}): RemotingClient {
      const made = new RemotingClient({ clock, network, ...options })
      open.push(made)
      return made
    },
    raw: ({ port }: RemotingServer): Promise<RawPeer> => RawPeer.connect(world, { host: '127.0.0.1', port }),
  }
}
