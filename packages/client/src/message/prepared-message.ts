import type { RemotingCommand } from '@tandemmq/protocol'
import { PropertyName, ResponseCode } from '@tandemmq/protocol'
import { errorOfAnswer } from '../client-error.ts'
import type { ExtraProperties } from './message.ts'

export type TransactionDecision = 'commit' | 'rollback' | 'unknown'

/** EndTransactionRequestHeader.commitOrRollback (remoting.md 2C). */
export const decisionBits: Readonly<Record<TransactionDecision, number>> = { commit: 8, rollback: 12, unknown: 0 }

/** `pending`: not decided. `unknown`: the broker has no such half message (any more). */
export type TransactionOutcome = 'committed' | 'rolledBack' | 'pending' | 'unknown'

/** A half message: stored, invisible to consumers until it is ended. */
export interface PreparedMessage {
  readonly messageId: string
  readonly transactionId: string
  readonly topic: string
  readonly brokerName: string
  /** Position in the queue of half messages. */
  readonly queueOffset: bigint
  /** Position in the commit log. */
  readonly physicalOffset: bigint
  /** True when the broker had this half message (same message id or dedupKey) already. */
  readonly duplicate: boolean
}

const outcomes = new Set<string>(['committed', 'rolledBack', 'pending', 'unknown'])

export function halfProperties(
  group: string,
  transactionId: string | undefined,
  immunityMs: number | undefined,
): ExtraProperties {
  const properties: (readonly [string, string])[] = [
    [PropertyName.TRAN_MSG, 'true'],
    [PropertyName.PGROUP, group],
  ]
  if (transactionId !== undefined) properties.push([PropertyName.TRANSACTION_ID, transactionId])
  if (immunityMs !== undefined) {
    properties.push([PropertyName.CHECK_IMMUNITY_TIME_IN_SECONDS, String(Math.ceil(immunityMs / 1_000))])
  }
  return properties
}

/** @throws {ClientError} what the broker answered */
export function outcomeOf(answer: RemotingCommand, decision: 'commit' | 'rollback'): TransactionOutcome {
  const outcome = answer.extFields['outcome']
  // Ours tells the truth whatever the code, e.g. when the opposite was decided before.
  if (outcome !== undefined && outcomes.has(outcome)) return outcome as TransactionOutcome
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, 'end of a transaction')
  return decision === 'commit' ? 'committed' : 'rolledBack'
}
