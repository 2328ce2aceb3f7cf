import type { HeaderView } from '@tandemmq/protocol'
import type { Clock } from './clock.ts'
import type { Connection } from './connection.ts'
import type { FlushQueue } from './flush-queue.ts'

export interface ConnectionOwner {
  /**
   * A request arrived. `header` is valid during the call only. An error thrown here is answered (its remote code, else
   * SYSTEM_ERROR) when the request expects a response.
   */
  onRequest(connection: Connection, header: HeaderView): void
  /** Exactly once per connection. `error` says why when nobody asked for it. */
  onClosed(connection: Connection, error?: Error): void
}

/** Why this side ended a connection. */
export type CloseReason =
  | 'FRAME_LENGTH_INVALID'
  | 'FRAME_TIMEOUT'
  | 'HEADER_INVALID'
  | 'IDLE'
  | 'RECEIVE_LIMIT'
  | 'SLOW_READER'

/** Counted since start. */
export interface RemotingStats {
  connectionsOpened: number
  /** Above `connectionsMax`, or while closing. */
  connectionsRefused: number
  /** Whole, with a header that was understood. */
  framesReceived: number
  /** Answers nobody waited for (any more). */
  responsesDropped: number
  /** Errors thrown by the owner's `onRequest` or `onClosed`. */
  ownerErrors: number
  closedBy: Record<CloseReason, number>
  /** Now: bytes of frames whose end is not here yet, over all connections. */
  receivedUnfinishedBytes: number
  /** Now: output that peers have not taken, over all connections. */
  outputBytes: number
}

export function emptyStats(): RemotingStats {
  return {
    connectionsOpened: 0,
    connectionsRefused: 0,
    framesReceived: 0,
    responsesDropped: 0,
    ownerErrors: 0,
    closedBy: {
      FRAME_LENGTH_INVALID: 0,
      FRAME_TIMEOUT: 0,
      HEADER_INVALID: 0,
      IDLE: 0,
      RECEIVE_LIMIT: 0,
      SLOW_READER: 0,
    },
    receivedUnfinishedBytes: 0,
    outputBytes: 0,
  }
}

/** Limits of one connection, bytes. */
export interface ConnectionLimits {
  /** Default 16 MiB, as RocketMQ. */
  frameBytesMax: number
  /** Output the peer has not taken: a server reads nothing more from it above. Default 4 MiB. */
  outputBytesHigh: number
  /** The connection is destroyed above. Default 64 MiB. */
  outputBytesMax: number
  /** Output over all connections: above, the one that has most of it waiting is destroyed. */
  outputBytesTotalMax: number
  /** Bytes of unfinished frames over all connections: above, the connection with the oldest one is destroyed. */
  receiveBytesMax: number
}

/** What the connections of one server or client share. */
export interface ConnectionContext extends ConnectionLimits {
  readonly clock: Clock
  readonly flushQueue: FlushQueue
  readonly owner: ConnectionOwner
  readonly stats: RemotingStats
  /** Frames are handled one after the other, so one view serves all connections. */
  readonly header: HeaderView
  /** Of frames whose command names none. */
  readonly language: number
  readonly version: number
  /** Requests sent for so long, ms, and nothing received since: the connection is ended. Infinity = never. */
  readonly unansweredMsMax: number
  /**
   * Above `outputBytesHigh` nothing more is read. Of a server only: were a client to wait until its requests are taken before it reads
   * answers, and the server until its answers are taken before it reads requests, both would wait for ever.
   */
  readonly pausesReading: boolean
  nextId: number
  /** Ends connections until the output of all fits into `outputBytesTotalMax`. */
  makeOutputRoom(): void
  /** Bytes of the output buffers of all connections. */
  bufferBytes: number
  /** Ends connections until unfinished frames fit into `receiveBytesMax`. */
  makeRoom(): void
  /** Before the owner hears of it. */
  forget(connection: Connection): void
  onError(error: unknown, connection: Connection): void
}
