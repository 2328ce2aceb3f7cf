import type { ErrorCode } from '@tandemmq/protocol'
import { errorTable, TandemError } from '@tandemmq/protocol'

const RETRY_AFTER_MS_MAX = 10_000

/** Every failure of this package. `code` says what happened, `retryable` whether the same call may succeed later. */
export class ClientError extends TandemError {
  /** Of SYSTEM_BUSY: when the broker wants to be asked again, ms; undefined when it did not say. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: ErrorCode,
    detail: string,
    options?: ErrorOptions & { retryable?: boolean; retryAfterMs?: number | undefined },
  ) {
    super(code, detail, options)
    this.retryAfterMs = options?.retryAfterMs
  }
}

// Response codes of the wire (RocketMQ ResponseCode.java) to the codes users branch on.
const codeOfAnswer: Readonly<Record<number, ErrorCode>> = {
  1: 'SYSTEM_ERROR',
  2: 'SYSTEM_BUSY',
  3: 'REQUEST_NOT_SUPPORTED',
  13: 'MESSAGE_ILLEGAL',
  14: 'SERVICE_NOT_AVAILABLE',
  16: 'NO_PERMISSION',
  17: 'TOPIC_NOT_EXIST',
  22: 'QUERY_NOT_FOUND',
  23: 'SUBSCRIPTION_INVALID',
  24: 'SUBSCRIPTION_NOT_EXIST',
  25: 'SUBSCRIPTION_NOT_LATEST',
  26: 'GROUP_NOT_EXIST',
  27: 'SUBSCRIPTION_NOT_EXIST',
  28: 'SUBSCRIPTION_NOT_LATEST',
  29: 'INVALID_PARAMETER',
  208: 'LEASE_LOST',
  215: 'SYSTEM_BUSY',
  604: 'ILLEGAL_OPERATION',
}

/**
 * A response code stands for several reasons; TandemMQ puts the exact one in front of its remark. Only refusals are told
 * apart: what may be retried is decided by the response code alone.
 */
function exactly(known: ErrorCode, remark: string | undefined): ErrorCode {
  const named = /^\[([A-Z_]+)\] /.exec(remark ?? '')?.[1]
  if (named === undefined || errorTable[known].retryable || !Object.hasOwn(errorTable, named)) return known
  const { remote, retryable } = errorTable[named as ErrorCode]
  return remote === errorTable[known].remote && !retryable ? (named as ErrorCode) : known
}

/** The header field of our brokers, as it came. Nobody may make a client wait for minutes. */
export function retryAfterOf(text: string | undefined): number | undefined {
  const ms = text === undefined ? Number.NaN : Number(text)
  return Number.isInteger(ms) && ms >= 0 ? Math.min(ms, RETRY_AFTER_MS_MAX) : undefined
}

/**
 * The error for an answer whose code is not success.
 * @param doing what was asked, as it should read in a log: `send to orders`
 * @param retryAfter header field `retryAfterMs` of the answer
 */
export function errorOfAnswer(
  code: number,
  remark: string | undefined,
  doing: string,
  retryAfter?: string,
): ClientError {
  const known = codeOfAnswer[code]
  const detail = `${doing}: ${remark ?? 'no remark'} (response code ${code})`
  // Nobody classified the unknown codes, so nobody may retry them blindly.
  return known === undefined
    ? new ClientError('SYSTEM_ERROR', detail, { retryable: false })
    : new ClientError(exactly(known, remark), detail, { retryAfterMs: retryAfterOf(retryAfter) })
}

/** Anything thrown, as a ClientError; a TandemError keeps its code. */
export function toClientError(error: unknown, doing: string): ClientError {
  if (error instanceof ClientError) return error
  if (error instanceof TandemError) {
    return new ClientError(error.code, `${doing}: ${error.message}`, { cause: error, retryable: error.retryable })
  }
  const text = error instanceof Error ? error.message : String(error)
  return new ClientError('SYSTEM_ERROR', `${doing}: ${text}`, { cause: error, retryable: false })
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
