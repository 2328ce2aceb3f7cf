import type { Clock, Logger, Timer } from './foundation.ts'
import { messageOf } from './outbox-error.ts'
import type { OutboxTable } from './outbox-table.ts'

const FLUSH_MS = 200
const ROWS_MAX = 1_000

/** Deletes rows whose messages the broker has, many at a time. What it loses is sent again under the same dedup key. */
export class RowRemover {
  readonly #table: OutboxTable
  readonly #clock: Clock
  readonly #logger: Logger
  #ids: string[] = []
  #timer: Timer | undefined
  #deleting: Promise<void> = Promise.resolve()

  constructor(options: { table: OutboxTable; clock: Clock; logger: Logger }) {
    this.#table = options.table
    this.#clock = options.clock
    this.#logger = options.logger
  }

  add(ids: readonly string[]): void {
    for (const id of ids) this.#ids.push(id)
    if (this.#ids.length >= ROWS_MAX) void this.flush()
    else if (this.#ids.length > 0) this.#timer ??= this.#clock.setTimer(FLUSH_MS, () => void this.flush())
  }

  /** Never rejects. */
  flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    const ids = this.#ids
    this.#ids = []
    if (ids.length > 0) this.#deleting = this.#deleting.then(() => this.#delete(ids))
    return this.#deleting
  }

  async #delete(ids: string[]): Promise<void> {
    await this.#table.delete(ids).catch((error: unknown) => {
      this.#logger.warn(`${ids.length} sent rows stay in the outbox and are sent again: ${messageOf(error)}`)
    })
  }
}
