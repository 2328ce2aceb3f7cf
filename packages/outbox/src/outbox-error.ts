import { TandemError } from './foundation.ts'

/** Every failure of this package. */
export class OutboxError extends TandemError {}

/** The SQLSTATE of a database error, '' for anything else (a broken connection has none). */
export function sqlState(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : ''
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** A database failure met outside the user's own statements, with what the user can do about it. */
export function databaseError(error: unknown, doing: string): OutboxError {
  if (error instanceof OutboxError) return error
  const detail = `${doing}: ${messageOf(error)}`
  switch (sqlState(error)) {
    case '42P01':
    case '3F000':
      return new OutboxError('SCHEMA_MISSING', `${detail}; run migrate() first`, { cause: error })
    case '42501':
      return new OutboxError('NO_PERMISSION', detail, { cause: error })
    default:
      return new OutboxError('DATABASE_UNAVAILABLE', detail, { cause: error })
  }
}
