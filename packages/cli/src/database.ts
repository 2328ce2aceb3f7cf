import { TandemError } from '@tandemmq/client'
import type { Pool } from 'pg'
import { UsageError } from './command.ts'
import type { Call, OptionSpec } from './command.ts'

/** Options of the commands that talk to Postgres. */
export const databaseOptions: Readonly<Record<string, OptionSpec>> = {
  database: { value: 'URL', help: 'postgres://user:password@host:port/name, default $DATABASE_URL' },
  'database-url': { value: 'URL', help: 'the same as --database' },
  schema: { value: 'NAME', help: 'schema of the tables, default tandem' },
}

/** Runs `work` with a pool on `--database` or DATABASE_URL. Nothing is connected before the first query. */
export async function withDatabase<T>(call: Call, work: (pool: Pool) => Promise<T>): Promise<T> {
  const url = call.text('database') ?? call.text('database-url') ?? process.env['DATABASE_URL']
  if (url === undefined || url === '') throw new UsageError('--database URL is missing, and DATABASE_URL is not set')
  // Loaded here: a broker on a machine without Postgres does not need the driver.
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({ connectionString: url, max: 1, connectionTimeoutMillis: 5_000 })
  pool.on('error', () => {})
  try {
    return await work(pool)
  } catch (error) {
    if (error instanceof TandemError) throw error
    throw new TandemError('DATABASE_UNAVAILABLE', (error as Error).message || 'no connection', { cause: error })
  } finally {
    await pool.end()
  }
}

/** @throws {UsageError} when `--schema` is no name that the outbox could have made; undefined when it was not given */
export function schemaOf(call: Call): string | undefined {
  const schema = call.text('schema')
  if (schema !== undefined && !/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new UsageError(`--schema "${schema}" is no schema name of ours`)
  }
  return schema
}
