import type { Pool, QueryResultRow } from 'pg'
import { outcomeOfTag } from '../database/commit-outcome.ts'
import { OutboxError, sqlState } from '../outbox-error.ts'
import type { Schema } from '../schema/schema.ts'
import { literal, SYNCHRONOUS_COMMIT } from '../schema/schema.ts'
import type { OutboxRow } from './outbox-rows.ts'

/** A claim holds at most so many bytes of messages, and one message more. */
const BATCH_BYTES = 4 * 1_048_576
/** Keys in one claim: each costs several probes of an index, its further rows next to nothing. */
const KEYS_MAX = 250
/** Steps through the keys in one claim that finds nothing: behind those, next time. */
const STEPS_MAX = 40
const ROWS_COUNTED_MAX = 100_000
const HISTORY_MAX = 10
/** A lease that ends later than any that is taken is one of a clock that has stepped back since. */
const FREE = `(o.lease_until is null or o.lease_until < clock_timestamp() or o.lease_until > clock_timestamp() + interval '2 minutes')`
const SIZE = 'octet_length(o.body) + coalesce(octet_length(o.headers), 0)'
const RETURNED = 'o.id, o.tx_id, o.n, o.topic, o.group_key, o.headers, o.body, o.attempts'

/** Which rows are wanted: those of all topics but some, or of some alone. */
export type Topics = { readonly except: readonly string[] } | { readonly only: readonly string[] }

/** The outbox table as the relay uses it: claims by lease, and what becomes of claimed rows. */
export class OutboxTable {
  readonly #pool: Pool
  readonly #schema: Schema
  readonly #leaseMs: number
  // Where the last claims ended: rows deleted since, still unvacuumed, are not read again and again.
  #afterId = '0'
  #afterKey: string | undefined

  constructor(pool: Pool, schema: Schema, leaseMs: number) {
    this.#pool = pool
    this.#schema = schema
    this.#leaseMs = leaseMs
  }

