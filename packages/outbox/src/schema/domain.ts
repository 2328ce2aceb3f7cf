import type { QueryClient } from '../database/database.ts'
import { rowsOf } from '../database/database.ts'
import { OutboxError } from '../outbox-error.ts'
import type { Schema } from './schema.ts'

/** A promoted standby begins a new one. */
export const TIMELINE = 'substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)'
/** The same in every copy of a data directory, another one in CREATE DATABASE … TEMPLATE and in a restored dump. */
const DATABASE = '(select oid from pg_catalog.pg_database where datname = current_database())'
/** True where the domain lives, false in the copies of its row. */
export const AT_HOME = `database_oid = ${DATABASE}`

/** Where a domain lives; undefined: it was not noted, or the role or the server may not say. */
interface Home {
  readonly cluster: string | undefined
  readonly database: string | undefined
  readonly timeline: string | undefined
}

/** The domain as its row tells it, and the database that row was found in. */
export interface Domain {
  readonly id: string
  readonly noted: Home
  readonly here: Home
}

/** undefined when the table is empty. @throws what the database says */
export async function readDomain(client: QueryClient, schema: Schema): Promise<Domain | undefined> {
  const { rows } = rowsOf(
    await client.query(
      `select domain_id, system_identifier::text as cluster, database_oid::text as database, timeline,
  ${DATABASE}::text as here from ${schema.domain}`,
    ),
  )
  const row = rows[0] as Record<string, string | null> | undefined
  if (row === undefined) return undefined
  // Not every role may ask the first, no standby knows the second.
  const cluster = await ask(client, 'select system_identifier::text as value from pg_control_system()')
  const timeline = await ask(client, `select ${TIMELINE} as value`)
  const noted = (name: string): string | undefined => row[name] ?? undefined
  return {
    id: String(row['domain_id']),
    noted: { cluster: noted('cluster'), database: noted('database'), timeline: noted('timeline') },
    here: { cluster, database: noted('here'), timeline },
  }
}

async function ask(client: QueryClient, text: string): Promise<string | undefined> {
  return client.query(text).then(
    (results) => rowsOf(results).rows[0]?.['value'] as string | undefined,
    () => undefined,
  )
}

const differ = (noted: string | undefined, here: string | undefined): boolean =>
  noted !== undefined && here !== undefined && noted !== here

/** Why this database must not answer for its domain, and what to do; undefined when it may. */
export function whyForeign({ id, noted, here }: Domain): string | undefined {
  const isElsewhere = differ(noted.cluster, here.cluster)
  if (!isElsewhere && !differ(noted.database, here.database)) return undefined
  const place = (home: Home): string => `database ${home.database ?? '?'} of cluster ${home.cluster ?? '?'}`
  return `this database is a copy: domain ${id} belongs to ${place(noted)}, this is ${place(here)}. If both go on living, give this one a domain of its own, migrate({ newDomain: true }) or tandem outbox migrate --new-domain; if the original is gone for good, migrate({ adoptCluster: true }) or tandem outbox migrate --adopt-cluster`
}

/** A failover and a copy of the data directory that was promoted look alike from here; undefined when neither has been. */
export function whyPromoted({ id, noted, here }: Domain): string | undefined {
  if (!differ(noted.timeline, here.timeline)) return undefined
  return `timeline ${here.timeline} instead of ${noted.timeline}: a standby or a copy has been promoted. After a failover, tandem outbox migrate --adopt-cluster takes note of it; a copy whose original goes on living answers for the same domain ${id} and needs tandem outbox migrate --new-domain before it serves anybody`
}

/** Remembers where the domain lives, as far as the role may know. */
export async function noteHome(client: QueryClient, schema: Schema): Promise<void> {
  await client.query(`update ${schema.domain} set database_oid = ${DATABASE}`)
  await client.query('savepoint cluster')
  try {
    await client.query(`update ${schema.domain} set timeline = ${TIMELINE}`)
    await client.query(
      `update ${schema.domain} set system_identifier = (select system_identifier from pg_control_system())`,
    )
  } catch {
    await client.query('rollback to savepoint cluster')
  }
}

/**
 * Makes a copy a database of its own. Messages that were waiting in the original's outbox table are the original's to send: here they
 * become dead ones, to be requeued by whoever knows better.
 * @throws {OutboxError} SCHEMA_MISSING when the domain's row is gone
 */
export async function takeNewDomain(client: QueryClient, schema: Schema): Promise<void> {
  const { domain, outbox, outboxDead } = schema
  const { rows } = rowsOf(await client.query(`select domain_id from ${domain} for update`))
  const before = rows[0]?.['domain_id']
  if (before === undefined) throw new OutboxError('SCHEMA_MISSING', `${domain} is empty`)
  await client.query(`update ${domain} set domain_id = gen_random_uuid()`)
  await client.query(
    `with gone as (delete from ${outbox} returning *)
insert into ${outboxDead} (id, tx_id, n, topic, group_key, deliver_at, headers, body, attempts, reason, history)
select id, tx_id, n, topic, group_key, deliver_at, headers, body, attempts, $1, history from gone`,
    [`copied with domain ${String(before)}, which sends it`],
  )
}
