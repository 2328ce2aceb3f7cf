import type { Client, ClientBase, Pool, PoolClient, PoolConfig } from 'pg'
import type { AdapterConnection, DatabaseAdapter, IsolationLevel } from './database-adapter.ts'

const ignore = (): void => undefined

type Driver = { Pool: new (config: PoolConfig) => Pool }

/** pg hides secrets from enumeration, a spread alone would lose them. */
export function secrets(options: PoolConfig): PoolConfig {
  return {
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(options.ssl === undefined ? {} : { ssl: options.ssl }),
  }
}

/**
 * A small pool of our own with the settings of the user's: the user's may be full of transactions that wait for just the
 * answers this one gives.
 */
export function smallPool(PoolOfUser: Driver['Pool'], settings: PoolConfig, size: number): Pool {
  const limits = { max: size, min: 0, idleTimeoutMillis: 10_000, connectionTimeoutMillis: 3_000, keepAlive: true }
  const pool = new PoolOfUser({ ...settings, ...limits, allowExitOnIdle: true })
  pool.on('error', ignore) // An idle connection broke; the next query opens another one.
  return pool
}

function connectionOf<C extends ClientBase>(
  client: C,
  isolation: IsolationLevel | undefined,
  release: (broken: boolean) => void,
): AdapterConnection<C> {
  // The pool listens to idle clients only: a session ended by Postgres while no query runs would end the process.
  client.on('error', ignore)
  return {
    client,
    begin: async () => {
      await client.query(`begin${isolation === undefined ? '' : ` isolation level ${isolation}`}`)
      return client
    },
    commit: () => client.query('commit'),
    rollback: () => client.query('rollback'),
    release: (broken) => {
      // A broken one may have more to say while it closes.
      if (!broken) client.off('error', ignore)
      release(broken)
    },
  }
}

export class PoolAdapter implements DatabaseAdapter<PoolClient> {
  readonly #pool: Pool

  constructor(pool: Pool) {
    this.#pool = pool
  }

  async connect(isolation?: IsolationLevel): Promise<AdapterConnection<PoolClient>> {
    const client = await this.#pool.connect()
    return connectionOf(client, isolation, (broken) => client.release(broken))
  }

  ownPool(size: number): Pool {
    const options = this.#pool.options as PoolConfig
    return smallPool(this.#pool.constructor as Driver['Pool'], { ...options, ...secrets(options) }, size)
  }
}

/** One connection that the application has opened: transactions take turns on it. */
export class ClientAdapter implements DatabaseAdapter<Client> {
  readonly #client: Client
  #turn: Promise<void> = Promise.resolve()

  constructor(client: Client) {
    this.#client = client
  }

  async connect(isolation?: IsolationLevel): Promise<AdapterConnection<Client>> {
    const before = this.#turn
    let done: () => void = ignore
    this.#turn = new Promise((resolve) => (done = resolve))
    await before
    return connectionOf(this.#client, isolation, () => done())
  }

  async ownPool(size: number): Promise<Pool> {
    const { default: pg } = await import('pg')
    const { connectionParameters } = this.#client as unknown as { connectionParameters: PoolConfig }
    const { host, port, user, database, options, application_name } = connectionParameters
    const settings = { host, port, user, database, options, application_name } as PoolConfig
    const { constructor: ClientOfUser } = this.#client as unknown as { constructor: typeof Client }
    return smallPool(pg.Pool, { ...settings, ...secrets(connectionParameters), Client: ClientOfUser }, size)
  }
}
