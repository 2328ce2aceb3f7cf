import type { ConsumedMessage } from '@tandemmq/client'
import type { HandlerFailure } from '../listeners/handler-watch.ts'

/** User property of a request whose sender reads {@link ReplyPacket}s; any other asker gets the plain value. */
export const REPLY_FORMAT = 'TANDEM_REPLY'
export const PACKETS = 'packets'

/** The body of a reply between TandemServer and TandemClient, JSON. */
export interface ReplyPacket {
  /** What the handler's Observable emitted, in order; one value for a method that returned it. */
  responses: readonly unknown[]
  /** What ended it, as Nest shapes it: `{ status: 'error', message }` or the object given to `RpcException`. */
  err?: unknown
}

/** True when whoever sent the request can be told that it failed. */
export function wantsPackets(message: ConsumedMessage): boolean {
  return message.properties[REPLY_FORMAT] === PACKETS
}

export function isReplyPacket(value: unknown): value is ReplyPacket {
  return typeof value === 'object' && value !== null && Array.isArray((value as { responses?: unknown }).responses)
}

/** What Nest's exception layer raised, in a form that survives JSON. */
export function packetError(raised: unknown): unknown {
  return raised instanceof Error ? { status: 'error', message: raised.message } : raised
}

/**
 * The error to log and to decide by: `raised` is often Nest's plain object for the other side, and says less than what the
 * handler threw.
 */
export function rpcErrorOf(raised: unknown, failure: HandlerFailure | undefined): unknown {
  if (raised instanceof Error) return raised
  const message = (raised as { message?: unknown } | null | undefined)?.message
  if (failure !== undefined && message === MASK) return failure.error
  const text = typeof message === 'string' ? message : (JSON.stringify(raised) ?? String(raised))
  return new Error(text, { cause: failure?.error ?? raised })
}

// BaseRpcExceptionFilter's word for whatever is no RpcException (MESSAGES.UNKNOWN_EXCEPTION_MESSAGE).
const MASK = 'Internal server error'
