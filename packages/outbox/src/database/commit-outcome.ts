import { sqlState } from '../outbox-error.ts'

/** What a COMMIT told us; in doubt is settled by asking the database again (see resolver.ts), never by guessing. */
export type CommitOutcome = 'committed' | 'rolledBack' | 'inDoubt'

// 01000 and 57P01: the wait for the synchronous standby was cancelled or its backend terminated, the commit is not yet
// replicated. 25P01: there was no transaction any more, somebody ended it inside the callback.
const doubtfulNotices = new Set(['01000', '57P01', '25P01'])

// Raised before the commit record is written. Any other failure may have come after it.
const rolledBackClasses = new Set(['22', '23', '25', '40', '42', '44', '55', 'P0'])

/** @param notices SQLSTATEs of the notices that arrived with the answer */
export function outcomeOfTag(tag: string, notices: readonly string[], sameTransaction: boolean): CommitOutcome {
  if (notices.some((code) => doubtfulNotices.has(code)) || !sameTransaction) return 'inDoubt'
  if (tag === 'COMMIT') return 'committed'
  return tag === 'ROLLBACK' ? 'rolledBack' : 'inDoubt'
}

export function outcomeOfError(error: unknown): CommitOutcome {
  const state = sqlState(error)
  if (state === '40003') return 'inDoubt' // statement_completion_unknown
  // 25P03 and 25P04 are FATAL: the session ended, perhaps while our COMMIT was on its way.
  if (state === '25P03' || state === '25P04') return 'inDoubt'
  return rolledBackClasses.has(state.slice(0, 2)) ? 'rolledBack' : 'inDoubt'
}
