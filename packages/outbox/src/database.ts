import type { Knex } from 'knex'
import type { ClientBase, Pool, PoolClient, PoolConfig, QueryResult } from 'pg'
import { databaseError, OutboxError, sqlState } from './outbox-error.ts'

export type Database = Knex | Pool
/** What the user's callback gets: `PoolClient` for a pool, `Knex.Transaction` for knex. */
export type TransactionOf<D extends Database> = D extends Pool ? PoolClient : Knex.Transaction

export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable'

// pg types a text of several statements as one result.
export type Results = QueryResult | QueryResult[]
export interface QueryClient {
  query(text: string, values?: unknown[]): Promise<Results>
}

export const failure = (doing: string, error: unknown): OutboxError => databaseError(error, doing)

/** The result of a single statement, the last one of several. */
export function rowsOf(results: Results): QueryResult<Record<string, unknown>> {
  const last = Array.isArray(results) ? results.at(-1) : results
  if (last === undefined) throw new OutboxError('DATABASE_UNAVAILABLE', 'the driver returned no result')
  return last
}

/** An open transaction on the user's database. Exactly one of commit and rollback, then release. */
export interface Session<Trx> {
  readonly trx: Trx
  /** The driver's connection under `trx`: our statements go here, whichever library the user chose. */
  readonly client: ClientBase
  /** BEGIN, then `statements`; with pg in one round trip. Resolves with the results of `statements`. */
  begin(statements: string, isolation?: IsolationLevel): Promise<QueryResult[]>
  /**
   * COMMIT; with pg `statements` run in front of it in the same round trip.
   * @returns the results, the last one COMMIT's: its tag may be ROLLBACK
   */
  commit(statements: string): Promise<QueryResult[]>
  rollback(): Promise<void>
  /** @param broken the connection must not be used again */
  release(broken: boolean): void
}

const isKnex = (database: Database): database is Knex =>
  typeof database === 'function' && typeof (database as Knex).raw === 'function'

const isPool = (database: Database): database is Pool =>
  typeof database === 'object' && database !== null && typeof database.connect === 'function'

/** @throws {OutboxError} OPTION_INVALID */
export function checkDatabase(database: Database): void {
  if (isKnex(database)) {
    const dialect = String(database.client?.dialect)
    if (dialect === 'postgresql') return
    throw new OutboxError(
      'OPTION_INVALID',
      `database: knex speaks ${dialect}, the outbox needs Postgres (client: 'pg')`,
    )
  }
  if (!isPool(database)) throw new OutboxError('OPTION_INVALID', 'database must be a knex instance or a pg.Pool')
}

/** Nothing is sent to the database before `begin`, except knex's own BEGIN. @throws {OutboxError} DATABASE_UNAVAILABLE */
export async function openSession<D extends Database>(
  database: D,
  isolation?: IsolationLevel,
): Promise<Session<TransactionOf<D>>> {
  try {
    const session = isKnex(database) ? await openKnex(database, isolation) : await openPg(database as Pool)
    return session as unknown as Session<TransactionOf<D>>
  } catch (error) {
    throw new OutboxError('DATABASE_UNAVAILABLE', `no connection for a transaction: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

const ignore = (): void => undefined

async function openPg(pool: Pool): Promise<Session<PoolClient>> {
  const client = await pool.connect()
  // The pool listens to idle clients only: a session ended by Postgres while no query runs would end the process.
  client.on('error', ignore)
  const all = async (text: string): Promise<QueryResult[]> => {
    const results = (await client.query(text)) as unknown as Results
    return Array.isArray(results) ? results : [results]
  }
  return {
    trx: client,
    client,
    begin: async (statements, isolation) =>
      (await all(`begin${isolation === undefined ? '' : ` isolation level ${isolation}`}; ${statements}`)).slice(1),
    commit: async (statements) => {
      try {
        return await all(`${statements}; commit`)
      } catch (error) {
        // A statement in front of COMMIT failed: the transaction is still open.
        if (sqlState(error) !== '') await client.query('rollback').catch(() => {})
        throw error
      }
    },
    rollback: async () => void (await client.query('rollback')),
    release: (broken) => {
      // A broken one may have more to say while it closes.
      if (!broken) client.off('error', ignore)
      client.release(broken)
    },
  }
}

async function openKnex(knex: Knex, isolation?: IsolationLevel): Promise<Session<Knex.Transaction>> {
  const trx = await knex.transaction(isolation === undefined ? {} : { isolationLevel: isolation })
  // Rejects for a failed COMMIT, which trx.commit() itself reports as success (knex issue 6141).
  const execution = trx.executionPromise
  execution.catch(() => {})
  const client = (await trx.client.acquireConnection()) as ClientBase
  return {
    trx,
    client,
    begin: async (statements) => {
      const results = (await client.query(statements)) as unknown as Results
      return Array.isArray(results) ? results : [results]
    },
    commit: async () => {
      const finished = (await trx.commit()) as unknown as { response?: QueryResult } | undefined
      await execution
      return [finished?.response ?? ({ command: '', rows: [] } as unknown as QueryResult)]
    },
    rollback: async () => void (await trx.rollback()),
    // knex releases by itself when the transaction is over; a connection marked so is destroyed instead of reused.
    release: (broken) => {
      if (broken) (client as unknown as { __knex__disposed?: string }).__knex__disposed = 'its transaction is in doubt'
    },
  }
}

type Driver = { Pool: new (config: PoolConfig) => Pool }

/**
 * A small pool of our own with the settings of the user's: the user's may be full of transactions that wait for just the
 * answers this one gives.
 */
export async function ownPool(database: Database, size: number): Promise<Pool> {
  const limits = { max: size, min: 0, idleTimeoutMillis: 10_000, connectionTimeoutMillis: 3_000, keepAlive: true }
  let pool: Pool
  if (isKnex(database)) {
    const { driver } = database.client as { driver: Driver }
    pool = new driver.Pool({ ...(await knexConnection(database)), ...limits, allowExitOnIdle: true })
  } else {
    const options = (database as Pool).options as PoolConfig
    const PoolOfUser = (database as Pool).constructor as Driver['Pool']
    // pg hides secrets from enumeration, a spread alone would lose them.
    pool = new PoolOfUser({ ...options, ...secrets(options), ...limits, allowExitOnIdle: true })
  }
  pool.on('error', ignore) // An idle connection broke; the next query opens another one.
  return pool
}

async function knexConnection(knex: Knex): Promise<PoolConfig> {
  const client = knex.client as { config: { connection?: unknown }; connectionSettings?: PoolConfig }
  const given = client.config.connection
  if (typeof given === 'function') return (await given()) as PoolConfig
  if (typeof given === 'string') return { connectionString: given }
  const settings = (given ?? client.connectionSettings ?? {}) as PoolConfig
  return { ...settings, ...secrets(settings) }
}

function secrets(options: PoolConfig): PoolConfig {
  return {
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(options.ssl === undefined ? {} : { ssl: options.ssl }),
  }
}
