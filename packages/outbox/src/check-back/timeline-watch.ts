import type { Pool } from 'pg'
import type { Clock, Logger } from '../foundation.ts'
import { sleep } from '../foundation.ts'
import { messageOf } from '../outbox-error.ts'
import { TIMELINE } from '../schema/domain.ts'

export interface TimelineWatchOptions {
  pool: Pick<Pool, 'query'>
  clock: Clock
  logger: Logger
  /** Pause between looks, ms. Default 1,000. */
  intervalMs?: number
  /** Commits acknowledged before may be gone, and messages delivered for them stay. */
  onAnomaly(text: string): void
}

interface Look {
  /** First eight digits of the name of the WAL file in use. */
  timeline: string
  /** `synchronous_standby_names` */
  standbys: string
}

const LOOK = `select ${TIMELINE} as timeline,
  current_setting('synchronous_standby_names') as standbys`

/**
 * Notices that another Postgres has taken over (a promoted standby begins a new timeline). Commits that waited for a synchronous
 * standby are there; without one the newest may be gone, which nobody can undo and nobody shall overlook.
 */
export class TimelineWatch {
  readonly #options: TimelineWatchOptions
  readonly #stop = new AbortController()
  #last: Look | undefined
  #loop: Promise<void> = Promise.resolve()

  constructor(options: TimelineWatchOptions) {
    this.#options = options
  }

  /** Changes seen since `start()`. */
  changes = 0

  start(): void {
    this.#loop = this.#run()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, logger, intervalMs = 1_000 } = this.#options
    while (!this.#stop.signal.aborted) {
      // A server that is away or in recovery: the next look tells.
      await this.look().catch((error: unknown) => logger.debug(`timeline: ${messageOf(error)}`))
      await sleep(clock, intervalMs, this.#stop.signal).catch(() => {})
    }
  }

  /** One look now. @throws what the database says */
  async look(): Promise<void> {
    const { rows } = await this.#options.pool.query<Look>(LOOK)
    const now = rows[0]
    const before = this.#last
    this.#last = now ?? before
    if (now === undefined || before === undefined || now.timeline === before.timeline) return
    this.changes++
    const text = `Postgres changed from timeline ${before.timeline} to ${now.timeline}`
    if (before.standbys !== '') {
      this.#options.logger.warn(`${text}; commits waited for "${before.standbys}", none is lost`)
      return
    }
    this.#options.onAnomaly(
      `${text} without a synchronous standby: commits acknowledged before may be gone, messages delivered for them stay`,
    )
  }
}