  /** Rows without a group key, whose order nobody asked for. */
  async claimFree(rowsMax: number, topics: Topics = ALL): Promise<OutboxRow[]> {
    const { outbox } = this.#schema
    // One row of a topic is looked for from the start: the place is that of the others.
    const isProbe = 'only' in topics
    for (;;) {
      const after = isProbe ? '0' : this.#afterId
      const rows = await this.#claim<OutboxRow>(
        `with free as (
  select o.id, ${SIZE} as size from ${outbox} o
  where o.group_key is null and o.id > $2 and ${FREE}${among(topics)} order by o.id limit $1 for update skip locked)
${this.#lease('free')}`,
        [rowsMax, after],
      )
      const sorted = byId(rows)
      if (isProbe) return sorted
      const last = sorted.at(-1)
      const fromStart = this.#afterId === '0'
      this.#afterId = last?.id ?? '0'
      // What a longer transaction committed behind the place is found by starting over.
      if (last !== undefined || fromStart) return sorted
    }
  }

  /**
   * Runs of rows that share a group key, each from the first row of its key on and without a gap. The first row is the
   * lock: who has it has the key, so a key's rows are never in two hands.
   */
  async claimRuns(rowsMax: number, topics: Topics = ALL): Promise<OutboxRow[]> {
    for (let wraps = 0, step = 1; ; step++) {
      const after = this.#afterKey
      const rows = await this.#claim<OutboxRow & { id: string | null; last_key: string | null }>(
        this.#runs(after === undefined ? 'group_key is not null' : 'group_key > $2', topics),
        after === undefined ? [rowsMax] : [rowsMax, after],
      )
      const claimed = rows.filter((row) => row.id !== null)
      // Keys whose first row is in other hands are passed by; those behind them may be free.
      this.#afterKey = rows[0]?.last_key ?? undefined
      if (this.#afterKey === undefined) wraps += after === undefined ? 2 : 1
      if (claimed.length > 0 || wraps > 1 || step === STEPS_MAX) return byId(claimed)
    }
  }

  /**
   * After a crash in the middle of a COMMIT, rows may be seen that no standby has yet, and a failover would take their
   * transaction back. The claim comes after them in the log: once it is on the standby, so are they.
   */
  async #claim<Row extends QueryResultRow>(text: string, values: unknown[]): Promise<Row[]> {
    const client = await this.#pool.connect()
    const notices: string[] = []
    const onNotice = (notice: { code?: string | undefined }): void => void notices.push(notice.code ?? '')
    let broken: Error | undefined
    client.on('error', ignore)
    client.on('notice', onNotice)
    try {
      const { rows } = await client.query<Row>(text, values)
      if (outcomeOfTag('COMMIT', notices, true) === 'committed') return rows
      throw new OutboxError('DATABASE_UNAVAILABLE', 'the claim of rows was not replicated: its wait was cancelled')
    } catch (error) {
      broken = error as Error
      throw error
    } finally {
      client.off('notice', onNotice)
      if (broken === undefined) client.off('error', ignore)
      client.release(broken)
    }
  }

  /** The keys are walked through the index, one probe for each, however many rows a key has. */
  #runs(from: string, topics: Topics): string {
    const { outbox } = this.#schema
    return `with recursive keys as (
  (select group_key, id from ${outbox} where ${from} order by group_key, id limit 1)
  union all
  select n.group_key, n.id from keys k cross join lateral (
    select group_key, id from ${outbox} where group_key > k.group_key order by group_key, id limit 1) n),
heads as (select group_key, id from keys limit ${KEYS_MAX}),
locked as (
  select o.id, o.group_key from ${outbox} o join heads h on h.id = o.id where ${FREE}${among(topics)} order by o.id limit $1 for update of o skip locked),
run as (
  select r.id, r.size, bool_and(r.free) over (partition by l.id order by r.id) as whole
  from locked l cross join lateral (
    select o.id, ${SIZE} as size, ${FREE} as free from ${outbox} o where o.group_key = l.group_key and o.id >= l.id
    order by o.id limit greatest(1, $1 / (select count(*) from locked))) r),
claimable as (select id, size from run where whole),
leased as (${this.#lease('claimable')})
select leased.*, last.key as last_key from (select max(group_key) as key from heads) last left join leased on true`
  }

  #lease(source: string): string {
    return `update ${this.#schema.outbox} o set lease_until = clock_timestamp() + ${this.#leaseMs} * interval '1 ms'
from (select id from (select id, sum(size) over (order by id) - size as before from ${source}) s where before < ${BATCH_BYTES}) chosen
where o.id = chosen.id and (select count(set_config) from (${SYNCHRONOUS_COMMIT}) s) >= 0 returning ${RETURNED}`
  }

  /** @throws when the database does not answer: the rows are still there, and are sent again under their dedup keys */
  async delete(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    await this.#pool.query(`delete from ${this.#schema.outbox} where id = any($1::bigint[])`, [ids])
  }

  /** @param failure counts as an attempt of these rows and is kept; undefined when it was none of theirs */
  async postpone(ids: readonly string[], delayMs: number, failure?: string): Promise<void> {
    if (ids.length === 0) return
    const counted = `, attempts = least(attempts + 1, 32767), history = (history || ${entry('$3')})[greatest(1, coalesce(cardinality(history), 0) - ${HISTORY_MAX - 2}):]`
    await this.#pool.query(
      `update ${this.#schema.outbox} set lease_until = clock_timestamp() + $2 * interval '1 ms'${failure === undefined ? '' : counted}
where id = any($1::bigint[])`,
      failure === undefined ? [ids, delayMs] : [ids, delayMs, clean(failure)],
    )
  }

  /** Moves a row to the dead table, whole and with its history: out of the way of its key, where an operator finds it. */
  async bury(id: string, reason: string): Promise<void> {
    const { outbox, outboxDead } = this.#schema
    await this.#pool.query(
      `with gone as (delete from ${outbox} where id = $1 returning *)
insert into ${outboxDead} (id, tx_id, n, topic, group_key, deliver_at, headers, body, attempts, reason, history)
select id, tx_id, n, topic, group_key, deliver_at, headers, body, least(attempts + 1, 32767), $2, history || ${entry('$2')} from gone`,
      [id, clean(reason)],
    )
  }

  /** Rows in the table, 100,000 at most unless `rowsMax` says more, and the bytes of its files with all indexes. */
  async measure(rowsMax = ROWS_COUNTED_MAX): Promise<{ rows: number; bytes: number }> {
    const { outbox } = this.#schema
    const { rows } = await this.#pool.query<{ count: string; bytes: string }>(
      `select count(*), pg_total_relation_size('${outbox}') as bytes from (select from ${outbox} limit $1) s`,
      [rowsMax],
    )
    return { rows: Number(rows[0]?.count ?? 0), bytes: Number(rows[0]?.bytes ?? 0) }
  }

  /**
   * Gives the disk back after an outage, if the table is empty: VACUUM shrinks no index, and nothing as long as an old
   * snapshot is open. Whoever writes or holds the table wins: the lock is waited for 100 ms at most.
   * @returns false when somebody did, or the role may not
   */
  async truncateEmpty(): Promise<boolean> {
    const { outbox } = this.#schema
    const client = await this.#pool.connect()
    try {
      await client.query(`begin isolation level read committed; set local lock_timeout='100ms'`)
      await client.query(`lock table ${outbox} in access exclusive mode`)
      const { rows } = await client.query<{ yes: boolean }>(`select exists (select from ${outbox}) as yes`)
      if (rows[0]?.yes !== true) await client.query(`truncate ${outbox}`)
      await client.query('commit')
      return rows[0]?.yes !== true
    } catch (error) {
      await client.query('rollback')
      if (['55P03', '42501'].includes(sqlState(error))) return false
      throw error
    } finally {
      client.release()
    }
  }
}

const ignore = (): void => undefined
const ALL: Topics = { except: [] }

function among(topics: Topics): string {
  const [names, test] = 'only' in topics ? [topics.only, 'in'] : [topics.except, 'not in']
  return names.length === 0 ? '' : ` and o.topic ${test} (${names.map(literal).join(',')})`
}
const entry = (text: string): string =>
  `(to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || ' ' || ${text}::text)`
const clean = (text: string): string => text.replaceAll('\0', '').slice(0, 500)

function byId(rows: OutboxRow[]): OutboxRow[] {
  return rows.toSorted((a, b) => Number(a.id) - Number(b.id))
}
