/** Delay level of the first retry: the levels below it are too short for something that has just failed. */
const FIRST_RETRY_LEVEL = 3

export interface ReturnedMessage {
  /** Retries the returned message has behind it. */
  reconsumeTimes: number
  /** As asked: negative = dead letter at once, 0 = the broker's own back-off, else a level. */
  delayLevel: number
  /** Retries allowed. */
  reconsumeTimesMax: number
  /** What the group's own policy says now; undefined = it has none. */
  policyDelayMs?: number | undefined
}

export type Verdict =
  | { kind: 'deadLetter'; reason: string }
  | { kind: 'retry'; delayLevel: number }
  | { kind: 'retry'; delayMs: number }

/** What becomes of a message given back, the first rule that fits (broker.md 5.2). */
export function verdictOf(message: ReturnedMessage): Verdict {
  const { reconsumeTimes, delayLevel, reconsumeTimesMax, policyDelayMs } = message
  if (delayLevel < 0) return { kind: 'deadLetter', reason: 'rejected by the consumer' }
  if (reconsumeTimes >= reconsumeTimesMax) {
    return { kind: 'deadLetter', reason: `${reconsumeTimes + 1} deliveries failed` }
  }
  if (delayLevel === 0 && policyDelayMs !== undefined) return { kind: 'retry', delayMs: policyDelayMs }
  return { kind: 'retry', delayLevel: delayLevel === 0 ? FIRST_RETRY_LEVEL + reconsumeTimes : delayLevel }
}
