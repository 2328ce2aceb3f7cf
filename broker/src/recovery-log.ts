import type { RecoveryReport } from './store/index.ts'

/** What an operator has to know of a start: one line for each range of bytes that was left out or removed. */
export function recoveryLines({ damage, journalDamage, cut, conflicts }: RecoveryReport): string[] {
  const lines: string[] = []
  for (const { from, to } of damage) {
    lines.push(`bytes ${from} to ${to} of the log are damaged and left out, as acceptDamage asks`)
  }
  for (const what of journalDamage) lines.push(`${what}: left out, as acceptDamage asks`)
  if (cut !== undefined) {
    lines.push(`bytes ${cut.from} to ${cut.to} of the log were on their way when the broker ended, and are removed`)
  }
  if (conflicts > 0) lines.push(`${conflicts} records claim an offset an earlier one has, and are in no queue`)
  return lines
}
