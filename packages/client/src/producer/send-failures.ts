import type { ErrorCode } from '@tandemmq/protocol'

/** The broker surely did not store it and another one may: the next attempt goes elsewhere at once (remoting.md 1.7). */
export const elsewhereCodes: ReadonlySet<string> = new Set<ErrorCode>([
  'CONNECT_FAILED',
  'SYSTEM_BUSY',
  'SERVICE_NOT_AVAILABLE',
  'NO_PERMISSION',
  'TOPIC_NOT_EXIST',
])
/** What counts against the broker as a whole, not against this topic or message. */
export const faultCodes: ReadonlySet<string> = new Set<ErrorCode>([
  'CONNECT_FAILED',
  'CONNECTION_CLOSED',
  'REQUEST_TIMEOUT',
  'SYSTEM_BUSY',
  'SERVICE_NOT_AVAILABLE',
])
