import type { Pool } from 'pg'
import type { Clock, Logger, Timer } from './foundation.ts'
import { failpoints } from './failpoint.ts'
import { messageOf } from './outbox-error.ts'
import type { Schema } from './schema.ts'

const FLUSH_MS = 200
const KEYS_MAX = 1_000

/** Deletes markers whose halves the broker has acknowledged as settled. What it loses, the sweeper finds. */
export class MarkerCleaner {
  readonly #pool: Pool
  readonly #schema: Schema
  readonly #clock: Clock
  readonly #logger: Logger
  #keys: string[] = []
  #timer: Timer | undefined
  #deleting: Promise<void> = Promise.resolve()
  #inFlight = 0

  constructor(options: { pool: Pool; schema: Schema; clock: Clock; logger: Logger }) {
    this.#pool = options.pool
    this.#schema = options.schema
    this.#clock = options.clock
    this.#logger = options.logger
  }

  /** Keys not deleted yet. */
  get pending(): number {
    return this.#keys.length + this.#inFlight
  }

  add(transactionId: string): void {
    this.#keys.push(transactionId)
    if (this.#keys.length >= KEYS_MAX) void this.flush()
    else this.#timer ??= this.#clock.setTimer(FLUSH_MS, () => void this.flush())
  }

  /** Never rejects. */
  flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    const keys = this.#keys
    this.#keys = []
    this.#inFlight += keys.length
    if (keys.length > 0) this.#deleting = this.#deleting.then(() => this.#delete(keys))
    return this.#deleting
  }

  async #delete(keys: string[]): Promise<void> {
    try {
      failpoints?.hit('P14')
      // A deletion lost in a crash costs one sweep, so it need not wait for the disk or a standby.
      const deleted = this.#pool.query(
        `begin; set local synchronous_commit=off; delete from ${this.#schema.tx} where tx_id = any('{${keys.join(',')}}'::uuid[]) and state <> 'R'; commit`,
      )
      failpoints?.hit('P15')
      await deleted
    } catch (error) {
      this.#logger.warn(`${keys.length} markers stay for the sweeper: ${messageOf(error)}`)
    } finally {
      this.#inFlight -= keys.length
    }
  }
}
