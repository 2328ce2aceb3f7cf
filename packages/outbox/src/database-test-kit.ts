import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { migrateDatabase } from './migrate.ts'
import { Schema } from './schema.ts'

/** A pool that bears that its database is dropped: a connection may still say goodbye then. */
export function poolOf(url: string, max = 8): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max })
  pool.on('error', () => {})
  return pool
}

/** The tables in the schema tandem, and nothing else. */
export async function prepareTables(url: string): Promise<void> {
  const pool = poolOf(url)
  await migrateDatabase(pool, new Schema('tandem'), {})
  await pool.end()
}

/** A database with these tables, and a pool on it. */
export async function databaseWithTables(): Promise<{ url: string; pool: pg.Pool; close(): Promise<void> }> {
  const db = await startTestDatabase({ prepare: prepareTables })
  const pool = poolOf(db.url)
  const close = async (): Promise<void> => {
    await pool.end()
    await db.close()
  }
  return { url: db.url, pool, close }
}
