import type { Database, QueryClient } from '../database/database.ts'
import { failure, ownPool, rowsOf } from '../database/database.ts'
import { OutboxError } from '../outbox-error.ts'
import { noteHome, takeNewDomain } from './domain.ts'
import { migrations } from './migrations.ts'
import type { Schema } from './schema.ts'

export interface MigrateOptions {
  /**
   * Takes note that the tables now live in another database or Postgres cluster (dump and restore, logical switchover). Only when
   * the old one is gone for good: two databases that answer for one domain give contradictory answers. Default false.
   */
  adoptCluster?: boolean
  /**
   * Gives a copy (CREATE DATABASE … TEMPLATE, a restored dump, a promoted clone) a domain of its own, while the original goes on
   * living. Waiting messages in its outbox table are the original's to send: they become dead messages here. Default false.
   */
  newDomain?: boolean
}

/**
 * Brings the schema to the newest version in one transaction under an advisory lock. A role that may not create
 * anything passes as long as nothing is missing.
 * @returns the version after the run
 */
export async function migrate(client: QueryClient, schema: Schema, options: MigrateOptions = {}): Promise<number> {
  const { adoptCluster = false, newDomain = false } = options
  if (adoptCluster && newDomain)
    throw new OutboxError('OPTION_INVALID', 'migrate: either adoptCluster or newDomain, a database has one domain')
  await client.query('begin isolation level read committed')
  try {
    await client.query(`select pg_advisory_xact_lock(hashtextextended('tandemmq migrate ${schema.name}', 0))`)
    const all = migrations(schema)
    const current = await versionOf(client, schema)
    if (current === 0) await createHistory(client, schema)
    for (const [index, sql] of all.entries()) {
      if (index < current) continue
      await client.query(sql)
      await client.query(`insert into ${schema.migration} (version) values (${index + 1})`)
    }
    if (newDomain) await takeNewDomain(client, schema)
    if (current < 2 || adoptCluster || newDomain) await noteHome(client, schema)
    const committed = await client.query('commit')
    if (rowsOf(committed).command !== 'COMMIT') throw failure('migrate', new Error('the transaction was rolled back'))
    return Math.max(current, all.length)
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw failure(`migrate schema ${schema.name}`, error)
  }
}

/** 0 when nothing was ever migrated. */
export async function versionOf(client: QueryClient, schema: Schema): Promise<number> {
  const exists = rowsOf(await client.query(`select to_regclass('${schema.migration}') is not null as yes`))
  if (exists.rows[0]?.['yes'] !== true) return 0
  const { rows } = rowsOf(await client.query(`select coalesce(max(version), 0) as version from ${schema.migration}`))
  return Number(rows[0]?.['version'] ?? 0)
}

async function createHistory(client: QueryClient, schema: Schema): Promise<void> {
  // "if not exists" asks for the right to create even where the schema exists already.
  const { rows } = rowsOf(await client.query(`select to_regnamespace('"${schema.name}"') is not null as yes`))
  if (rows[0]?.['yes'] !== true) await client.query(`create schema "${schema.name}"`)
  await client.query(
    `create table ${schema.migration} (version int primary key, at timestamptz not null default clock_timestamp())`,
  )
}

/** Runs the migrations on one connection of a user's database. */
export async function migrateDatabase(database: Database, schema: Schema, options: MigrateOptions): Promise<void> {
  const pool = await ownPool(database, 1)
  try {
    const client = await pool.connect().catch((error: unknown) => {
      throw failure('migrate', error)
    })
    client.on('error', () => {}) // The query rejects as well.
    try {
      await migrate(client, schema, options)
    } finally {
      client.release()
    }
  } finally {
    await pool.end()
  }
}
