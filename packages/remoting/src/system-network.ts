import { createServer, type Server, Socket, type SocketConstructorOpts } from 'node:net'
import { readIntoSharedBuffer, rebuildAcceptedSocket } from './accepted-socket.ts'
import { formatAddress, normalizeHost } from './address.ts'
import { systemClock } from './clock.ts'
import type { Listener, Network, StreamSocket } from './network.ts'
import { RemotingError } from './remoting-error.ts'
import { SystemSocket } from './system-socket.ts'

// A thousand clients that come back at the same moment must not meet a full accept queue (Node's default: 511).
const BACKLOG = 4096
const KEEP_ALIVE_DELAY_MS = 60_000

export interface SystemNetworkOptions {
  /** Read into one buffer shared by all sockets (default) or, false, by plain `'data'` events. */
  onread?: boolean
}

/** TCP of the machine, TCP_NODELAY and keep-alive on. */
export function createSystemNetwork(options: SystemNetworkOptions = {}): Network {
  const onread = options.onread ?? true
  return {
    listen: (where, onSocket) => listen(where, onSocket, onread),
    connect: (where) => connect(where, onread),
  }
}

/** The one production code uses. */
export const systemNetwork: Network = createSystemNetwork()

function listen(
  where: { host: string; port: number },
  onSocket: (socket: StreamSocket) => void,
  onread: boolean,
): Promise<Listener> {
  const server = createServer(
    { pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS },
    (accepted) => accept(accepted, onSocket, onread),
  )
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => {
      const code = error.code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'CONNECT_FAILED'
      const detail = code === 'ADDRESS_IN_USE' ? 'another program listens there' : error.message
      reject(new RemotingError(code, `${formatAddress(where.host, where.port)}: ${detail}`, { cause: error }))
    }
    server.once('error', refuse)
    server.listen({ host: where.host, port: where.port, backlog: BACKLOG }, () => {
      server.off('error', refuse)
      // A failed accept (descriptors exhausted) concerns that one peer, who will see a refused connection.
      server.on('error', () => {})
      resolve(listenerOf(server))
    })
  })
}

function listenerOf(server: Server): Listener {
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new TypeError('a TCP server has an address and a port')
  return {
    host: normalizeHost(bound.address),
    port: bound.port,
    // The port is free when close() returns; its event would wait for the open connections as well.
    close: () => {
      server.close()
      return Promise.resolve()
    },
  }
}

function accept(accepted: Socket, onSocket: (socket: StreamSocket) => void, onread: boolean): void {
  let socket: SystemSocket | undefined
  const rebuilt = onread
    ? rebuildAcceptedSocket(
        accepted,
        readIntoSharedBuffer((bytes, count) => socket?.handler.onData(bytes, 0, count)),
      )
    : undefined
  const open = rebuilt ?? accepted
  // It was reset before it came here: there is no peer to tell anything about.
  if (open.remoteAddress === undefined) return void open.on('error', () => {}).destroy()
  socket = new SystemSocket(open)
  onSocket(socket)
  if (rebuilt === undefined) {
    socket.readEvents()
    accepted.resume()
  }
}

function connect(where: { host: string; port: number; timeoutMs: number }, onread: boolean): Promise<StreamSocket> {
  return new Promise((resolve, reject) => {
    let open: SystemSocket | undefined
    const reading = readIntoSharedBuffer((bytes, count) => open?.handler.onData(bytes, 0, count))
    // The declared type knows `onread` only as an option of net.connect, which hands it to this constructor.
    const socket = new Socket((onread ? { onread: reading } : {}) as SocketConstructorOpts)
    const fail = (detail: string, cause?: Error): void => {
      timer.cancel()
      socket.destroy()
      reject(new RemotingError('CONNECT_FAILED', `${formatAddress(where.host, where.port)}: ${detail}`, { cause }))
    }
    const timer = systemClock.setTimer(where.timeoutMs, () => fail(`no connection within ${where.timeoutMs} ms`))
    const failed = (error: Error): void => fail(error.message, error)
    socket.on('error', failed)
    socket.connect(
      {
        host: where.host,
        port: where.port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
      },
      () => {
        timer.cancel()
        socket.off('error', failed)
        open = new SystemSocket(socket)
        if (!onread) open.readEvents()
        resolve(open)
      },
    )
  })
}
