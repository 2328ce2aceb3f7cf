/**
 * Every code a TandemMQ program can meet. `remote` is the RocketMQ response code it arrives as (codes.ts), `retryable`
 * says whether the same call may succeed later without anyone changing anything. Retrying is decided by this table alone.
 */
export const errorTable = {
  // wire
  FRAME_LENGTH_INVALID: { remote: undefined, retryable: false },
  FRAME_TIMEOUT: { remote: undefined, retryable: true },
  HEADER_INVALID: { remote: undefined, retryable: false },
  FIELD_INVALID: { remote: 29, retryable: false },
  FIELD_MISSING: { remote: 1, retryable: false },
  RECORD_INVALID: { remote: undefined, retryable: false },
  BODY_INVALID: { remote: 1, retryable: false },
  // connection
  CONNECT_FAILED: { remote: undefined, retryable: true },
  CONNECTION_CLOSED: { remote: undefined, retryable: true },
  SLOW_READER: { remote: undefined, retryable: true },
  REQUEST_TIMEOUT: { remote: undefined, retryable: true },
  REQUEST_NOT_SUPPORTED: { remote: 3, retryable: false },
  // broker answers
  SYSTEM_ERROR: { remote: 1, retryable: true },
  SYSTEM_BUSY: { remote: 2, retryable: true },
  SERVICE_NOT_AVAILABLE: { remote: 14, retryable: true },
  MESSAGE_ILLEGAL: { remote: 13, retryable: false },
  MESSAGE_TOO_LARGE: { remote: 13, retryable: false },
  NO_PERMISSION: { remote: 16, retryable: false },
  TOPIC_NOT_EXIST: { remote: 17, retryable: false },
  TOPIC_NAME_INVALID: { remote: 29, retryable: false },
  GROUP_NAME_INVALID: { remote: 29, retryable: false },
  QUERY_NOT_FOUND: { remote: 22, retryable: false },
  SUBSCRIPTION_INVALID: { remote: 23, retryable: false },
  FILTER_DISABLED: { remote: 1, retryable: false },
  SUBSCRIPTION_NOT_EXIST: { remote: 24, retryable: true },
  SUBSCRIPTION_NOT_LATEST: { remote: 25, retryable: true },
  GROUP_NOT_EXIST: { remote: 26, retryable: false },
  CLIENT_ID_TAKEN: { remote: 29, retryable: false },
  INVALID_PARAMETER: { remote: 29, retryable: false },
  LEASE_LOST: { remote: 208, retryable: false },
  ILLEGAL_OPERATION: { remote: 604, retryable: false },
  // broker start and store
  OPTION_INVALID: { remote: undefined, retryable: false },
  ADDRESS_IN_USE: { remote: undefined, retryable: false },
  DIRECTORY_LOCKED: { remote: undefined, retryable: false },
  DIRECTORY_NOT_WRITABLE: { remote: undefined, retryable: false },
  FORMAT_VERSION_UNKNOWN: { remote: undefined, retryable: false },
  STORE_FENCED: { remote: 14, retryable: false },
  STORE_CLOSED: { remote: 14, retryable: true },
  DISK_FULL: { remote: 14, retryable: true },
  LOG_DAMAGED: { remote: undefined, retryable: false },
  // client
  NOT_STARTED: { remote: undefined, retryable: false },
  CLOSED: { remote: undefined, retryable: false },
  ROUTE_NOT_FOUND: { remote: 17, retryable: true },
  ABORTED: { remote: undefined, retryable: false },
  PAYLOAD_INVALID: { remote: undefined, retryable: false },
  SUBSCRIPTION_CONFLICT: { remote: undefined, retryable: false },
  // outbox
  DATABASE_UNAVAILABLE: { remote: undefined, retryable: true },
  SCHEMA_MISSING: { remote: undefined, retryable: false },
  TRANSACTION_ROLLED_BACK: { remote: undefined, retryable: false },
  TRANSACTION_IN_DOUBT: { remote: undefined, retryable: false },
  DOMAIN_MISMATCH: { remote: undefined, retryable: false },
  OUTBOX_FULL: { remote: undefined, retryable: true },
  REPLAY_TOO_OLD: { remote: undefined, retryable: false },
  OUTBOX_AILING: { remote: undefined, retryable: false },
  // nest
  LISTENER_INVALID: { remote: undefined, retryable: false },
  NO_TRANSACTION: { remote: undefined, retryable: false },
  REQUEST_FAILED: { remote: undefined, retryable: false },
} as const

export type ErrorCode = keyof typeof errorTable

/** Root of every error this project throws: branch on `code`, read `cause`, ask `retryable` before trying again. */
export class TandemError extends Error {
  readonly code: ErrorCode
  readonly retryable: boolean

  /** @param options.cause the error underneath; always pass it on */
  constructor(code: ErrorCode, detail: string, options?: ErrorOptions & { retryable?: boolean }) {
    super(`[${code}] ${detail}`, options)
    this.name = new.target.name
    this.code = code
    this.retryable = options?.retryable ?? errorTable[code].retryable
  }
}

/** Bytes that are not what the wire format says. */
export class ProtocolError extends TandemError {}
