import type { Knex } from 'knex'
import type { ClientBase, Pool, PoolConfig } from 'pg'
import { OutboxError } from '../outbox-error.ts'
import type { AdapterConnection, DatabaseAdapter, IsolationLevel } from './database-adapter.ts'
import { secrets, smallPool } from './pg-adapter.ts'

interface KnexClient {
  acquireConnection(): Promise<ClientBase & { __knex__disposed?: string }>
  releaseConnection(connection: ClientBase): Promise<unknown>
  driver: { Pool: new (config: PoolConfig) => Pool }
  config: { connection?: unknown }
  connectionSettings?: PoolConfig
}

const ignore = (): void => undefined

export class KnexAdapter implements DatabaseAdapter<Knex.Transaction> {
  readonly #knex: Knex
  readonly #clients = new WeakMap<Knex.Transaction, Promise<ClientBase>>()

  constructor(knex: Knex) {
    this.#knex = knex
  }

  async connect(isolation?: IsolationLevel): Promise<AdapterConnection<Knex.Transaction>> {
    const pool = this.#knex.client as KnexClient
    // Taken before knex begins, so that its BEGIN can carry the marker.
    const client = await pool.acquireConnection()
    let trx: Knex.Transaction | undefined
    return {
      client,
      begin: async () => {
        const config = { connection: client, ...(isolation === undefined ? {} : { isolationLevel: isolation }) }
        trx = await this.#knex.transaction(config)
        tellTruth(trx)
        return trx
      },
      commit: async () => trx?.commit(),
      rollback: async () => trx?.rollback(),
      release: (broken) => {
        if (broken) client.__knex__disposed = 'its transaction is in doubt'
        // knex rejects for a connection that it has already given up.
        pool.releaseConnection(client).catch(ignore)
      },
    }
  }

  /** The same promise for a transaction and those nested in it. */
  clientOf(trx: Knex.Transaction): Promise<ClientBase> {
    if (trx?.isTransaction !== true || trx.isCompleted()) {
      throw new OutboxError('OPTION_INVALID', 'join needs an open knex transaction, or a client of pg')
    }
    let top = trx
    while (top.parentTransaction !== undefined) top = top.parentTransaction as Knex.Transaction
    const known = this.#clients.get(top)
    if (known !== undefined) return known
    // A promise that resolves in the next turn: knex keeps the connection of a transaction to itself.
    const client = (top.client as KnexClient).acquireConnection()
    this.#clients.set(top, client)
    tellTruth(top, client)
    return client
  }

  async ownPool(size: number): Promise<Pool> {
    const client = this.#knex.client as KnexClient
    const given = client.config.connection
    const own = (settings: PoolConfig): Pool => smallPool(client.driver.Pool, settings, size)
    if (typeof given === 'function') return own((await (given as () => Promise<PoolConfig>)()) as PoolConfig)
    if (typeof given === 'string') return own({ connectionString: given })
    const settings = (given ?? client.connectionSettings ?? {}) as PoolConfig
    return own({ ...settings, ...secrets(settings) })
  }
}

const truthful = new WeakSet<object>()

/**
 * knex's `trx.commit()` resolves although the COMMIT failed (knex issue 6141); only `executionPromise` tells.
 * @param ready neither COMMIT nor ROLLBACK leaves before
 */
function tellTruth(trx: Knex.Transaction, ready: Promise<unknown> = Promise.resolve()): void {
  if (truthful.has(trx)) return
  truthful.add(trx)
  trx.executionPromise.catch(ignore)
  const commit = trx.commit.bind(trx) as (value?: unknown) => Promise<unknown>
  const rollback = trx.rollback.bind(trx) as (reason?: unknown) => Promise<unknown>
  const replace = (name: string, value: unknown): void =>
    void Object.defineProperty(trx, name, { value, configurable: true, writable: true })
  replace('commit', async (value?: unknown) => {
    await ready
    const finished = await commit(value)
    await trx.executionPromise
    return finished
  })
  replace('rollback', async (reason?: unknown) => {
    await ready
    return rollback(reason)
  })
}
