import type { QueryClient } from '../database/database.ts'
import { rowsOf } from '../database/database.ts'
import { firstIdAt } from '../database/transaction-id.ts'
import { sqlState } from '../outbox-error.ts'
import type { Schema } from '../schema/schema.ts'

const DAY_MS = 86_400_000
/** Keys are dated by the clocks of their producers: so far beyond the retention is nobody's clock wrong. */
const MARGIN_MS = DAY_MS
const DAYS_AHEAD = 2
const ROWS_MAX = 10_000
const NAME = /^inbox_(\d{8})$/

export interface PartitionsOptions {
  schema: Schema
  /** Name of the consumer group whose retention this is. */
  group: string
  retentionMs: number
}

/** What a round did. */
export interface Upkeep {
  created: number
  dropped: number
  /** Rows outside of partitions that were too old. */
  deleted: number
}

/**
 * A partition of the inbox for each day, made ahead and dropped when every group has forgotten it; whole days leave without a
 * dead row. A role that does not own the table leaves everything in the default partition, which is then emptied by DELETE.
 * Called by the consumers themselves, now and then; one at a time, and none waits for another.
 */
export async function keepPartitions(client: QueryClient, options: PartitionsOptions): Promise<Upkeep> {
  const { schema } = options
  const upkeep: Upkeep = { created: 0, dropped: 0, deleted: 0 }
  await client.query(
    `update ${schema.inboxGroup} set retention_ms = $1 where name = $2 and retention_ms is distinct from $1`,
    [options.retentionMs, options.group],
  )
  const found = await client.query(
    `select max(coalesce(retention_ms, $1))::bigint as keep_ms, (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms from ${schema.inboxGroup}`,
    [options.retentionMs],
  )
  const row = rowsOf(found).rows[0] ?? {}
  const nowMs = Number(row['now_ms'])
  const oldestMs = nowMs - Number(row['keep_ms']) - MARGIN_MS
  const days = await daysOf(client, schema)
  for (let day = startOfDay(nowMs); day <= nowMs + DAYS_AHEAD * DAY_MS; day += DAY_MS) {
    if (!days.includes(day) && (await alone(client, schema, (run) => create(run, schema, day)))) upkeep.created++
  }
  for (const day of days.filter((start) => start + DAY_MS < oldestMs)) {
    const drop = `drop table ${schema.index(nameOf(day))}`
    if (await alone(client, schema, async (run) => void (await run.query(drop)))) upkeep.dropped++
  }
  upkeep.deleted += await forget(client, schema.inboxDefault, 'message_key < $1', firstIdAt(oldestMs))
  upkeep.deleted += await forget(client, schema.inboxForeign, 'at < $1::timestamptz', new Date(oldestMs).toISOString())
  return upkeep
}

async function daysOf(client: QueryClient, schema: Schema): Promise<number[]> {
  const found = await client.query(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = '${schema.inbox}'::regclass`,
  )
  return rowsOf(found).rows.flatMap(({ name }) => {
    const [, day = ''] = NAME.exec(String(name)) ?? []
    return day === '' ? [] : [Date.parse(`${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`)]
  })
}

const startOfDay = (ms: number): number => ms - (ms % DAY_MS)
const nameOf = (day: number): string => `inbox_${new Date(day).toISOString().slice(0, 10).replaceAll('-', '')}`

/** Rows of the day that came before its partition move into it. */
async function create(client: QueryClient, schema: Schema, day: number): Promise<void> {
  const partition = schema.index(nameOf(day))
  const [from, to] = [firstIdAt(day), firstIdAt(day + DAY_MS)].map((id) => `'${id.slice(0, 14)}0000-0000-000000000000'`)
  await client.query(`lock table ${schema.inboxDefault} in access exclusive mode;
create table ${partition} (like ${schema.inbox} including all);
with moved as (delete from ${schema.inboxDefault} where message_key >= ${from} and message_key < ${to} returning *)
insert into ${partition} select * from moved;
alter table ${schema.inbox} attach partition ${partition} for values from (${from}) to (${to})`)
}

/** In a transaction of its own. @returns false when somebody else does it, holds the table, or this role may not */
async function alone(
  client: QueryClient,
  schema: Schema,
  work: (client: QueryClient) => Promise<void>,
): Promise<boolean> {
  await client.query(`begin isolation level read committed; set local lock_timeout='200ms'`)
  try {
    const key = `hashtextextended('tandemmq inbox ${schema.name}', 0)`
    const mine = rowsOf(await client.query(`select pg_try_advisory_xact_lock(${key}) as yes`))
    if (mine.rows[0]?.['yes'] !== true) {
      await client.query('rollback')
      return false
    }
    await work(client)
    await client.query('commit')
    return true
  } catch (error) {
    await client.query('rollback')
    // Locked, not the owner, made or dropped by somebody else in between, a deadlock with handlers.
    if (['55P03', '42501', '42P07', '42P01', '42P17', '40P01'].includes(sqlState(error))) return false
    throw error
  }
}

async function forget(client: QueryClient, table: string, condition: string, value: string): Promise<number> {
  const deleted = await client.query(
    `delete from ${table} where ctid = any(array(select ctid from ${table} where ${condition} limit ${ROWS_MAX}))`,
    [value],
  )
  return rowsOf(deleted).rowCount ?? 0
}
