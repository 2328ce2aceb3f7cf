import { UsageError } from './command.ts'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `500ms`, `30s`, `5m`, `2h`, `1d`. @throws {UsageError} */
export function durationMs(text: string): number {
  const found = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text.trim())
  if (found === null) throw new UsageError(`"${text}" is no duration such as 500ms, 30s, 5m, 2h`)
  return Number(found[1]) * (UNITS[found[2] as string] as number)
}

export function durationText(ms: number): string {
  const unit = (['d', 'h', 'm', 's'] as const).find((one) => ms > 0 && ms % (UNITS[one] as number) === 0) ?? 'ms'
  return `${ms / (UNITS[unit] as number)}${unit}`
}
