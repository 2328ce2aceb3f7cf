import { UsageError } from './command.ts'

/** @throws {UsageError} naming the option, when the text is no instant such as 2026-01-31T12:00:00Z */
export function instantOf(option: string, text: string): Date {
  const instant = new Date(text)
  if (!Number.isNaN(instant.getTime())) return instant
  throw new UsageError(`--${option} takes an instant such as 2026-01-31T12:00:00Z, not "${text}"`)
}
