import { setTimeout as pause } from 'node:timers/promises'
import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { migrateDatabase } from '../schema/migrate.ts'
import { Schema } from '../schema/schema.ts'

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

/**
 * Resolves when commits wait for the standbys that were just set. Sessions see the setting earlier: whether there is anything to wait for
 * they hear from the checkpointer, when it has read its configuration anew (Postgres, syncrep.c).
 */
export async function untilCommitsWait(url: string): Promise<void> {
  const writer = new pg.Client(url)
  const watcher = new pg.Client(url)
  await Promise.all([writer.connect(), watcher.connect()])
  const { rows } = await writer.query<{ pid: number }>('select pg_backend_pid() as pid')
  const waiting = `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' and pid = ${rows[0]?.pid}`
  for (let isWaiting = false; !isWaiting; ) {
    const written = writer.query("comment on schema public is 'written'").then(() => true)
    while (!isWaiting && !(await Promise.race([written, pause(20)]))) {
      isWaiting = (await watcher.query(waiting)).rowCount === 1
    }
    await written
  }
  await Promise.all([writer.end(), watcher.end()])
}
