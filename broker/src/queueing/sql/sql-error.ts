import { BrokerError } from '../../broker-error.ts'

/** @param at where in the text, counted from 0 */
export function sqlError(problem: string, at: number): BrokerError {
  return new BrokerError('SUBSCRIPTION_INVALID', `SQL92 expression, character ${at + 1}: ${problem}`)
}
