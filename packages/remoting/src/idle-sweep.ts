import { ProtocolError } from '@tandemmq/protocol'
import type { Clock, Timer } from './clock.ts'
import type { Connection } from './connection.ts'
import { RemotingError } from './remoting-error.ts'

/** Output buffers are kept for a connection that was active this recently. */
const BUFFERS_KEPT_MS = 10_000
/** Many connections about to expire one after the other must not become a timer each. */
const RUNS_PER_TIMEOUT = 16

export interface SweepLimits {
  /** A connection from which nothing came for so long is ended; 0 = never. */
  idleTimeoutMs: number
  /** A frame unfinished for so long ends its connection; 0 = never. */
  frameTimeoutMs: number
}

/** One timer for all connections of a server or client: ends those that are silent, and those whose frame does not end. */
export class IdleSweep {
  #clock: Clock
  #idleTimeoutMs: number
  #frameTimeoutMs: number
  #connections: ReadonlySet<Connection>
  #timer: Timer | undefined
  #sweep = (): void => this.#run()

  constructor(clock: Clock, connections: ReadonlySet<Connection>, limits: SweepLimits) {
    this.#clock = clock
    this.#idleTimeoutMs = limits.idleTimeoutMs
    this.#frameTimeoutMs = limits.frameTimeoutMs
    this.#connections = connections
  }

  /** To be called when a connection was added; the timer runs only while there are any. */
  wake(): void {
    if (this.#timer === undefined) this.#arm(this.#idleTimeoutMs, this.#frameTimeoutMs)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** @param idleMs, frameMs when a connection may be due, from now */
  #arm(idleMs: number, frameMs: number): void {
    let delayMs = Number.POSITIVE_INFINITY
    if (this.#idleTimeoutMs > 0) delayMs = Math.max(idleMs, this.#idleTimeoutMs / RUNS_PER_TIMEOUT)
    if (this.#frameTimeoutMs > 0) {
      delayMs = Math.min(delayMs, Math.max(frameMs, this.#frameTimeoutMs / RUNS_PER_TIMEOUT))
    }
    if (delayMs < Number.POSITIVE_INFINITY) this.#timer = this.#clock.setTimer(delayMs, this.#sweep)
  }

  #run(): void {
    this.#timer = undefined
    const now = this.#clock.monotonic()
    let leastActive = now
    // A frame that begins right after this run is due a whole timeout later.
    let oldestFrame = now
    for (const connection of this.#connections) {
      if (this.#isFrameLate(connection, now) || this.#isIdle(connection, now)) continue
      if (connection.isReading) oldestFrame = Math.min(oldestFrame, connection.unfinishedSince)
      if (connection.isReadingPaused) continue
      if (now - connection.lastActiveAt >= BUFFERS_KEPT_MS) connection.releaseBuffers()
      leastActive = Math.min(leastActive, connection.lastActiveAt)
    }
    if (this.#connections.size === 0) return
    this.#arm(leastActive + this.#idleTimeoutMs - now, oldestFrame + this.#frameTimeoutMs - now)
  }

  #isIdle(connection: Connection, now: number): boolean {
    if (this.#idleTimeoutMs === 0 || connection.isReadingPaused) return false
    if (now - connection.lastActiveAt < this.#idleTimeoutMs) return false
    const detail = `nothing received for ${this.#idleTimeoutMs} ms`
    connection.destroyBecause('IDLE', new RemotingError('CONNECTION_CLOSED', detail))
    return true
  }

  #isFrameLate(connection: Connection, now: number): boolean {
    if (this.#frameTimeoutMs === 0 || !connection.isReading) return false
    if (now - connection.unfinishedSince < this.#frameTimeoutMs) return false
    const detail = `a frame is not complete after ${this.#frameTimeoutMs} ms`
    connection.destroyBecause('FRAME_TIMEOUT', new ProtocolError('FRAME_TIMEOUT', detail))
    return true
  }
}
