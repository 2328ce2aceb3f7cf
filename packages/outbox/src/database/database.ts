import type { Knex } from 'knex'
import type { Client, Pool, PoolClient, QueryResult } from 'pg'
import type { ClientBase } from 'pg'
import { databaseError, OutboxError, sqlState } from '../outbox-error.ts'
import type { Control } from './control-statement.ts'
import type { AdapterConnection, DatabaseAdapter, IsolationLevel } from './database-adapter.ts'
import { KnexAdapter } from './knex-adapter.ts'
import { ClientAdapter, PoolAdapter } from './pg-adapter.ts'
import { joined, StatementTap } from './statement-tap.ts'

export type { IsolationLevel } from './database-adapter.ts'

/** A knex instance, a `pg.Pool`, a connected `pg.Client`, or an adapter for another library over pg. */
export type Database = Knex | Pool | Client | DatabaseAdapter<unknown>
/** What the user's callback gets: `PoolClient` for a pool, `Knex.Transaction` for knex, what the adapter says for an adapter. */
export type TransactionOf<D extends Database> =
  D extends DatabaseAdapter<infer Trx>
    ? Trx
    : D extends Pool
      ? PoolClient
      : D extends Client
        ? Client
        : Knex.Transaction

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

const isAdapter = (database: Database): database is DatabaseAdapter<unknown> =>
  typeof (database as DatabaseAdapter<unknown> | undefined)?.ownPool === 'function'

const isKnex = (database: Database): database is Knex =>
  typeof database === 'function' && typeof (database as Knex).raw === 'function'

export const isPgClient = (database: unknown): database is Client =>
  typeof database === 'object' && database !== null && 'connectionParameters' in database && 'query' in database

const isPool = (database: Database): database is Pool =>
  typeof database === 'object' && database !== null && typeof (database as Pool).connect === 'function'

const adapters = new WeakMap<object, DatabaseAdapter<unknown>>()

/** The same adapter for the same database: transactions on a single client take turns. @throws {OutboxError} OPTION_INVALID */
export function adapterOf(database: Database): DatabaseAdapter<unknown> {
  const known = adapters.get(Object(database) as object)
  if (known !== undefined) return known
  const made = makeAdapter(database)
  adapters.set(database, made)
  return made
}

function makeAdapter(database: Database): DatabaseAdapter<unknown> {
  if (isKnex(database)) {
    const dialect = String(database.client?.dialect)
    if (dialect === 'postgresql') return new KnexAdapter(database) as DatabaseAdapter<unknown>
    throw new OutboxError(
      'OPTION_INVALID',
      `database: knex speaks ${dialect}, the outbox needs Postgres (client: 'pg')`,
    )
  }
  if (isAdapter(database)) return database
  if (isPgClient(database)) return new ClientAdapter(database)
  if (isPool(database)) return new PoolAdapter(database)
  throw new OutboxError(
    'OPTION_INVALID',
    'database must be a knex instance, a pg.Pool, a pg.Client or a DatabaseAdapter',
  )
}

/** @throws {OutboxError} OPTION_INVALID */
export function checkDatabase(database: Database): void {
  adapterOf(database)
}

/** @throws {OutboxError} DATABASE_UNAVAILABLE */
export async function connectTo(database: Database, isolation?: IsolationLevel): Promise<AdapterConnection<unknown>> {
  try {
    return await adapterOf(database).connect(isolation)
  } catch (error) {
    throw new OutboxError('DATABASE_UNAVAILABLE', `no connection for a transaction: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/** Connections of the outbox itself. */
export async function ownPool(database: Database, size: number): Promise<Pool> {
  return adapterOf(database).ownPool(size)
}

/** An open transaction on the user's database. Exactly one of commit and rollback, then release. */
export interface Session<Trx> {
  readonly trx: Trx
  /** The connection under `trx`: our statements go here, whichever library the user chose. */
  readonly client: ClientBase
  /** BEGIN, then `statements`, in one round trip. Resolves with the results of `statements`. */
  begin(statements: string): Promise<QueryResult[]>
  /**
   * `statements`, then COMMIT, in one round trip.
   * @returns the results, the last one COMMIT's: its tag may be ROLLBACK
   */
  commit(statements: string): Promise<QueryResult[]>
  rollback(): Promise<void>
  /** @param broken the connection must not be used again */
  release(broken: boolean): void
}

/** Nothing is sent to the database before `begin`. @throws {OutboxError} DATABASE_UNAVAILABLE */
export async function openSession<D extends Database>(
  database: D,
  isolation?: IsolationLevel,
): Promise<Session<TransactionOf<D>>> {
  return new AdapterSession(await connectTo(database, isolation)) as unknown as Session<TransactionOf<D>>
}

class AdapterSession implements Session<unknown> {
  readonly #connection: AdapterConnection<unknown>
  #tap: StatementTap | undefined
  #trx: unknown
  #before = ''
  #after = ''
  #results: QueryResult[] | undefined
  #failed: { error: unknown } | undefined

  constructor(connection: AdapterConnection<unknown>) {
    this.#connection = connection
    if (connection.client !== undefined) this.#listen(connection.client)
  }

  get trx(): unknown {
    return this.#trx
  }

  get client(): ClientBase {
    if (this.#tap === undefined) throw new OutboxError('DATABASE_UNAVAILABLE', 'the adapter has shown no connection')
    return this.#tap.client
  }

  #listen(client: ClientBase): StatementTap {
    this.#tap ??= new StatementTap(client, (control, text) => this.#control(control, text))
    return this.#tap
  }

  async #control(control: Control, text: string): Promise<QueryResult> {
    const tap = this.#listen(this.client)
    const { kind } = control
    if (kind === 'begin' && this.#after !== '') {
      const [begun, ...results] = await tap.send(joined(text, this.#after))
      this.#after = ''
      this.#results = results
      return begun as QueryResult
    }
    if (kind !== 'commit' || this.#before === '') return tap.pass(text)
    try {
      this.#results = await tap.send(joined(this.#before, text))
      return rowsOf(this.#results) as QueryResult
    } catch (error) {
      this.#failed = { error }
      // A statement in front of COMMIT failed: the transaction is still open.
      if (sqlState(error) !== '') await tap.query('rollback').catch(() => {})
      throw error
    }
  }

  async begin(statements: string): Promise<QueryResult[]> {
    this.#after = statements
    this.#trx = await this.#connection.begin()
    if (this.#results !== undefined) return this.#results
    this.#after = ''
    const { client } = this.#connection
    return this.#listen(client ?? this.client).send(statements)
  }

  async commit(statements: string): Promise<QueryResult[]> {
    this.#before = statements
    this.#results = undefined
    const failed = await this.#connection.commit().then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    const wrong = this.#failed ?? (this.#results === undefined ? (failed ?? { error: undefined }) : undefined)
    if (wrong === undefined) return this.#results ?? []
    throw wrong.error ?? new OutboxError('DATABASE_UNAVAILABLE', 'no COMMIT was issued')
  }

  async rollback(): Promise<void> {
    // A library whose BEGIN failed does not know of a transaction; the connection may.
    if (this.#trx === undefined) await this.#tap?.query('rollback')
    else await this.#connection.rollback()
  }

  release(broken: boolean): void {
    this.#tap?.detach()
    this.#connection.release(broken)
  }
}
