import type { ErrorCode } from '@tandemmq/protocol'
import { errorTable, TandemError } from '@tandemmq/protocol'

/** Every failure of this package. `code` says what happened, `retryable` whether the same call may succeed later. */
export class ClientError extends TandemError {}

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

/**
 * The error for an answer whose code is not success.
 * @param doing what was asked, as it should read in a log: `send to orders`
 */
export function errorOfAnswer(code: number, remark: string | undefined, doing: string): ClientError {
  const known = codeOfAnswer[code]
  const detail = `${doing}: ${remark ?? 'no remark'} (response code ${code})`
  // Nobody classified the unknown codes, so nobody may retry them blindly.
  return known === undefined
    ? new ClientError('SYSTEM_ERROR', detail, { retryable: false })
    : new ClientError(exactly(known, remark), detail)
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
