import type { HalfMessage } from './half-message.ts'
import type { PendingTransaction } from './types.ts'

/** @param record what its record says, undefined when it cannot be read */
export function pendingTransaction(
  half: HalfMessage,
  record: Pick<PendingTransaction, 'transactionId' | 'messageId' | 'keys'> | undefined,
  time: { now: number; nextCheckInMs: number | undefined },
): PendingTransaction {
  const { physicalOffset, queueOffset, group, topic, queueId, domain, storedAt, asked, attempts, state } = half
  return {
    ...{ physicalOffset, queueOffset, group, topic, queueId },
    ...(domain !== undefined && { domain }),
    ...(record ?? { transactionId: '', messageId: '', keys: '' }),
    storedAt,
    ageMs: Math.max(0, time.now - storedAt),
    ...{ asked, attempts, state },
    nextCheckInMs: time.nextCheckInMs,
  }
}
