import { TandemError } from '@tandemmq/client'
import { diagnose } from '@tandemmq/outbox'
import type { Finding } from '@tandemmq/outbox'
import type { Command } from '../command.ts'
import { databaseOptions, schemaOf, withDatabase } from '../database.ts'
import { textTable } from '../table.ts'

export const outboxDoctor: Command = {
  path: ['outbox', 'doctor'],
  summary: 'Look for what makes the guarantees of the outbox void or its tables grow; fails when there is an error',
  options: databaseOptions,
  example: 'outbox doctor --database postgres://app:secret@127.0.0.1/shop',
  async run(call) {
    const schema = schemaOf(call)
    const findings = await withDatabase(call, (pool) => diagnose(pool, schema === undefined ? {} : { schema }))
    call.report(findings, plain)
    const errors = findings.filter(({ level }) => level === 'error').length
    if (errors > 0)
      throw new TandemError('OUTBOX_AILING', `the doctor found ${errors} ${errors === 1 ? 'error' : 'errors'}`)
  },
}

function plain(findings: Finding[]): string {
  const rows = findings.map(({ level, check, detail }) => [level, check, detail])
  return textTable(['LEVEL', 'CHECK', 'DETAIL'], rows, 'all is well')
}
