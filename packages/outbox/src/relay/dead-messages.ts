import type { Pool } from 'pg'
import { databaseError } from '../outbox-error.ts'
import { Schema } from '../schema/schema.ts'

export interface DeadMessagesOptions {
  /** Stays yours. */
  database: Pool
  /** Schema of the tables. Default `tandem`. */
  schema?: string
}

/** A message the broker refused for ever, or answered with an error `attemptsMax` times. */
export interface DeadMessage {
  /** Its place among the rows of the outbox table. */
  readonly id: string
  /** `<transaction>:<n>`, as in its dedup key. */
  readonly key: string
  readonly topic: string
  readonly groupKey: string | undefined
  readonly bodyBytes: number
  readonly attempts: number
  readonly reason: string
  /** When and how it failed, the last ten; also when it was requeued before. */
  readonly history: readonly string[]
  readonly at: Date
}

interface Row {
  id: string
  key: string
  topic: string
  group_key: string | null
  bytes: number
  attempts: number
  reason: string
  history: string[] | null
  at: Date
}

/** The dead table of an outbox, for operators. */
export class DeadMessages {
  readonly #pool: Pool
  readonly #schema: Schema

  /** @throws {OutboxError} OPTION_INVALID */
  constructor(options: DeadMessagesOptions) {
    this.#pool = options.database
    this.#schema = new Schema(options.schema ?? 'tandem')
  }

  /**
   * The oldest first.
   * @param options.limit default 100
   * @param options.after the id of the last one seen
   * @throws {OutboxError} SCHEMA_MISSING, NO_PERMISSION, DATABASE_UNAVAILABLE
   */
  async list(options: { limit?: number | undefined; after?: string | undefined } = {}): Promise<DeadMessage[]> {
    const rows = await this.#query<Row>(
      `select id, tx_id || ':' || n as key, topic, group_key, octet_length(body) as bytes, attempts, reason, history, at
from ${this.#schema.outboxDead} where id > $1 order by id limit $2`,
      [options.after ?? '0', options.limit ?? 100],
    )
    return rows.map(({ group_key: groupKey, bytes: bodyBytes, history, ...row }) => ({
      ...row,
      groupKey: groupKey ?? undefined,
      bodyBytes,
      history: history ?? [],
    }))
  }

  /**
   * Puts messages back where they were: in front of everything of their group key that came later and still waits.
   * @param ids as listed, or `'all'`
   * @returns how many
   * @throws {OutboxError} SCHEMA_MISSING, NO_PERMISSION, DATABASE_UNAVAILABLE
   */
  async requeue(ids: readonly string[] | 'all'): Promise<number> {
    const { outbox, outboxDead } = this.#schema
    const rows = await this.#query(
      `with gone as (delete from ${outboxDead} where ${ids === 'all' ? 'true' : 'id = any($1::bigint[])'} returning *)
insert into ${outbox} (id, tx_id, n, topic, group_key, deliver_at, headers, body, history) overriding system value
select id, tx_id, n, topic, group_key, deliver_at, headers, body,
  history || (to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || ' requeued')
from gone returning id`,
      ids === 'all' ? [] : [ids],
    )
    return rows.length
  }

  async #query<R extends object>(text: string, values: unknown[]): Promise<R[]> {
    try {
      return (await this.#pool.query<R>(text, values)).rows
    } catch (error) {
      throw databaseError(error, `dead messages of schema ${this.#schema.name}`)
    }
  }
}
