import { outcomeOfError, outcomeOfTag } from '../database/commit-outcome.ts'
import type { Database, QueryClient, Session, TransactionOf } from '../database/database.ts'
import { adapterOf, checkDatabase, openSession, ownPool, rowsOf } from '../database/database.ts'
import type { Clock, Logger } from '../foundation.ts'
import { systemClock } from '../foundation.ts'
import { databaseError, messageOf, OutboxError, sqlState } from '../outbox-error.ts'
import type { Outbox } from '../outbox.ts'
import { migrateDatabase } from '../schema/migrate.ts'
import { Schema } from '../schema/schema.ts'
import type { Messages } from '../transaction/scope.ts'
import { claimStatement } from './inbox-claim.ts'
import type { InboxMessage } from './inbox-key.ts'
import type { Upkeep } from './inbox-partitions.ts'
import { keepPartitions } from './inbox-partitions.ts'

export interface InboxOptions<D extends Database> {
  database: D
  /** Consumer group: each group sees a message once. */
  group: string
  /** A started outbox on the same database: what handlers send through `messages` is part of their transaction. */
  outbox?: Outbox<D>
  /** Schema of the tables. Default `tandem`. */
  schema?: string
  /** How long a repeat waits for the first one's transaction before it is redelivered, ms. Default 5,000. */
  lockTimeoutMs?: number
  /**
   * How long seen messages are remembered, ms. Default 7 days: longer than the brokers redeliver. What was stored longer ago is
   * refused with REPLAY_TOO_OLD.
   */
  retentionMs?: number
  /** Handles messages that are older than `retentionMs` all the same, also if it did so before that. Default false. */
  acceptReplays?: boolean
  /**
   * For consumers with `ordered: true`, which take a queue's messages one after the other: remembers the last offset of each
   * queue instead of every message. Never with `ordered: { by: 'key' }` or without order. Default false.
   */
  fence?: boolean
  clock?: Clock
  logger?: Pick<Logger, 'warn'>
}

const UPKEEP_MS = 600_000
const nobody = { warn: (): void => undefined }
const noOutbox: Messages = {
  send() {
    throw new OutboxError('OPTION_INVALID', 'messages.send in an inbox handler needs the option outbox')
  },
}

/** Ends a transaction of the outbox that has nothing to do. */
class Repeat extends Error {}

/**
 * Consumers whose effect, "seen" row and outgoing messages are one transaction: a repeat finds the row and is skipped, a
 * failure takes the row back with the effect and is delivered again.
 */
export class Inbox<D extends Database = Database> {
  readonly #options: InboxOptions<D>
  readonly #schema: Schema
  readonly #clock: Clock
  readonly #retentionMs: number
  #groupId: Promise<number> | undefined
  #upkeepAt = Number.NEGATIVE_INFINITY
  #firstUpkeep: Promise<unknown> | undefined

