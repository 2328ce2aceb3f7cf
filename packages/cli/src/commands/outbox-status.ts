import { TandemError } from '@tandemmq/client'
import type { Pool } from 'pg'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { databaseOptions, withDatabase } from '../database.ts'
import { textTable } from '../table.ts'

interface OutboxStatus {
  schema: string
  version: number
  domain: string
  /** Rows of `tx` by state: C committed, F forwarded through the table, R fenced. */
  markers: { committed: number; forwarded: number; tombstones: number; oldestSeconds: number | null }
  /** Messages waiting in the table for the broker. */
  waiting: { rows: number; leased: number; attemptsMax: number }
  /** Messages the broker refused for ever. */
  dead: number
}

export const outboxStatus: Command = {
  path: ['outbox', 'status'],
  summary: 'Show what outbox tables hold: markers, waiting and dead messages',
  options: databaseOptions,
  example: 'outbox status --database postgres://app:secret@127.0.0.1/shop --json',
  async run(call) {
    const schema = call.text('schema') ?? 'tandem'
    if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) throw new UsageError(`--schema "${schema}" is no schema name of ours`)
    const status = await withDatabase(call, (pool) => read(pool, schema))
    call.report(status, plain)
  },
}

async function read(pool: Pool, schema: string): Promise<OutboxStatus> {
  const exists = await pool.query('select to_regclass($1) is not null as yes', [`"${schema}".migration`])
  if (exists.rows[0]?.yes !== true) {
    throw new TandemError('SCHEMA_MISSING', `schema ${schema} has no outbox tables; run: tandem outbox migrate`)
  }
  const { rows } = await pool.query(`
    select (select max(version) from "${schema}".migration) as version,
      (select domain_id::text from "${schema}".domain) as domain,
      tx.*, waiting.*, (select count(*)::int from "${schema}".outbox_dead) as dead
    from (select count(*) filter (where state = 'C')::int as committed, count(*) filter (where state = 'F')::int as forwarded,
            count(*) filter (where state = 'R')::int as tombstones,
            extract(epoch from clock_timestamp() - min(at) filter (where state <> 'R'))::int as oldest
          from "${schema}".tx) tx,
         (select count(*)::int as rows, count(*) filter (where lease_until > clock_timestamp())::int as leased,
            coalesce(max(attempts), 0)::int as attempts from "${schema}".outbox) waiting`)
  const row = rows[0]
  return {
    schema,
    version: row.version,
    domain: row.domain,
    markers: {
      committed: row.committed,
      forwarded: row.forwarded,
      tombstones: row.tombstones,
      oldestSeconds: row.oldest,
    },
    waiting: { rows: row.rows, leased: row.leased, attemptsMax: row.attempts },
    dead: row.dead,
  }
}

function plain({ schema, version, domain, markers, waiting, dead }: OutboxStatus): string {
  return textTable(
    ['WHAT', 'VALUE'],
    [
      ['schema', `${schema}, version ${version}`],
      ['domain', domain],
      ['markers of committed transactions', markers.committed],
      ['markers of forwarded transactions', markers.forwarded],
      ['age of the oldest marker', markers.oldestSeconds === null ? '-' : `${markers.oldestSeconds} s`],
      ['tombstones', markers.tombstones],
      ['messages waiting for the broker', waiting.rows],
      ['of them leased by a relay', waiting.leased],
      ['most attempts of a waiting one', waiting.attemptsMax],
      ['dead messages', dead],
    ],
  )
}
