import type { Pool } from 'pg'
import { databaseError, OutboxError } from '../outbox-error.ts'
import { Schema } from '../schema/schema.ts'
import type { Blocker } from './blockers.ts'
import { blockersOf } from './blockers.ts'

/** What the tables of an outbox hold, all processes together. */
export interface OutboxTables {
  schema: string
  version: number
  domain: string
  /** Rows of `tx` by state: C committed, F forwarded through the table, R fenced. */
  markers: { committed: number; forwarded: number; tombstones: number; oldestSeconds: number | null }
  /** Messages waiting in the table for the broker. */
  waiting: {
    rows: number
    keys: number
    leased: number
    attemptsMax: number
    oldestSeconds: number | null
    bytes: number
  }
  /** Messages the broker refused for ever, or answered with an error again and again. */
  dead: number
  /** `unrouted`: rows outside of the partitions of their days. */
  inbox: { partitions: number; unrouted: number; bytes: number }
  /** Transactions older than a minute that keep the tables from being vacuumed or others waiting. */
  blockers: readonly Blocker[]
}

const BLOCKER_SECONDS = 60

/** The key says when its transaction began. */
export const AGE_OF_TX_ID = `extract(epoch from clock_timestamp())
  - ('x' || substr(replace(tx_id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0`

/**
 * Reads every row of the tables: seconds after a long outage.
 * @throws {OutboxError} SCHEMA_MISSING, NO_PERMISSION, DATABASE_UNAVAILABLE; OPTION_INVALID for an impossible schema name
 */
export async function readOutboxTables(pool: Pick<Pool, 'query'>, schemaName = 'tandem'): Promise<OutboxTables> {
  const schema = new Schema(schemaName)
  try {
    const exists = await pool.query(`select to_regclass('${schema.inboxOffset}') is not null as yes`)
    if (exists.rows[0]?.yes !== true) {
      throw new OutboxError('SCHEMA_MISSING', `schema ${schema.name} has no outbox tables; run: tandem outbox migrate`)
    }
    const { rows } = await pool.query(statement(schema))
    const { version, domain, dead, markers, waiting, inbox } = rows[0]
    const blockers = await blockersOf(pool, BLOCKER_SECONDS)
    return { schema: schema.name, version, domain, markers, waiting, dead, inbox, blockers }
  } catch (error) {
    throw databaseError(error, `status of schema ${schema.name}`)
  }
}

function statement({
  tx,
  outbox,
  outboxDead,
  inbox,
  inboxDefault,
  inboxForeign,
  inboxOffset,
  ...schema
}: Schema): string {
  const size = (table: string): string => `pg_total_relation_size('${table}')`
  return `select (select max(version) from ${schema.migration}) as version,
  (select domain_id::text from ${schema.domain}) as domain, (select count(*)::int from ${outboxDead}) as dead,
  (select json_build_object('committed', count(*) filter (where state = 'C'), 'forwarded', count(*) filter (where state = 'F'),
     'tombstones', count(*) filter (where state = 'R'),
     'oldestSeconds', extract(epoch from clock_timestamp() - min(at) filter (where state <> 'R'))::int) from ${tx}) as markers,
  (select json_build_object('rows', count(*), 'keys', count(distinct group_key),
     'leased', count(*) filter (where lease_until > clock_timestamp()), 'attemptsMax', coalesce(max(attempts), 0),
     'oldestSeconds', max(${AGE_OF_TX_ID})::int, 'bytes', ${size(outbox)}) from ${outbox}) as waiting,
  json_build_object('partitions', (select count(*) - 1 from pg_inherits where inhparent = '${inbox}'::regclass),
    'unrouted', (select count(*) from ${inboxDefault}),
    'bytes', ${size(inboxForeign)} + ${size(inboxOffset)}
      + (select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = '${inbox}'::regclass)) as inbox`
}
