import type { HalfMessage } from './half-message.ts'
import type { PendingTransaction } from './types.ts'

/** @param record what its record says, undefined when it cannot be read */
export function pendingTransaction(
  half: HalfMessage,
  record: Pick<PendingTransaction, 'transactionId' | 'messageId' | 'keys'> | undefined,
  { now, ...more }: { now: number } & Pick<PendingTransaction, 'nextCheckInMs' | 'holdsBack'>,
): PendingTransaction {
  const { physicalOffset, queueOffset, group, topic, queueId, domain, storedAt, asked, attempts, state } = half
  return {
    ...{ physicalOffset, queueOffset, group, topic, queueId },
    ...(domain !== undefined && { domain }),
    ...(record ?? { transactionId: '', messageId: '', keys: '' }),
    storedAt,
    ageMs: Math.max(0, now - storedAt),
    ...{ asked, attempts, state },
    ...more,
  }
}
