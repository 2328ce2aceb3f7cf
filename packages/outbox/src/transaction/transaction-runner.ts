import type { ClientBase } from 'pg'
import type { AdapterConnection } from '../database/database-adapter.ts'
import type { Database, TransactionOf } from '../database/database.ts'
import { adapterOf, connectTo, isPgClient } from '../database/database.ts'
import { isOutside } from '../database/statement-tap.ts'
import { newTransactionId } from '../database/transaction-id.ts'
import { failpoints } from '../failpoint.ts'
import { messageOf, OutboxError } from '../outbox-error.ts'
import type { TransactionOptions } from '../outbox-options.ts'
import type { EnlistmentParts } from './enlistment.ts'
import { Enlistment, rolledBack } from './enlistment.ts'
import type { Messages, Mode, ScopeContext } from './scope.ts'
import { TransactionScope } from './scope.ts'

export interface TransactionRunnerOptions<D extends Database>
  extends Omit<EnlistmentParts, 'counts' | 'running' | 'clock'> {
  database: D
  mode: Mode
  context: ScopeContext
  onAnomaly(text: string): void
}

/** Runs transactions, and joins those of others, to their definite outcome. */
export class TransactionRunner<D extends Database> {
  /** Keys of transactions not decided yet. */
  readonly running = new Set<string>()
  readonly counts = { committed: 0, rolledBack: 0, fallbacks: 0, inDoubt: 0 }
  readonly #options: TransactionRunnerOptions<D>
  readonly #parts: EnlistmentParts
  /** By connection, or by the promise of one. */
  readonly #joined = new WeakMap<object, Joined>()
  /** Joined transactions that have not ended. */
  readonly joined = new Set<Promise<void>>()

  constructor(options: TransactionRunnerOptions<D>) {
    this.#options = options
    const { clock } = options.context
    this.#parts = { ...options, clock, counts: this.counts, running: this.running }
  }

  #scope(mode: Mode = this.#options.mode, isJoined = false): TransactionScope {
    const { context } = this.#options
    return new TransactionScope(context, newTransactionId(context.clock), mode, isJoined)
  }

  async run<T>(
    run: (trx: TransactionOf<D>, messages: Messages) => T | Promise<T>,
    options: TransactionOptions,
  ): Promise<T> {
    const connection = await connectTo(this.#options.database, options.isolationLevel)
    const scope = this.#scope(options.mode)
    let enlistment: Enlistment | undefined
    try {
      const begun = await this.#begin(connection, scope, (made) => (enlistment = made))
      return await this.#work(begun, () => run(begun.trx as TransactionOf<D>, scope.messages), connection)
    } finally {
      await enlistment?.rollBackNow()
      connection.release(enlistment?.isBroken ?? true)
    }
  }

  async #begin(
    connection: AdapterConnection<unknown>,
    scope: TransactionScope,
    onEnlisted: (enlistment: Enlistment) => void,
  ): Promise<{ trx: unknown; enlistment: Enlistment }> {
    const enlist = (client: ClientBase): Enlistment => {
      const made = new Enlistment(this.#parts, client, scope)
      onEnlisted(made)
      return made
    }
    const early = connection.client === undefined ? undefined : enlist(connection.client)
    failpoints?.hit('P0')
    const trx = await connection.begin()
    const { client } = connection
    if (early !== undefined) {
      this.#remember(trx, early)
      return { trx, enlistment: early }
    }
    if (client === undefined) throw new OutboxError('DATABASE_UNAVAILABLE', 'the adapter has shown no connection')
    const enlistment = enlist(client)
    await enlistment.open()
    this.#remember(trx, enlistment)
    return { trx, enlistment }
  }

  async #work<T>(
    { enlistment }: { enlistment: Enlistment },
    run: () => T | Promise<T>,
    connection: AdapterConnection<unknown>,
  ): Promise<T> {
    let value: T
    try {
      value = await run()
    } catch (error) {
      enlistment.scope.closeToMessages()
      if (!enlistment.isFinishing) await connection.rollback().catch(() => {})
      throw error
    }
    // Unless the callback has committed or rolled back by itself.
    const failed = enlistment.isFinishing ? undefined : await connection.commit().then(nothing, caught)
    if (enlistment.isFinishing) await enlistment.ended
    const { end } = enlistment
    if (end?.status === 'committed') return value
    if (end?.status === 'prepared') {
      throw new OutboxError('TRANSACTION_IN_DOUBT', 'the callback prepared the transaction: COMMIT PREPARED decides')
    }
    throw end?.error ?? failed?.error ?? rolledBack('the callback rolled back')
  }

  /** `join` inside of `run` finds the transaction that is there. */
  #remember(trx: unknown, enlistment: Enlistment): void {
    const found = isPgClient(trx) ? trx : adapterOf(this.#options.database).clientOf?.(trx)
    if (found !== undefined) this.#joined.set(found, { scope: enlistment.scope, enlistment })
  }

  /** @returns what records messages in a transaction somebody else has begun; the same for the same transaction */
  join(trx: object): Messages {
    const found = isPgClient(trx) ? trx : adapterOf(this.#options.database).clientOf?.(trx)
    if (found === undefined) {
      throw new OutboxError('OPTION_INVALID', 'join: neither a client of pg nor a transaction the adapter knows')
    }
    if (isPgClient(found) && isOutside(found)) {
      throw new OutboxError('ILLEGAL_OPERATION', 'join: there is no transaction, BEGIN comes first')
    }
    const known = this.#joined.get(found)
    if (known !== undefined && known.enlistment?.end === undefined) return known.scope.messages
    const joined: Joined = { scope: this.#scope(undefined, true) }
    this.#joined.set(found, joined)
    if (found instanceof Promise) {
      found.then(
        (client) => this.#enlist(client, joined),
        (error: unknown) => this.#options.onAnomaly(`join: the adapter has no connection: ${messageOf(error)}`),
      )
    } else this.#enlist(found, joined)
    return joined.scope.messages
  }

  #enlist(client: ClientBase, joined: Joined): void {
    joined.enlistment = new Enlistment(this.#parts, client, joined.scope)
    const { ended } = joined.enlistment
    this.joined.add(ended)
    void ended.then(() => this.joined.delete(ended))
  }
}

interface Joined {
  readonly scope: TransactionScope
  enlistment?: Enlistment
}

const nothing = (): undefined => undefined
const caught = (error: unknown): { error: unknown } => ({ error })
