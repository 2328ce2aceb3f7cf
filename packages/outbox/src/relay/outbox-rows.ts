import { createHash } from 'node:crypto'
import type { QueryResult } from 'pg'
import { type QueryClient, rowsOf } from '../database/database.ts'
import type { RecordedMessage } from '../message.ts'
import { headersOf } from '../message.ts'
import type { Schema } from '../schema/schema.ts'
import { literal } from '../schema/schema.ts'

const COLUMNS = 7
const ROWS_PER_STATEMENT = 500

/** A row of the outbox table as the relay needs it. */
export interface OutboxRow {
  id: string
  tx_id: string
  n: number
  topic: string
  group_key: string | null
  headers: Buffer | null
  body: Buffer
  attempts: number
}

/**
 * Writes messages into the outbox table inside the user's transaction. Rows of one group key are written under a lock
 * on that key, held until COMMIT, so that their ids follow the order of the commits. The transaction must hold none of these locks yet.
 * @param leaseMs how long other processes leave the rows without a group key to this one
 */
export async function insertRows(
  client: QueryClient,
  schema: Schema,
  transactionId: string,
  messages: readonly RecordedMessage[],
  leaseMs: number,
): Promise<OutboxRow[]> {
  const keys = [...new Set(messages.flatMap(({ fields }) => fields.orderBy ?? []))]
  if (keys.length > 0) await client.query(locks('pg_advisory_xact_lock', schema, keys))
  const rows: OutboxRow[] = []
  for (let from = 0; from < messages.length; from += ROWS_PER_STATEMENT) {
    const part = messages.slice(from, from + ROWS_PER_STATEMENT)
    const values = part.flatMap((message) => [
      transactionId,
      message.n,
      message.topic,
      message.fields.orderBy ?? null,
      message.fields.deliverAt ?? null,
      headersOf(message),
      message.body,
    ])
    const places = part.map((message, row) => {
      const numbers = Array.from({ length: COLUMNS }, (_, column) => `$${row * COLUMNS + column + 1}`)
      const leased = message.fields.orderBy === undefined && leaseMs > 0
      return `(${numbers.join(',')},${leased ? `clock_timestamp() + ${leaseMs} * interval '1 ms'` : 'null'})`
    })
    const text = `insert into ${schema.outbox} (tx_id,n,topic,group_key,deliver_at,headers,body,lease_until)
values ${places.join(',')} returning id, tx_id, n, topic, group_key, headers, body, attempts`
    const result = rowsOf(await client.query(text, values)) as unknown as QueryResult<OutboxRow>
    rows.push(...result.rows)
  }
  return rows
}

const SAVEPOINT = 'tandem_outbox_keys'

/**
 * True when messages of one of these keys wait in the table: later ones must queue behind them. Waits for transactions that
 * are just writing such rows, and those that come later wait for this one, until its end or {@link letGoOfKeys}.
 */
export async function hasRowsOf(client: QueryClient, schema: Schema, groupKeys: readonly string[]): Promise<boolean> {
  const found = `select exists (select from ${schema.outbox} where group_key in (${groupKeys.map(literal).join(',')})) as yes`
  const results = await client.query(
    `savepoint ${SAVEPOINT}; ${locks('pg_advisory_xact_lock_shared', schema, groupKeys)}; ${found}`,
  )
  return rowsOf(results).rows[0]?.['yes'] === true
}

/**
 * Gives back what {@link hasRowsOf} has locked, before {@link insertRows} wants it for itself: two transactions of one key that each
 * waited for the other to let go would be a deadlock. Undoes nothing else, if nothing was written in between.
 */
export async function letGoOfKeys(client: QueryClient): Promise<void> {
  await client.query(`rollback to savepoint ${SAVEPOINT}; release savepoint ${SAVEPOINT}`)
}

/**
 * Keys share 256 locks, so that a transaction of many keys does not use up the server's. Taken in one order by everybody, or
 * two transactions with the same two keys would wait for each other.
 */
function locks(name: string, schema: Schema, groupKeys: readonly string[]): string {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  const space = hash(`tandemmq outbox ${schema.name}`).readInt32BE()
  const buckets = [...new Set(groupKeys.map((key) => hash(key)[0] ?? 0))].toSorted((a, b) => a - b)
  return `select count(*) from unnest('{${buckets.join(',')}}'::int[]) bucket, lateral (select ${name}(${space}, bucket)) held`
}
