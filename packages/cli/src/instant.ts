import { systemClock } from '@tandemmq/client'
import { UsageError } from './command.ts'

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `30s`, `5m`, `2h`, `1d`, `250ms` as ms; undefined when it is no duration. */
export function durationOf(text: string): number | undefined {
  const [, count, unit = ''] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? []
  return count === undefined ? undefined : Number(count) * (UNIT_MS[unit] ?? 1)
}

/** An instant, or a duration from now. @throws {UsageError} naming the option */
export function dueTimeOf(option: string, text: string): Date {
  const duration = durationOf(text)
  const instant = duration === undefined ? new Date(text) : new Date(systemClock.now() + duration)
  if (!Number.isNaN(instant.getTime())) return instant
  throw new UsageError(
    `--${option} takes an instant such as 2026-01-31T12:00:00Z or a duration such as 30s, not "${text}"`,
  )
}

/** @throws {UsageError} naming the option, when the text is no instant such as 2026-01-31T12:00:00Z */
export function instantOf(option: string, text: string): Date {
  const instant = new Date(text)
  if (!Number.isNaN(instant.getTime())) return instant
  throw new UsageError(`--${option} takes an instant such as 2026-01-31T12:00:00Z, not "${text}"`)
}
