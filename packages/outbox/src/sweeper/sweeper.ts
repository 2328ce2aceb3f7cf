import type { Pool } from 'pg'
import { failpoints } from '../failpoint.ts'
import type { Clock, Logger } from '../foundation.ts'
import { sleep } from '../foundation.ts'
import { messageOf } from '../outbox-error.ts'
import type { Schema } from '../schema/schema.ts'
import type { HalfSender } from '../settlement/half-sender.ts'

export interface SweeperOptions {
  pool: Pool
  schema: Schema
  sender: HalfSender
  domainId: string
  clock: Clock
  logger: Logger
  /** Pause between sweeps, default 60,000. */
  intervalMs?: number
  /** Markers younger than this are left alone, default 600,000; twice the limit of the self check. */
  markerAgeMs?: number
  /** Tombstones are kept so long for whoever looks into an incident, default 24 h. */
  tombstoneAgeMs?: number
  /** A broker gave up a half of a committed transaction: its message may never arrive. */
  onAnomaly(text: string): void
}

const KEYS_PER_BATCH = 1_000
/** Against a broker that cannot be asked (Apache RocketMQ): longer than it keeps any half message. */
const UNASKED_AGE_MS = 3 * 24 * 3_600_000
/** Transactions reported as given up are remembered, so that each is reported once. */
const REPORTED_MAX = 100_000

/**
 * Deletes markers that dead processes left behind: PICK, ASK every broker, DELETE the rest. A committed marker implies
 * that all its halves had been acknowledged before; a broker asked afterwards that has none pending has settled them. Age
 * alone proves nothing.
 */
export class Sweeper {
  readonly #options: SweeperOptions
  readonly #markerAgeMs: number
  readonly #tombstoneAgeMs: number
  readonly #stop = new AbortController()
  readonly #reported = new Set<string>()
  #loop: Promise<void> = Promise.resolve()

  constructor(options: SweeperOptions) {
    this.#options = options
    this.#markerAgeMs = options.markerAgeMs ?? 600_000
    this.#tombstoneAgeMs = options.tombstoneAgeMs ?? 24 * 3_600_000
  }

  start(): void {
    this.#loop = this.#run()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, logger, intervalMs = 60_000 } = this.#options
    for (;;) {
      try {
        // Processes started together need not sweep together.
        await sleep(clock, intervalMs * (0.75 + clock.random() / 2), this.#stop.signal)
      } catch {
        return
      }
      await this.sweep().catch((error: unknown) => logger.warn(`sweep failed, nothing is lost: ${messageOf(error)}`))
    }
  }

  /** One sweep. @returns how many markers and tombstones were deleted */
  async sweep(): Promise<number> {
    let deleted = 0
    let after = '00000000-0000-0000-0000-000000000000'
    for (;;) {
      const keys = await this.#pick(after, this.#markerAgeMs)
      if (keys.length === 0) break
      after = keys.at(-1) ?? after
      failpoints?.hit('G0')
      const settled = await this.#settled(keys, after)
      failpoints?.hit('G1')
      deleted += await this.#delete(settled)
    }
    return deleted + (await this.#deleteTombstones())
  }

  async #pick(after: string, ageMs: number): Promise<string[]> {
    const { rows } = await this.#options.pool.query<{ tx_id: string }>(
      `select tx_id from ${this.#options.schema.tx} where tx_id > $1 and state <> 'R'
       and at < clock_timestamp() - $2 * interval '1 ms' order by tx_id limit ${KEYS_PER_BATCH}`,
      [after, ageMs],
    )
    return rows.map((row) => row.tx_id)
  }

  /** Asked after the pick, never before: a half settled before the question cannot be pending later. */
  async #settled(keys: string[], last: string): Promise<string[]> {
    try {
      const pending = new Set(await this.#options.sender.pendingOf(keys))
      return keys.filter((key) => !pending.has(key))
    } catch (error) {
      if ((error as { code?: string }).code !== 'REQUEST_NOT_SUPPORTED') throw error
      await this.#reportGivenUp(keys).catch((failure: unknown) =>
        this.#options.logger.warn(`nobody looked for halves that were given up: ${messageOf(failure)}`),
      )
      const old = new Set(await this.#pick('00000000-0000-0000-0000-000000000000', UNASKED_AGE_MS))
      return keys.filter((key) => old.has(key) && key <= last)
    }
  }

  /** A committed marker this old, and the broker asks no more: nobody is left who would end its half. */
  async #reportGivenUp(keys: string[]): Promise<void> {
    const { sender, domainId, pool, schema, onAnomaly } = this.#options
    const givenUp = (await sender.givenUpOf?.(keys, domainId)) ?? []
    const fresh = givenUp.filter((key) => !this.#reported.has(key))
    if (fresh.length === 0) return
    // What went through the outbox table ('F') has arrived from there.
    const { rows } = await pool.query<{ tx_id: string }>(
      `select tx_id from ${schema.tx} where tx_id = any($1::uuid[]) and state = 'C'`,
      [fresh],
    )
    if (this.#reported.size > REPORTED_MAX) this.#reported.clear()
    for (const { tx_id: id } of rows) {
      this.#reported.add(id)
      onAnomaly(
        `the broker gave up a half of the committed transaction ${id}: unless its END came later, its message has not arrived; it is in TRANS_CHECK_MAX_TIME_TOPIC, DEDUP_KEY ${id}:<n>`,
      )
    }
  }

  async #delete(keys: string[]): Promise<number> {
    if (keys.length === 0) return 0
    const { schema, pool } = this.#options
    const deleting = pool.query(`delete from ${schema.tx} where tx_id = any($1::uuid[]) and state <> 'R'`, [keys])
    failpoints?.hit('G2')
    const result = await deleting
    return result.rowCount ?? 0
  }

  async #deleteTombstones(): Promise<number> {
    const { schema, pool } = this.#options
    const result = await pool.query(
      `delete from ${schema.tx} where tx_id in (select tx_id from ${schema.tx} where state = 'R'
       and at < clock_timestamp() - $1 * interval '1 ms' limit ${10 * KEYS_PER_BATCH})`,
      [this.#tombstoneAgeMs],
    )
    return result.rowCount ?? 0
  }
}
