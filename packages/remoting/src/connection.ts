import {
  type CommandInit,
  encodeCommand,
  errorTable,
  FrameSplitter,
  type FrameSink,
  type HeaderView,
  hostBytes,
  ProtocolError,
  type RemotingCommand,
  ResponseCode,
  TandemError,
} from '@tandemmq/protocol'
import { CommandReply } from './command-reply.ts'
import type { CloseReason, ConnectionContext } from './connection-context.ts'
import type { Flushable } from './flush-queue.ts'
import type { SocketHandler, StreamSocket } from './network.ts'
import { PendingRequests, type ReplyHandler } from './pending-requests.ts'
import { RemotingError } from './remoting-error.ts'

const ONEWAY_BIT = 2
const OUTPUT_BYTES_AT_START = 4096
/** How long a peer that sent nonsense may take to fetch the answers it had earned before. */
const LINGER_MS = 1_000
/** What one turn writes leaves in pieces of at least so much: the peer begins with the first while the next are made. */
const BURST_BYTES = 524_288
/** A larger buffer is given back after the burst that needed it. */
const OUTPUT_BYTES_KEPT = 1_048_576
/** For all connections together. */
const BUFFER_BYTES_KEPT_TOTAL = 33_554_432
const NO_BYTES = Buffer.alloc(0)
const NO_VIEW = new DataView(new ArrayBuffer(0))

/**
 * One connection that speaks RocketMQ remoting. Both sides may ask; each direction has its own opaque numbers.
 *
 * Output is collected in one buffer and written once per turn. Two buffers alternate: while the kernel has not taken one
 * (`#inFlight`), the other collects, and nothing is written; so a buffer is never changed under a write.
 */
export class Connection implements SocketHandler, FrameSink, Flushable {
  /** Counts from 1 within its server or client. */
  readonly id: number
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** 4 or 16 address bytes, 4 port bytes. */
  readonly remoteHost: Buffer
  /** Monotonic ms at which the peer last gave a sign of life: sent bytes, or took output that was waiting. */
  lastActiveAt: number
  /** Monotonic ms at which a frame began whose end is not here yet; Infinity when there is none. */
  unfinishedSince = Number.POSITIVE_INFINITY
  /** The owner's data. */
  attachment: unknown
  /** Where hot code writes its frames: see {@link reserve}. Replaced by `reserve` and `flush`, never to be kept. */
  output: Buffer = NO_BYTES
  outputView: DataView = NO_VIEW
  isQueued = false
  #context: ConnectionContext
  #socket: StreamSocket
  #splitter: FrameSplitter
  #pending: PendingRequests
  /** Monotonic ms. */
  #receivedAt: number
  /** When the first of the requests was sent since when nothing came. */
  #silentSince = Number.NEGATIVE_INFINITY
  #isOpen = true
  #isDeaf = false
  #hasSpoken = false
  #closeReason: Error | undefined
  #unfinishedBytes = 0
  #heldOutput = 0
  #length = 0
  #inFlight: Buffer | undefined
  #spare: Buffer | undefined
  #pausedByOwner = false
  #pausedByOutput = false

  constructor(socket: StreamSocket, context: ConnectionContext) {
    this.#context = context
    this.#socket = socket
    this.#splitter = new FrameSplitter(this, context.frameBytesMax)
    this.#pending = new PendingRequests(context.clock, 0, (askedAt) => this.#unanswered(askedAt))
    this.id = context.nextId++
    this.remoteAddress = socket.remoteAddress
    this.remotePort = socket.remotePort
    this.localAddress = socket.localAddress
    this.localPort = socket.localPort
    this.remoteHost = hostBytes(socket.remoteAddress, socket.remotePort)
    this.lastActiveAt = this.#receivedAt = context.clock.monotonic()
    context.stats.connectionsOpened++
    socket.handler = this
  }

  /** False from the moment either side began to close it. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Output that the kernel has not taken. */
  get pendingBytes(): number {
    return this.#length + this.#socket.pendingBytes
  }

  /** Requests sent that wait for their answer. */
  get pendingRequests(): number {
    return this.#pending.count
  }

  /**
   * @returns position in {@link output} (read it after this call) where `bytes` bytes may be written; they count only
   * after {@link commit}
   */
  reserve(bytes: number): number {
    const end = this.#length + bytes
    if (end > this.output.length) this.#growOutput(end)
    return this.#length
  }

