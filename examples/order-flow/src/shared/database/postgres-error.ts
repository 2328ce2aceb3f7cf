import { DatabaseError } from 'pg'

const UNIQUE_VIOLATION = '23505'

/** The row is there already. */
export function isRepeat(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === UNIQUE_VIOLATION
}

/** SQLSTATE classes 22 (a value that cannot be) and 23 (a constraint): no repeat would help. */
export function isRefusal(error: unknown): boolean {
  return error instanceof DatabaseError && /^2[23]/.test(error.code ?? '')
}
