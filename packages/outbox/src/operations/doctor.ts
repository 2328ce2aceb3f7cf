import type { Pool, PoolClient } from 'pg'
import { databaseError } from '../outbox-error.ts'
import { versionOf } from '../schema/migrate.ts'
import { migrations } from '../schema/migrations.ts'
import { missingRights } from '../schema/probe.ts'
import { Schema } from '../schema/schema.ts'
import { blockersOf } from './blockers.ts'
import { findClusterFaults, findPoolerFaults, findServerFaults } from './doctor-server.ts'
import type { Finding } from './finding.ts'
import { AGE_OF_TX_ID } from './status.ts'

export interface DoctorOptions {
  /** Schema of the tables. Default `tandem`. */
  schema?: string
  /** Markers older than this should have been swept, s. Default 1,200: twice what sweepers leave alone. */
  markerSeconds?: number
  /** Messages that wait longer than this mean a broker that is away, or no relay, s. Default 60. */
  waitingSeconds?: number
  /** Transactions older than this are reported, s. Default 300. */
  blockerSeconds?: number
}

/**
 * Looks for what makes the guarantees void or the tables grow: settings of the server, standbys, copies of the database, rights, the
 * way to it, and what has been lying there too long.
 * @returns empty when all is well
 * @throws {OutboxError} DATABASE_UNAVAILABLE; OPTION_INVALID for an impossible schema name
 */
export async function diagnose(pool: Pick<Pool, 'connect'>, options: DoctorOptions = {}): Promise<Finding[]> {
  const schema = new Schema(options.schema ?? 'tandem')
  const client = await pool.connect().catch((error: unknown) => {
    throw databaseError(error, 'doctor')
  })
  try {
    const findings = [...(await findServerFaults(client)), ...(await findPoolerFaults(client))]
    const version = await versionOf(client, schema)
    const needed = migrations(schema).length
    if (version < needed) {
      const detail = `schema ${schema.name} has version ${version} of ${needed}: run tandem outbox migrate`
      return [...findings, { level: 'error', check: 'schema', detail }]
    }
    const rights = await findMissingRights(client, schema)
    findings.push(...rights)
    if (rights.some(({ level }) => level === 'error')) return findings
    return [
      ...findings,
      ...(await findClusterFaults(client, schema)),
      ...(await findLeftovers(client, schema, options)),
    ]
  } catch (error) {
    throw databaseError(error, 'doctor')
  } finally {
    client.release()
  }
}

async function findMissingRights(client: PoolClient, schema: Schema): Promise<Finding[]> {
  const findings: Finding[] = []
  const lack = await missingRights(client, schema)
  if (lack !== undefined) {
    findings.push({ level: 'error', check: 'rights', detail: `role ${lack.role} lacks ${lack.missing}` })
  }
  const { rows } = await client.query(
    `select current_user as role, has_table_privilege('${schema.outbox}', 'TRUNCATE') as truncate,
  has_table_privilege('${schema.inbox}', 'SELECT,INSERT') and has_table_privilege('${schema.inboxForeign}', 'SELECT,INSERT') as inbox,
  pg_has_role(c.relowner, 'USAGE') as owner from pg_class c where c.oid = '${schema.inbox}'::regclass`,
  )
  const { role, truncate, inbox, owner } = rows[0]
  const warn = (check: string, detail: string): number => findings.push({ level: 'warning', check, detail })
  if (!truncate) {
    warn(
      'rightToTruncate',
      `role ${role} lacks TRUNCATE on ${schema.outbox}: after an outage its files stay as large as they were`,
    )
  }
  if (!inbox) warn('rightsOfInbox', `role ${role} lacks SELECT or INSERT on ${schema.inbox} and ${schema.inboxForeign}`)
  else if (!owner) {
    warn(
      'inboxOwner',
      `role ${role} does not own ${schema.inbox}: old rows leave one by one instead of a partition at a time`,
    )
  }
  return findings
}

async function findLeftovers(client: PoolClient, schema: Schema, options: DoctorOptions): Promise<Finding[]> {
  const { markerSeconds = 1_200, waitingSeconds = 60, blockerSeconds = 300 } = options
  const findings: Finding[] = []
  const warn = (check: string, detail: string): number => findings.push({ level: 'warning', check, detail })
  // The least id is among the oldest; a scan of them all would cost seconds after an outage.
  const { rows } = await client.query(
    `select (select extract(epoch from clock_timestamp() - min(at))::int from ${schema.tx} where state <> 'R') as marker,
  (select (${AGE_OF_TX_ID})::int from ${schema.outbox} order by id limit 1) as waiting,
  (select count(*)::int from ${schema.outboxDead}) as dead`,
  )
  const { marker, waiting, dead } = rows[0] as { marker: number | null; waiting: number | null; dead: number }
  if (marker !== null && marker > markerSeconds) {
    warn(
      'oldMarkers',
      `the oldest marker is ${marker} s old: no outbox of this domain runs, or a broker does not answer its sweeper`,
    )
  }
  if (waiting !== null && waiting > waitingSeconds) {
    warn(
      'waitingMessages',
      `a message waits since ${waiting} s: the broker is away or answers it with errors, or no outbox runs`,
    )
  }
  if (dead > 0) warn('deadMessages', `${dead} dead messages: see tandem outbox dead list`)
  for (const { pid, who, state, seconds, why } of await blockersOf(client, blockerSeconds)) {
    const name = pid === undefined ? who : `${who} (pid ${pid})`
    warn('blocker', `${name}, ${state}${seconds === undefined ? '' : ` since ${seconds} s`}, ${why}`)
  }
  return findings
}
