import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'

/**
 * One read buffer for every socket of the process: the kernel's bytes are handled inside the read callback, so no two
 * sockets ever need it at once. It saves a 64 KiB allocation per read (spec: 0.27 instead of 0.37 us per request).
 */
const readBuffer = Buffer.allocUnsafeSlow(65_536)

/** Reads into the shared buffer and hands `bytes[0, count)` on; they are valid during the call only. */
export function readIntoSharedBuffer(onData: (bytes: Buffer, count: number) => void): OnReadOpts {
  return {
    buffer: readBuffer,
    callback: (count) => {
      onData(readBuffer, count)
      return true
    },
  }
}

/**
 * Node offers `onread` for sockets it connects, not for those it accepts. This takes the handle out of a socket accepted
 * with `pauseOnConnect` and builds another socket on it. It leans on `_handle`, therefore it stands alone here.
 * @returns undefined when this Node keeps its handle elsewhere: the caller then reads `'data'` from `accepted`
 */
export function rebuildAcceptedSocket(accepted: Socket, onread: OnReadOpts): Socket | undefined {
  const owner = accepted as unknown as { _handle?: unknown }
  const handle = owner._handle
  if (typeof (handle as { useUserBuffer?: unknown } | null | undefined)?.useUserBuffer !== 'function') return undefined
  owner._handle = null
  // Without its handle this closes nothing; it only takes the connection off the server's count.
  accepted.on('error', ignore)
  accepted.destroy()
  return new Socket({ handle, onread } as SocketConstructorOpts)
}

function ignore(): void {}
