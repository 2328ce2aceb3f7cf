import type { QueryResult } from 'pg'
import { outcomeOfError, outcomeOfTag } from './commit-outcome.ts'
import type { Database, QueryClient, Session, TransactionOf } from './database.ts'
import { checkDatabase, openSession, rowsOf } from './database.ts'
import { DEDUP_KEY } from './half-sender.ts'
import { databaseError, OutboxError, sqlState } from './outbox-error.ts'
import { migrateDatabase } from './migrate.ts'
import { Schema } from './schema.ts'
import { firstIdAt } from './transaction-id.ts'
import type { Clock } from './foundation.ts'
import { systemClock } from './foundation.ts'

export interface InboxOptions<D extends Database> {
  database: D
  /** Consumer group: each group sees a message once. */
  group: string
  /** Schema of the tables. Default `tandem`. */
  schema?: string
  /** How long a repeat waits for the first one's transaction before it is redelivered, ms. Default 5,000. */
  lockTimeoutMs?: number
  /** How long seen messages are remembered, ms. Default 7 days: longer than the brokers redeliver. */
  retentionMs?: number
  clock?: Clock
}

/** What an inbox reads of a message; every message of @tandemmq/client has it. */
export interface InboxMessage {
  readonly messageId: string
  readonly properties: Readonly<Record<string, string>>
}

const PURGE_EVERY = 1_000
const PURGE_ROWS = 10_000

type Key = { uuid: string; n: number } | { text: string }

/**
 * Consumers whose effect and "seen" row are one transaction: a repeat finds the row and is skipped, a failure takes
 * the row back with the effect and is delivered again.
 */
export class Inbox<D extends Database = Database> {
  readonly #options: InboxOptions<D>
  readonly #schema: Schema
  readonly #clock: Clock
  #groupId: Promise<number> | undefined
  #handled = 0

  /** @throws {OutboxError} OPTION_INVALID */
  constructor(options: InboxOptions<D>) {
    checkDatabase(options.database)
    this.#options = options
    this.#schema = new Schema(options.schema ?? 'tandem')
    this.#clock = options.clock ?? systemClock
  }

  /** The same migrations as `Outbox.migrate`. */
  migrate(): Promise<void> {
    return migrateDatabase(this.#options.database, this.#schema, {})
  }

  /**
   * A handler for `subscribe`. Resolves when the effect is committed or was before; rejects when nothing was committed,
   * and the message is delivered again. After a COMMIT without an answer it rejects too: the repeat finds out.
   * @param effect runs at most once per message; what it writes through `trx` counts
   */
  handler<M extends InboxMessage>(
    effect: (message: M, trx: TransactionOf<D>) => unknown,
  ): (message: M) => Promise<void> {
    return async (message) => {
      const groupId = await this.#group()
      const session = await openSession(this.#options.database)
      try {
        if (!(await this.#claim(session, groupId, keyOf(message)))) {
          await session.rollback()
          session.release(false)
          return
        }
        await effect(message, session.trx)
      } catch (error) {
        const broken = await session.rollback().then(
          () => false,
          () => true,
        )
        session.release(broken)
        throw error
      }
      await this.#commit(session)
      await this.#purgeNowAndThen(groupId)
    }
  }

  /** @returns false for a repeat; one that races the first waits for its transaction */
  async #claim(session: Session<unknown>, groupId: number, key: Key): Promise<boolean> {
    const { lockTimeoutMs = 5_000 } = this.#options
    const before = `set local lock_timeout='${lockTimeoutMs}ms'`
    const after = 'set local lock_timeout to default'
    if ('uuid' in key) {
      const insert = `insert into ${this.#schema.inbox} values (${groupId}, '${key.uuid}', ${key.n}) on conflict do nothing`
      const results = await session.begin(`${before}; ${insert}; ${after}`)
      return results.find((result) => result.command === 'INSERT')?.rowCount === 1
    }
    await session.begin(before)
    const insert = `insert into ${this.#schema.inboxForeign} (consumer_group, message_key) values ($1, $2) on conflict do nothing`
    const result = (await session.client.query(insert, [groupId, key.text])) as QueryResult
    await session.client.query(after)
    return result.rowCount === 1
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
      const outcome = outcomeOfTag(
        tag,
        notices.filter((code) => code === '25P01'),
        true,
      )
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

  async #findGroup(): Promise<number> {
    const session = await openSession(this.#options.database)
    const client = session.client as unknown as QueryClient
    try {
      await session.begin('select 1')
      const table = this.#schema.inboxGroup
      await client.query(`insert into ${table} (name) values ($1) on conflict do nothing`, [this.#options.group])
      const found = rowsOf(await client.query(`select id from ${table} where name = $1`, [this.#options.group]))
      await session.commit('select 1')
      session.release(false)
      return Number(found.rows[0]?.['id'])
    } catch (error) {
      await session.rollback().catch(() => {})
      session.release(true)
      throw error
    }
  }

  /** Keeps the tables bounded without anybody's timer: every thousandth message pays for a batch. */
  async #purgeNowAndThen(groupId: number): Promise<void> {
    if (++this.#handled % PURGE_EVERY === 0) await this.purge(groupId).catch(() => 0)
  }

  /** Forgets what is older than `retentionMs`, 10,000 rows of each table at most. @returns how many */
  async purge(groupId?: number): Promise<number> {
    const { retentionMs = 7 * 24 * 3_600_000 } = this.#options
    const id = groupId ?? (await this.#group())
    const session = await openSession(this.#options.database)
    const client = session.client as unknown as QueryClient
    try {
      await session.begin('select 1')
      const { inbox, inboxForeign } = this.#schema
      // Keys of our producers are UUIDv7: their order is their age.
      const own = await client.query(
        `delete from ${inbox} where ctid = any(array(select ctid from ${inbox} where consumer_group = $1 and message_key < $2 limit ${PURGE_ROWS}))`,
        [id, firstIdAt(this.#clock.now() - retentionMs)],
      )
      const foreign = await client.query(
        `delete from ${inboxForeign} where ctid = any(array(select ctid from ${inboxForeign}
         where consumer_group = $1 and at < clock_timestamp() - $2 * interval '1 ms' limit ${PURGE_ROWS}))`,
        [id, retentionMs],
      )
      await session.commit('select 1')
      session.release(false)
      return (rowsOf(own).rowCount ?? 0) + (rowsOf(foreign).rowCount ?? 0)
    } catch (error) {
      await session.rollback().catch(() => {})
      session.release(true)
      throw databaseError(error, 'purge of the inbox')
    }
  }
}

/** The producer's key where there is one: it survives repeats of the producer, of the relay and of the broker. */
function keyOf(message: InboxMessage): Key {
  const dedupKey = message.properties[DEDUP_KEY]
  const ours = /^([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}):(\d{1,9})(?::f)?$/.exec(dedupKey ?? '')
  if (ours !== null) return { uuid: ours[1] ?? '', n: Number(ours[2]) }
  return { text: (dedupKey ?? message.messageId).replaceAll('\0', '') }
}
