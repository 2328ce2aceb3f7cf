import type { ClientBase, Pool } from 'pg'

export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable'

/**
 * What the outbox needs of a database library, for those it does not know (it knows `pg` and knex):
 * `new Outbox({ database: adapter })`. The library must speak to Postgres through `pg` (node-postgres); the outbox reads BEGIN,
 * COMMIT, ROLLBACK and savepoints on its connection, and its own statements go there too. docs: README.md.
 */
export interface DatabaseAdapter<Trx = unknown> {
  /** Takes a connection for one transaction; nothing is sent yet. A rejection reaches the user as DATABASE_UNAVAILABLE. */
  connect(isolation?: IsolationLevel): Promise<AdapterConnection<Trx>>
  /**
   * For `outbox.join`: the connection of a transaction that the application began with its library. A promise must resolve
   * without asking the network. Without this method `join` takes clients of pg only.
   */
  clientOf?(trx: Trx): ClientBase | Promise<ClientBase>
  /** Connections for check-back, relay and sweeper, ended by the outbox: not those of the application, which may all wait. */
  ownPool(size: number): Pool | Promise<Pool>
}

/** One connection. `begin`, then one of `commit` and `rollback` (none after a failed `begin`), then `release`. */
export interface AdapterConnection<Trx> {
  /** undefined where the library shows it only after `begin`: the marker then costs a round trip of its own. */
  readonly client: ClientBase | undefined
  /** Issues BEGIN. @returns what the user's callback gets */
  begin(): Promise<Trx>
  /**
   * Issues COMMIT. The outbox sees its outcome on the wire; what this resolves or rejects with does not count. `rollback` is not
   * called after it: a library that keeps the connection of a COMMIT that failed must be told here.
   */
  commit(): Promise<unknown>
  /** Issues ROLLBACK. */
  rollback(): Promise<unknown>
  /** @param broken the connection must not be used again */
  release(broken: boolean): void
}
