import type { Pool } from 'pg'
import { databaseError, OutboxError } from '../outbox-error.ts'
import { readDomain, whyForeign, whyPromoted } from './domain.ts'
import { versionOf } from './migrate.ts'
import { migrations } from './migrations.ts'
import type { Schema } from './schema.ts'

/** What every transaction sets for itself, as far as this server knows it. synchronous_commit travels with COMMIT. */
export interface Settings {
  /** SET LOCAL statements. */
  readonly statements: string
  /** The same as arguments of the function that inserts the marker. */
  readonly args: string
}

export interface Probe {
  domainId: string
  settings: Settings
  /** What somebody should know although it need not be wrong. */
  warning?: string
}

export interface ProbeOptions {
  idleInTransactionTimeoutMs: number
  transactionTimeoutMs: number
}

/**
 * Everything that would otherwise show itself in the middle of somebody's transaction.
 * @throws {OutboxError} DATABASE_UNAVAILABLE, SCHEMA_MISSING, DOMAIN_MISMATCH, NO_PERMISSION
 */
export async function probe(pool: Pool, schema: Schema, options: ProbeOptions): Promise<Probe> {
  try {
    const needed = migrations(schema).length
    const version = await versionOf(pool, schema)
    if (version < needed) {
      throw new OutboxError(
        'SCHEMA_MISSING',
        `schema ${schema.name} has version ${version} of ${needed}: run migrate() first`,
      )
    }
    await checkRights(pool, schema)
    return { ...(await domainOf(pool, schema)), settings: await settingsOf(pool, options) }
  } catch (error) {
    throw databaseError(error, `schema ${schema.name}`)
  }
}

/** What the role lacks, e.g. `DELETE on "tandem"."tx"`; undefined when nothing. */
export async function missingRights(
  pool: Pick<Pool, 'query'>,
  schema: Schema,
): Promise<{ role: string; missing: string } | undefined> {
  const wanted = [schema.tx, schema.outbox].flatMap((table) =>
    ['SELECT', 'INSERT', 'UPDATE', 'DELETE'].map((right) => `('${table}','${right}')`),
  )
  wanted.push(`('${schema.domain}','SELECT')`, `('${schema.outboxDead}','INSERT')`)
  const { rows } = await pool.query<{ role: string; missing: string }>(
    `select current_user as role, string_agg(r || ' on ' || t, ', ') as missing
     from (select * from (values ${wanted.join(',')}) w(t, r) where not has_table_privilege(t, r)
       union all select f, 'EXECUTE' from (values ('${schema.mark}(uuid,text,text,text)')) w(f)
         where not has_function_privilege(f, 'EXECUTE')) lacking(t, r)
     having count(*) > 0`,
  )
  return rows[0]
}

async function checkRights(pool: Pool, schema: Schema): Promise<void> {
  const lack = await missingRights(pool, schema)
  if (lack !== undefined) throw new OutboxError('NO_PERMISSION', `role ${lack.role} lacks ${lack.missing}`)
}

/** A copy brings the domain with it: two databases must not answer for one. */
async function domainOf(pool: Pool, schema: Schema): Promise<Pick<Probe, 'domainId' | 'warning'>> {
  const domain = await readDomain(pool, schema)
  if (domain === undefined) throw new OutboxError('SCHEMA_MISSING', `${schema.domain} is empty`)
  const foreign = whyForeign(domain)
  if (foreign !== undefined) throw new OutboxError('DOMAIN_MISMATCH', foreign)
  const warning = whyPromoted(domain)
  return { domainId: domain.id, ...(warning === undefined ? {} : { warning }) }
}

async function settingsOf(pool: Pool, options: ProbeOptions): Promise<Settings> {
  const idle = `${options.idleInTransactionTimeoutMs}ms`
  const statements = [`set local idle_in_transaction_session_timeout='${idle}'`]
  const args = [`'${idle}'`]
  const optional = [
    ['client_connection_check_interval', '1s'], // Not on Windows servers.
    ['transaction_timeout', `${options.transactionTimeoutMs}ms`], // Since Postgres 17.
  ]
  for (const [name, value] of optional) {
    const setting = `set local ${name}='${value}'`
    const known = await pool.query(`begin; ${setting}; rollback`).then(
      () => true,
      async () => false,
    )
    args.push(known ? `'${value}'` : 'null')
    if (known) statements.push(setting)
    else await pool.query('rollback').catch(() => {})
  }
  return { statements: statements.join('; '), args: args.join(',') }
}