  /** @throws {OutboxError} OPTION_INVALID */
  constructor(options: InboxOptions<D>) {
    checkDatabase(options.database)
    this.#options = options
    this.#schema = new Schema(options.schema ?? 'tandem')
    this.#clock = options.clock ?? systemClock
    this.#retentionMs = options.retentionMs ?? 7 * 24 * 3_600_000
    if (!(this.#retentionMs > 0)) throw new OutboxError('OPTION_INVALID', 'retentionMs must be above 0')
  }

  /** The same migrations as `Outbox.migrate`. */
  migrate(): Promise<void> {
    return migrateDatabase(this.#options.database, this.#schema, {})
  }

  /**
   * A handler for `subscribe`. Resolves when the effect is committed or was before; rejects when nothing was committed,
   * and the message is delivered again. After a COMMIT without an answer it rejects too: the repeat finds out.
   * @param effect runs at most once per message; what it writes through `trx` and sends through `messages` counts
   */
  handler<M extends InboxMessage>(
    effect: (message: M, trx: TransactionOf<D>, messages: Messages) => unknown,
  ): (message: M) => Promise<void> {
    const { outbox } = this.#options
    return async (message) => {
      await this.#upkeepNowAndThen()
      const claim = await this.#claimOf(message)
      const handle = (): Promise<void> =>
        outbox === undefined
          ? this.#handle(claim, (trx) => effect(message, trx, noOutbox))
          : this.#handleThrough(outbox, claim, (trx, messages) => effect(message, trx, messages))
      await handle().catch((error: unknown) => {
        // The partition of its day was made while the claim was on its way to the default one; nothing has run yet.
        const isMoved = sqlState(error) === '23514' && (error as { table?: string }).table === 'inbox_default'
        if (!isMoved) throw error
        return handle()
      })
    }
  }

  async #claimOf(message: InboxMessage): Promise<string> {
    const { acceptReplays = false, fence = false, lockTimeoutMs = 5_000 } = this.#options
    const statement = claimStatement(message, {
      ...{ schema: this.#schema, groupId: await this.#group(), nowMs: this.#clock.now() },
      ...{ retentionMs: this.#retentionMs, acceptsReplays: acceptReplays, isFenced: fence },
    })
    return `set local lock_timeout='${lockTimeoutMs}ms'; ${statement}; set local lock_timeout to default`
  }

  async #handle(claim: string, effect: (trx: TransactionOf<D>) => unknown): Promise<void> {
    const session = await openSession(this.#options.database)
    try {
      const results = await session.begin(claim)
      if (results.find((result) => result.command === 'INSERT')?.rowCount !== 1) {
        await session.rollback()
        session.release(false)
        return
      }
      await effect(session.trx)
    } catch (error) {
      const broken = await session.rollback().then(
        () => false,
        () => true,
      )
      session.release(broken)
      throw error
    }
    await this.#commit(session)
  }

  async #handleThrough(
    outbox: Outbox<D>,
    claim: string,
    effect: (trx: TransactionOf<D>, messages: Messages) => unknown,
  ): Promise<void> {
    try {
      await outbox.transaction(async (trx, messages) => {
        const client = await this.#clientOf(trx)
        const results = [await client.query(claim)].flat()
        if (results.find((result) => result.command === 'INSERT')?.rowCount !== 1) throw new Repeat()
        await effect(trx, messages)
      })
    } catch (error) {
      if (!(error instanceof Repeat)) throw error
    }
  }

  async #commit(session: Session<unknown>): Promise<void> {
    const notices: string[] = []
    const onNotice = (notice: { code?: string | undefined }): void => void notices.push(notice.code ?? '')
    session.client.on('notice', onNotice)
    let doubt = true
    try {
      const results = await session.commit('select 1').catch((error: unknown) => {
        // pg runs the select first, and it fails in an aborted transaction.
        if (sqlState(error) === '25P02') return [{ command: 'ROLLBACK' }]
        throw error
      })
      const tag = results.at(-1)?.command ?? ''
      // A commit not yet replicated is visible here; after a failover the broker delivers again or the row is there.
      const ended = notices.filter((code) => code === '25P01')
      const outcome = outcomeOfTag(tag, ended, true)
      doubt = outcome === 'inDoubt'
      if (outcome === 'committed') return
      throw new OutboxError(
        'TRANSACTION_ROLLED_BACK',
        'COMMIT was answered ROLLBACK: a statement failed and its error was swallowed',
      )
    } catch (error) {
      if (!(error instanceof OutboxError)) doubt = outcomeOfError(error) === 'inDoubt'
      throw error
    } finally {
      session.client.off('notice', onNotice)
      session.release(doubt)
    }
  }

  #group(): Promise<number> {
    this.#groupId ??= this.#findGroup().catch((error: unknown) => {
      this.#groupId = undefined
      throw databaseError(error, `inbox of group ${this.#options.group}`)
    })
    return this.#groupId
  }

  #findGroup(): Promise<number> {
    return this.#onConnection(async (client) => {
      const table = this.#schema.inboxGroup
      await client.query(
        `insert into ${table} (name, retention_ms) select $1, $2 where not exists (select from ${table} where name = $1) on conflict do nothing`,
        [this.#options.group, this.#retentionMs],
      )
      const found = rowsOf(await client.query(`select id from ${table} where name = $1`, [this.#options.group]))
      return Number(found.rows[0]?.['id'])
    })
  }

  /** Keeps the tables bounded without anybody's timer: the first message, and one every ten minutes, pay for it. */
  #upkeepNowAndThen(): Promise<unknown> | undefined {
    const now = this.#clock.monotonic()
    if (now - this.#upkeepAt < UPKEEP_MS) return this.#firstUpkeep
    this.#upkeepAt = now
    const upkeep = this.upkeep().catch((error: unknown) => {
      ;(this.#options.logger ?? nobody).warn(`the inbox could not tidy up, later: ${messageOf(error)}`)
    })
    this.#firstUpkeep ??= upkeep
    return upkeep
  }

  /**
   * Makes the partitions of the coming days and drops those that every group has forgotten; handlers do so by themselves every
   * ten minutes.
   * @throws {OutboxError} SCHEMA_MISSING, NO_PERMISSION, DATABASE_UNAVAILABLE
   */
  async upkeep(): Promise<Upkeep> {
    const { group } = this.#options
    await this.#group()
    try {
      return await this.#onConnection((client) =>
        keepPartitions(client, { schema: this.#schema, group, retentionMs: this.#retentionMs }),
      )
    } catch (error) {
      throw databaseError(error, 'upkeep of the inbox')
    }
  }

  /** On a connection of its own: those of the application may all be waiting for this handler. */
  async #onConnection<T>(work: (client: QueryClient) => Promise<T>): Promise<T> {
    const pool = await ownPool(this.#options.database, 1)
    try {
      const client = await pool.connect()
      client.on('error', () => {}) // The query rejects as well.
      try {
        return await work(client)
      } finally {
        client.release()
      }
    } finally {
      await pool.end()
    }
  }

  /** The driver's connection under the transaction of a handler. */
  async #clientOf(trx: TransactionOf<D>): Promise<QueryClient> {
    const adapter = adapterOf(this.#options.database)
    const client: unknown = (await adapter.clientOf?.(trx)) ?? trx
    if (typeof (client as QueryClient).query === 'function') return client as QueryClient
    throw new OutboxError('OPTION_INVALID', 'an inbox with an outbox needs clientOf of the database adapter')
  }
}
