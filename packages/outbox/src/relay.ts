import type { Pool } from 'pg'
import type { CircuitBreaker } from './circuit-breaker.ts'
import { isRefusal } from './circuit-breaker.ts'
import type { Clock, Logger } from './foundation.ts'
import { sleep } from './foundation.ts'
import type { HalfSender } from './half-sender.ts'
import { forwardOf } from './message.ts'
import { messageOf } from './outbox-error.ts'
import type { OutboxRow } from './outbox-rows.ts'
import type { Schema } from './schema.ts'

export interface RelayOptions {
  pool: Pool
  schema: Schema
  sender: HalfSender
  breaker: CircuitBreaker
  clock: Clock
  logger: Logger
  /** Pause after a look that found nothing. */
  intervalMs: number
  /** A message no retry will get through; it was moved to the dead table. */
  onAnomaly(text: string): void
}

const ROWS_PER_BATCH = 1_000
const BATCH_BYTES = 8 * 1_048_576
const LEASE_MS = 30_000
const BACKOFF_FIRST_MS = 500
const BACKOFF_LAST_MS = 60_000
const ROWS_COUNTED_MAX = 100_000

/**
 * Forwards what transactions left in the outbox table while the broker was away. Several relays share the table by leases; of
 * a group key only the first row is claimed, so nothing overtakes. A row is deleted after the broker has its message; a
 * crash in between repeats it under the same dedup key.
 */
export class Relay {
  readonly #options: RelayOptions
  readonly #intervalMs: number
  #stop = new AbortController()
  #wake: (() => void) | undefined
  #woken = false
  #loop: Promise<void> = Promise.resolve()
  #direct = new Set<Promise<unknown>>()

  constructor(options: RelayOptions) {
    this.#options = options
    this.#intervalMs = options.intervalMs
  }

  /** Rows in the table when it was last counted, 100,000 at most. */
  rows = 0

  start(): void {
    this.#loop = this.#run()
  }

  /** Looks now instead of at the next interval. */
  wake(): void {
    this.#woken = true
    this.#wake?.()
  }

  /** Publishes rows this process has just committed, from memory. What fails stays for the loop. */
  forward(rows: readonly OutboxRow[]): void {
    const direct = rows.filter((row) => row.group_key === null)
    if (direct.length < rows.length) this.wake()
    if (direct.length === 0) return
    const work = this.#publish(direct).catch((error: unknown) =>
      this.#options.logger.warn(`rows stay in the outbox for now: ${messageOf(error)}`),
    )
    this.#direct.add(work)
    void work.finally(() => this.#direct.delete(work))
  }

  /** Finishes what is being published. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#wake?.()
    await Promise.all([this.#loop, ...this.#direct])
  }

  async #run(): Promise<void> {
    const { logger } = this.#options
    while (!this.#stop.signal.aborted) {
      const moved = await this.#round().catch((error: unknown) => {
        logger.warn(`relay: ${messageOf(error)}`)
        return 0
      })
      if (moved === 0) await this.#pause()
    }
  }

  async #pause(): Promise<void> {
    if (this.#woken) {
      this.#woken = false
      return
    }
    const early = new AbortController()
    this.#wake = () => early.abort()
    if (this.#stop.signal.aborted) early.abort()
    await sleep(this.#options.clock, this.#intervalMs, early.signal).catch(() => {})
    this.#wake = undefined
    this.#woken = false
  }

  async #round(): Promise<number> {
    const { breaker } = this.#options
    if (breaker.isOpen && !breaker.allows()) return 0
    const rows = await this.#claim(breaker.isOpen ? 1 : ROWS_PER_BATCH)
    if (rows.length === 0) {
      await this.#count()
      return 0
    }
    return this.#publish(rows)
  }

  async #claim(rowsMax: number): Promise<OutboxRow[]> {
    const { schema, pool } = this.#options
    const { rows } = await pool.query<OutboxRow>(
      `with free as (
  select id, octet_length(body) as size from ${schema.outbox} o
  where (lease_until is null or lease_until < clock_timestamp())
    and (group_key is null
      or not exists (select from ${schema.outbox} e where e.group_key = o.group_key and e.id < o.id))
  order by id limit $1 for update skip locked),
chosen as (
  select id from (select id, sum(size) over (order by id) - size as before from free) s where before < ${BATCH_BYTES})
update ${schema.outbox} o
set lease_until = clock_timestamp() + ${LEASE_MS} * interval '1 ms', attempts = least(attempts + 1, 32767)
from chosen where o.id = chosen.id
returning o.id, tx_id, n, topic, group_key, headers, body, attempts`,
      [rowsMax],
    )
    return rows.toSorted((a, b) => Number(a.id) - Number(b.id))
  }

  /** @returns how many rows left the table */
  async #publish(rows: readonly OutboxRow[]): Promise<number> {
    const { sender, breaker } = this.#options
    const sent = await Promise.allSettled(rows.map(async (row) => sender.send(forwardOf(row, row.tx_id, row.n))))
    const done: OutboxRow[] = []
    const dead: { row: OutboxRow; reason: unknown }[] = []
    const later: OutboxRow[] = []
    for (const [index, row] of rows.entries()) {
      const result = sent[index]
      if (result?.status === 'fulfilled') done.push(row)
      else if (isRefusal(result?.reason)) dead.push({ row, reason: result?.reason })
      else {
        later.push(row)
        breaker.report(result?.reason)
      }
    }
    if (done.length > 0) breaker.succeeded()
    await this.#delete(done)
    for (const { row, reason } of dead) await this.#bury(row, messageOf(reason))
    await this.#postpone(later)
    return done.length + dead.length
  }

  async #delete(rows: readonly OutboxRow[]): Promise<void> {
    if (rows.length === 0) return
    const { schema, pool } = this.#options
    await pool.query(`delete from ${schema.outbox} where id = any($1::bigint[])`, [rows.map((row) => row.id)])
  }

  /** The broker will refuse it for ever: kept whole where an operator finds it, out of the way of its key. */
  async #bury(row: OutboxRow, reason: string): Promise<void> {
    const { schema, pool } = this.#options
    await pool.query(
      `with gone as (delete from ${schema.outbox} where id = $1 returning *)
insert into ${schema.outboxDead} (id, tx_id, n, topic, group_key, deliver_at, headers, body, attempts, reason)
select id, tx_id, n, topic, group_key, deliver_at, headers, body, attempts, $2 from gone`,
      [row.id, reason.replaceAll('\0', '')],
    )
    this.#options.onAnomaly(`message ${row.tx_id}:${row.n} to ${row.topic} moved to ${schema.outboxDead}: ${reason}`)
  }

  async #postpone(rows: readonly OutboxRow[]): Promise<void> {
    if (rows.length === 0) return
    const { schema, pool } = this.#options
    const attempts = Math.max(...rows.map((row) => row.attempts))
    const delayMs = Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(attempts, 10), BACKOFF_LAST_MS)
    await pool.query(
      `update ${schema.outbox} set lease_until = clock_timestamp() + $2 * interval '1 ms' where id = any($1::bigint[])`,
      [rows.map((row) => row.id), delayMs],
    )
  }

  async #count(): Promise<void> {
    const { schema, pool } = this.#options
    const { rows } = await pool.query<{ count: string }>(
      `select count(*) from (select from ${schema.outbox} limit ${ROWS_COUNTED_MAX}) s`,
    )
    this.rows = Number(rows[0]?.count ?? 0)
  }
}
