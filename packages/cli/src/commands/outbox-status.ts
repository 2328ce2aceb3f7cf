import { readOutboxTables } from '@tandemmq/outbox'
import type { OutboxTables } from '@tandemmq/outbox'
import type { Command } from '../command.ts'
import { databaseOptions, schemaOf, withDatabase } from '../database.ts'
import { textTable } from '../table.ts'

export const outboxStatus: Command = {
  path: ['outbox', 'status'],
  summary: 'Show what outbox tables hold, how old it is, and who stands in the way',
  options: databaseOptions,
  example: 'outbox status --database postgres://app:secret@127.0.0.1/shop --json',
  async run(call) {
    const schema = schemaOf(call)
    const status = await withDatabase(call, (pool) => readOutboxTables(pool, schema))
    call.report(status, plain)
  },
}

const age = (seconds: number | null): string => (seconds === null ? '-' : `${seconds} s`)
const mebibytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`

function plain({ schema, version, domain, markers, waiting, dead, inbox, blockers }: OutboxTables): string {
  const table = textTable(
    ['WHAT', 'VALUE'],
    [
      ['schema', `${schema}, version ${version}`],
      ['domain', domain],
      ['markers of committed transactions', markers.committed],
      ['markers of forwarded transactions', markers.forwarded],
      ['age of the oldest marker', age(markers.oldestSeconds)],
      ['tombstones', markers.tombstones],
      ['messages waiting for the broker', waiting.rows],
      ['group keys of them', waiting.keys],
      ['of them leased by a relay', waiting.leased],
      ['most attempts of a waiting one', waiting.attemptsMax],
      ['age of the oldest waiting one', age(waiting.oldestSeconds)],
      ['size of their table', mebibytes(waiting.bytes)],
      ['dead messages', dead],
      ['inbox', `${inbox.partitions} partitions, ${inbox.unrouted} rows outside, ${mebibytes(inbox.bytes)}`],
    ],
  )
  if (blockers.length === 0) return table
  const rows = blockers.map(({ pid, who, state, seconds, why }) => [pid, who, state, age(seconds ?? null), why])
  return `${table}\n\n${textTable(['PID', 'BLOCKER', 'STATE', 'SINCE', 'WHY'], rows)}`
}
