/**
 * Records of RocketMQ's message trace as Java's TraceDataEncoder spells them (remoting.md 3.10): fields joined by U+0001, each
 * record ended by U+0002, and `null` for what is not there, because readers drop empty fields at the end of a record.
 */
const FIELD = '\u0001'
const RECORD_END = '\u0002'

/** Ordinals of Java's MessageType. */
export const TraceMessageType = { normal: 0, half: 1, commit: 2, delayed: 3, ordered: 4 } as const

/** Ordinals of Java's ConsumeReturnType. */
export const TraceConsumeCode = { success: 0, timeOut: 1, exception: 2, returnNull: 3, failed: 4 } as const

/** What a record of a producer begins with. */
interface ProducerTrace {
  readonly at: number
  readonly region: string
  readonly group: string
  readonly topic: string
  readonly messageId: string
  readonly tags: string | undefined
  readonly keys: string | undefined
  /** host:port of the broker */
  readonly storeHost: string | undefined
}

function headOf({ at, region, group, topic, messageId, tags, keys, storeHost }: ProducerTrace): (string | number)[] {
  return [at, region, group, topic, messageId, orNull(tags), orNull(keys), orNull(storeHost)]
}

export interface PubTrace extends ProducerTrace {
  readonly bodyBytes: number
  readonly costMs: number
  readonly messageType: number
  readonly offsetMessageId: string | undefined
  readonly succeeded: boolean
}

export function pubRecord(trace: PubTrace): string {
  const { bodyBytes, costMs, messageType, offsetMessageId, succeeded } = trace
  const outcome = [bodyBytes, Math.round(costMs), messageType, orNull(offsetMessageId), succeeded]
  return record(['Pub', ...headOf(trace), ...outcome])
}

export interface SubTrace {
  readonly at: number
  readonly region: string
  readonly group: string
  /** What joins the record before the handler with the one after it. */
  readonly requestId: string
  readonly messageId: string
  readonly retryTimes: number
  readonly keys: string | undefined
}

export function subBeforeRecord(trace: SubTrace): string {
  const { at, region, group, requestId, messageId, retryTimes, keys } = trace
  return record(['SubBefore', at, region, group, requestId, messageId, retryTimes, orNull(keys)])
}

export function subAfterRecord(trace: SubTrace, costMs: number, succeeded: boolean, contextCode: number): string {
  const { at, group, requestId, messageId, keys } = trace
  const cost = Math.round(costMs)
  return record(['SubAfter', requestId, messageId, cost, succeeded, orNull(keys), contextCode, at, group])
}

export interface EndTrace extends ProducerTrace {
  readonly transactionId: string | undefined
  readonly state: 'COMMIT_MESSAGE' | 'ROLLBACK_MESSAGE' | 'UNKNOW'
  readonly fromCheck: boolean
}

export function endTransactionRecord(trace: EndTrace): string {
  const outcome = [TraceMessageType.commit, orNull(trace.transactionId), trace.state, trace.fromCheck]
  return record(['EndTransaction', ...headOf(trace), ...outcome])
}

export function recallRecord(
  at: number,
  region: string,
  group: string,
  topic: string,
  messageId: string,
  succeeded: boolean,
): string {
  return record(['Recall', at, region, group, topic, messageId, succeeded])
}

function orNull(text: string | undefined): string {
  return text === undefined || text === '' ? 'null' : text
}

function record(fields: readonly (string | number | boolean)[]): string {
  return fields.join(FIELD) + RECORD_END
}
