/** What a socket tells its owner. Calls never overlap and none comes after `onClose`. */
export interface SocketHandler {
  /** `bytes[start, end)` is valid during the call only: the buffer is reused for the next read. */
  onData(bytes: Buffer, start: number, end: number): void
  /** Everything written so far has left for the kernel. */
  onDrain(): void
  /** Exactly once. `error` is absent when the peer or the owner closed it normally. */
  onClose(error?: Error): void
}

/** A connected byte stream. */
export interface StreamSocket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** Bytes written but not yet taken by the kernel. */
  readonly pendingBytes: number
  /** Must be set before control returns to the loop after `connect` resolved or `onSocket` was called. */
  handler: SocketHandler
  /**
   * Takes `bytes[start, end)`. The caller may reuse the buffer only when `pendingBytes` is 0 right after the call, or
   * after `onDrain`.
   */
  write(bytes: Buffer, start: number, end: number): void
  pause(): void
  resume(): void
  /** Sends what was written, then closes. */
  end(): void
  /** Closes at once; unsent bytes are dropped. */
  destroy(error?: Error): void
}

export interface Listener {
  /** The address actually bound, e.g. `127.0.0.1`. */
  readonly host: string
  readonly port: number
  /** Stops accepting; open sockets stay. */
  close(): Promise<void>
}

/** Sockets come in through here and nowhere else. */
export interface Network {
  /**
   * @param options.port 0 = any free one
   * @throws {TandemError} ADDRESS_IN_USE; CONNECT_FAILED for any other reason
   */
  listen(options: { host: string; port: number }, onSocket: (socket: StreamSocket) => void): Promise<Listener>
  /** @throws {TandemError} CONNECT_FAILED, also after `timeoutMs` */
  connect(options: { host: string; port: number; timeoutMs: number }): Promise<StreamSocket>
}
