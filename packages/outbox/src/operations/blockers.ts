import type { Pool } from 'pg'

/** Somebody who keeps the tables from being vacuumed, or a statement of ours from going on. */
export interface Blocker {
  /** Absent for a replication slot and a prepared transaction. */
  readonly pid: number | undefined
  /** Role and application, or the name of the slot or the prepared transaction. */
  readonly who: string
  /** `idle in transaction`, `active`, …; `slot`; `prepared`. */
  readonly state: string
  /** How long its transaction runs; undefined for a slot. */
  readonly seconds: number | undefined
  readonly why: 'holds back vacuum' | 'holds a lock others wait for'
}

interface Row {
  pid: number | null
  who: string
  state: string
  seconds: number | null
  why: Blocker['why']
}

const ROWS_MAX = 10

/** The oldest first. What a role may not see of others' sessions (pg_monitor may) is missing from `who`. */
export async function blockersOf(pool: Pick<Pool, 'query'>, olderThanSeconds: number): Promise<Blocker[]> {
  const { rows } = await pool.query<Row>(
    `select * from (
  select pid, concat_ws(' ', usename, nullif(application_name, ''), 'in', datname) as who, coalesce(state, 'unknown') as state,
    extract(epoch from clock_timestamp() - xact_start)::int as seconds, 'holds back vacuum' as why
  from pg_stat_activity
  where (backend_xmin is not null or backend_xid is not null) and pid <> pg_backend_pid()
    and xact_start < clock_timestamp() - $1 * interval '1 s'
  union all
  select null, slot_name, 'slot', null, 'holds back vacuum' from pg_replication_slots where xmin is not null
  union all
  select null, gid, 'prepared', extract(epoch from clock_timestamp() - prepared)::int, 'holds back vacuum'
  from pg_prepared_xacts where prepared < clock_timestamp() - $1 * interval '1 s'
  union all
  select b.pid, concat_ws(' ', b.usename, nullif(b.application_name, ''), 'in', b.datname), coalesce(b.state, 'unknown'),
    extract(epoch from clock_timestamp() - b.xact_start)::int, 'holds a lock others wait for'
  from (select distinct unnest(pg_blocking_pids(pid)) as pid from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()
          and query_start < clock_timestamp() - $1 * interval '1 s') w join pg_stat_activity b using (pid)
) s order by seconds desc nulls first limit ${ROWS_MAX}`,
    [olderThanSeconds],
  )
  return rows.map(({ pid, seconds, ...row }) => ({ ...row, pid: pid ?? undefined, seconds: seconds ?? undefined }))
}