  /** The `bytes` bytes written at the reserved position leave with this turn. On a closed connection they vanish. */
  commit(bytes: number): void {
    if (!this.#isOpen) return
    this.#length += bytes
    if (!this.isQueued) this.#context.flushQueue.add(this)
    // A burst must not grow unseen until the end of the turn, nor a buffer that is given back after it.
    const { outputBytesHigh } = this.#context
    if (this.#length > outputBytesHigh || (this.#length > BURST_BYTES && this.#inFlight === undefined)) this.flush()
    this.#context.flushQueue.grow(bytes)
  }

  /** Copies a whole frame into the output. */
  send(frame: Uint8Array): void {
    const at = this.reserve(frame.length)
    this.output.set(frame, at)
    this.commit(frame.length)
  }

  /** Answers in the serialization the request came in. */
  reply(request: { opaque: number; serialization: 0 | 1 }, init: Omit<CommandInit, 'opaque' | 'flag'>): void {
    const { version } = this.#context
    const { opaque, serialization } = request
    this.send(encodeCommand({ version, ...init, opaque, serialization, flag: 1 }))
  }

  /**
   * Sends a request and waits for its answer, whatever its code.
   * @throws {RemotingError} REQUEST_TIMEOUT after `timeoutMs`; CONNECTION_CLOSED; ABORTED with the signal's reason as cause
   */
  request(init: CommandInit, timeoutMs: number, signal?: AbortSignal): Promise<RemotingCommand> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new RemotingError('ABORTED', 'request aborted', { cause: signal.reason }))
      const reply = new CommandReply(resolve, reject)
      const opaque = this.expect(timeoutMs, reply)
      if (!this.#isOpen) return
      try {
        this.send(encodeCommand(this.#withDefaults(init, opaque)))
      } catch (error) {
        this.#pending.take(opaque)
        return reject(error)
      }
      if (signal) reply.abortOn(signal, () => this.#pending.take(opaque))
    })
  }

  /**
   * For frames written by hand into {@link output}: registers who gets the answer.
   * @returns the opaque number the frame must carry. On a closed connection `reply.onFailure` was called with
   * CONNECTION_CLOSED and the number leads nowhere.
   */
  expect(timeoutMs: number, reply: ReplyHandler): number {
    if (this.#isOpen) return this.#pending.add(reply, timeoutMs)
    reply.onFailure(new RemotingError('CONNECTION_CLOSED', `${this.remoteAddress}:${this.remotePort} is closed`))
    return -1
  }

  /** Sends a request that is never answered. On a closed connection it vanishes. */
  oneway(init: CommandInit): void {
    const command = this.#withDefaults(init, this.#pending.nextOneway())
    command.flag = (command.flag ?? 0) | ONEWAY_BIT
    this.send(encodeCommand(command))
  }

  /** Writes the output now; without a call it is written at the end of the turn. */
  flush(): void {
    if (this.#length > 0 && this.#inFlight === undefined) {
      const bytes = this.output
      const length = this.#length
      this.#length = 0
      this.#socket.write(bytes, 0, length)
      if (this.#socket.pendingBytes > 0) {
        this.#inFlight = bytes
        this.#useOutput(this.#spare ?? NO_BYTES)
        this.#spare = undefined
      } else if (!this.#mayKeep(bytes)) {
        this.#useOutput(NO_BYTES)
      }
    }
    const waiting = this.pendingBytes
    if (waiting !== this.#heldOutput) this.#holdOutput(waiting)
    if (waiting <= this.#context.outputBytesHigh || !this.#isOpen) return
    if (waiting > this.#context.outputBytesMax) return this.destroyBecause('SLOW_READER', slowReader(waiting))
    if (this.#pausedByOutput || !this.#context.pausesReading) return
    this.#pausedByOutput = true
    this.#socket.pause()
  }

  /** Closes after the output left. Requests that wait for an answer fail. */
  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    // From here silence is the peer's: the idle sweep ends a peer that never closes its side.
    this.#pausedByOwner = false
    this.#holdUnfinished(0)
    if (this.#length > 0) this.#socket.write(this.output, 0, this.#length)
    this.#length = 0
    this.#useOutput(NO_BYTES)
    this.#socket.end()
  }

  /** Closes at once. */
  destroy(error?: Error): void {
    this.#isOpen = false
    this.#length = 0
    this.#holdUnfinished(0)
    this.#holdOutput(0)
    this.#socket.destroy(error)
  }

  /** Closes at once for a reason of this side's, which is counted. */
  destroyBecause(reason: CloseReason, error: Error): void {
    this.#context.stats.closedBy[reason]++
    this.destroy(error)
  }

  /** Frames of the bytes already read are still handed out. */
  pauseReading(): void {
    this.#pausedByOwner = true
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#pausedByOwner = false
    this.lastActiveAt = this.#context.clock.monotonic()
    if (!this.#pausedByOutput) this.#readAgain()
  }

  /** Whether the owner paused reading: silence then says nothing about the peer. */
  get isReadingPaused(): boolean {
    return this.#pausedByOwner
  }

  /** Whether the peer's next bytes are waited for. */
  get isReading(): boolean {
    return !this.#pausedByOwner && !this.#pausedByOutput
  }

  /** A peer that is gone and could not say so takes requests and answers none: a new connection may reach another. */
  #unanswered(askedAt: number): void {
    if (!this.#isOpen || !this.isReading || askedAt < this.#receivedAt) return
    if (this.#silentSince < this.#receivedAt) this.#silentSince = askedAt
    const silentMs = this.#context.clock.monotonic() - this.#silentSince
    if (silentMs < this.#context.unansweredMsMax) return
    const detail = `nothing received for ${Math.floor(silentMs)} ms although requests wait`
    this.destroy(new RemotingError('CONNECTION_CLOSED', detail))
  }

  /** Gives back the buffers of a connection that is silent. */
  releaseBuffers(): void {
    this.#spare = undefined
    if (this.#length === 0 && this.output.length > 0) this.#useOutput(NO_BYTES)
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (!this.#isOpen || this.#isDeaf) return
    const { clock, stats } = this.#context
    const frames = stats.framesReceived
    this.lastActiveAt = this.#receivedAt = clock.monotonic()
    let nonsense: unknown
    try {
      this.#splitter.push(bytes, start, end)
    } catch (error) {
      nonsense = error
    }
    if (stats.framesReceived !== frames) {
      this.#hasSpoken = true
      this.unfinishedSince = Number.POSITIVE_INFINITY
    }
    if (nonsense !== undefined) return this.#endNonsense(nonsense as Error)
    const unfinished = this.#splitter.bufferedBytes
    if (unfinished > 0 && this.unfinishedSince === Number.POSITIVE_INFINITY) this.unfinishedSince = this.lastActiveAt
    if (unfinished !== this.#unfinishedBytes && this.#isOpen) this.#holdUnfinished(unfinished)
  }

  onFrame(bytes: Buffer, start: number, end: number, isGiven?: boolean): void {
    // A handler may have closed the connection in the middle of the bytes that were read.
    if (!this.#isOpen) return
    const header = this.#context.header
    header.scan(bytes, start, end, isGiven)
    this.#context.stats.framesReceived++
    if (header.isResponse) this.#onResponse(header)
    else this.#onRequest(header)
  }

  onDrain(): void {
    this.lastActiveAt = this.#context.clock.monotonic()
    const taken = this.#inFlight
    this.#inFlight = undefined
    if (taken !== undefined && this.#mayKeep(taken)) this.#spare = taken
    if (!this.#isOpen) return
    this.flush()
    if (!this.#pausedByOutput || this.pendingBytes > this.#context.outputBytesHigh / 2) return
    this.#pausedByOutput = false
    if (!this.#pausedByOwner) this.#readAgain()
  }

  onClose(thrown?: Error): void {
    const error = this.#closeReason ?? thrown
    this.#isOpen = false
    this.#holdUnfinished(0)
    this.#holdOutput(0)
    this.#length = 0
    this.#inFlight = undefined
    this.#useOutput(NO_BYTES)
    this.#context.forget(this)
    const detail = `${this.remoteAddress}:${this.remotePort} closed the connection`
    this.#pending.failAll(new RemotingError('CONNECTION_CLOSED', error?.message ?? detail, { cause: error }))
    try {
      this.#context.owner.onClosed(this, error)
    } catch (failure) {
      this.#ownerFailed(failure)
    }
  }

  #onRequest(header: HeaderView): void {
    // Read before: the owner's call may use the view for other bytes.
    const isOneway = (header.flag & ONEWAY_BIT) !== 0
    const { opaque, serialization } = header
    try {
      this.#context.owner.onRequest(this, header)
    } catch (error) {
      this.#ownerFailed(error)
      if (isOneway || !this.#isOpen) return
      const remark = error instanceof Error ? error.message : String(error)
      const code =
        (error instanceof TandemError ? errorTable[error.code].remote : undefined) ?? ResponseCode.SYSTEM_ERROR
      this.reply({ opaque, serialization }, { code, remark })
    }
  }

  #onResponse(header: HeaderView): void {
    const handler = this.#pending.take(header.opaque)
    if (handler === undefined) {
      this.#context.stats.responsesDropped++
      return
    }
    try {
      handler.onReply(header)
    } catch (error) {
      this.#ownerFailed(error)
    }
  }

  #ownerFailed(error: unknown): void {
    this.#context.stats.ownerErrors++
    this.#context.onError(error, this)
  }

  /** The stream is useless from here on, but what was asked for before is answered at the latest in this turn: that still leaves. */
  #endNonsense(error: Error): void {
    if (!this.#isOpen) return
    this.#isDeaf = true
    this.#holdUnfinished(0)
    this.#splitter = new FrameSplitter(this, this.#context.frameBytesMax)
    if (!this.#hasSpoken) return this.destroyBecause(reasonOf(error), error)
    this.#context.stats.closedBy[reasonOf(error)]++
    this.#closeReason = error
    this.#context.clock.soon(() => this.close())
    this.#context.clock.setTimer(LINGER_MS, () => this.destroy(error))
  }

  #holdOutput(bytes: number): void {
    const { stats, outputBytesTotalMax } = this.#context
    stats.outputBytes += bytes - this.#heldOutput
    this.#heldOutput = bytes
    if (bytes > 0 && stats.outputBytes > outputBytesTotalMax) this.#context.makeOutputRoom()
  }

  /** Large buffers are given back, and ordinary ones when very many connections have one. */
  #mayKeep(buffer: Buffer): boolean {
    return buffer.length <= OUTPUT_BYTES_KEPT && this.#context.bufferBytes <= BUFFER_BYTES_KEPT_TOTAL
  }

  #holdUnfinished(bytes: number): void {
    const { stats, receiveBytesMax } = this.#context
    stats.receivedUnfinishedBytes += bytes - this.#unfinishedBytes
    this.#unfinishedBytes = bytes
    if (bytes === 0) this.unfinishedSince = Number.POSITIVE_INFINITY
    else if (stats.receivedUnfinishedBytes > receiveBytesMax) this.#context.makeRoom()
  }

  /** A frame cannot end while nothing is read: its time begins anew. */
  #readAgain(): void {
    if (this.unfinishedSince !== Number.POSITIVE_INFINITY) this.unfinishedSince = this.#context.clock.monotonic()
    this.#socket.resume()
  }

  #withDefaults(init: CommandInit, opaque: number): CommandInit {
    const { version, language } = this.#context
    return { version, language, ...init, opaque }
  }

  #growOutput(bytes: number): void {
    let capacity = Math.max(this.output.length, OUTPUT_BYTES_AT_START)
    while (capacity < bytes) capacity *= 2
    const larger = Buffer.allocUnsafeSlow(capacity)
    this.output.copy(larger, 0, 0, this.#length)
    this.#useOutput(larger)
  }

  #useOutput(buffer: Buffer): void {
    this.#context.bufferBytes += buffer.length - this.output.length
    this.output = buffer
    this.outputView = buffer.length === 0 ? NO_VIEW : new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
  }
}

function reasonOf(error: unknown): CloseReason {
  return error instanceof ProtocolError && error.code === 'FRAME_LENGTH_INVALID'
    ? 'FRAME_LENGTH_INVALID'
    : 'HEADER_INVALID'
}

function slowReader(bytes: number): RemotingError {
  return new RemotingError('SLOW_READER', `the peer does not read: ${bytes} bytes wait for it`)
}
