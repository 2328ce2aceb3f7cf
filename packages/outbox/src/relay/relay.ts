import type { Pool } from 'pg'
import type { Clock, Logger } from '../foundation.ts'
import { sleep } from '../foundation.ts'
import type { IdBatches } from '../id-batches.ts'
import { forwardOf } from '../message.ts'
import { messageOf } from '../outbox-error.ts'
import type { Schema } from '../schema/schema.ts'
import type { HalfSender } from '../settlement/half-sender.ts'
import { isOfMessage, isRefusal } from './circuit-breaker.ts'
import type { CircuitBreakers } from './circuit-breakers.ts'
import type { OutboxRow } from './outbox-rows.ts'
import { OutboxTable, type Topics } from './outbox-table.ts'
import type { RowCap } from './row-cap.ts'
import { rowRemover } from './row-remover.ts'

export interface RelayOptions {
  pool: Pool
  schema: Schema
  sender: HalfSender
  breakers: CircuitBreakers
  clock: Clock
  logger: Logger
  /** Pause after a look that found nothing. */
  intervalMs: number
  /** A row that the broker has answered with an error so often goes to the dead table. */
  attemptsMax: number
  cap?: RowCap | undefined
  /** A message no retry will get through; it was moved to the dead table. */
  onAnomaly(text: string): void
}

const ROWS_PER_BATCH = 1_000
/** Claimed at once by one relay. */
const BATCHES = 2
const LEASE_MS = 30_000
/** A run is given up this long after its claim: its lease must not end while messages of it are still sent. */
const SEND_MS = LEASE_MS / 2
/** Committed messages on their way straight from memory; what is more waits in the table. */
const DIRECT_BYTES_MAX = 8 * 1_048_576
const AWAY_MS = 1_000
const BACKOFF_FIRST_MS = 500
const BACKOFF_LAST_MS = 60_000
/** Named in a claim as those of brokers that are away. */
const TOPICS_MAX = 5_000
const MEASURE_MS = 1_000
/** An empty table is given back to the disk when its files are larger, and again only after a minute. */
const TRUNCATE_BYTES = 786_432
const TRUNCATE_MS = 60_000

interface Rows {
  free: readonly OutboxRow[]
  /** Each in the order of its key. */
  runs: readonly OutboxRow[][]
}

interface Claim extends Rows {
  /** One row to each broker that is away and may be back. */
  probes: readonly Rows[]
  /** Monotonic time after which nothing more of a run is sent. */
  until: number
}

interface Failure {
  row: OutboxRow
  reason: unknown
}

/**
 * Forwards what transactions left in the outbox table while the broker was away. Several relays share the table by
 * leases; a group key has one relay at a time, which sends the next of its messages after the broker has the one before. A
 * row is deleted after the broker has its message; a crash in between repeats it under the same dedup key.
 */
export class Relay {
  readonly #options: RelayOptions
  readonly #table: OutboxTable
  readonly #remover: IdBatches
  readonly #stop = new AbortController()
  readonly #direct = new Set<Promise<unknown>>()
  #directBytes = 0
  #wake: (() => void) | undefined
  #woken = false
  #loop: Promise<void> = Promise.resolve()
  #measuredAt = Number.NEGATIVE_INFINITY
  #truncatedAt = Number.NEGATIVE_INFINITY

  constructor(options: RelayOptions) {
    this.#options = options
    this.#table = new OutboxTable(options.pool, options.schema, LEASE_MS)
    this.#remover = rowRemover({ ...options, table: this.#table })
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
    const sendable = rows.filter(({ topic }) => !this.#options.breakers.isOpenFor(topic))
    const direct = sendable.filter((row) => row.group_key === null)
    const bytes = direct.reduce((sum, row) => sum + row.body.length, 0)
    if (direct.length < sendable.length) this.wake()
    // The loop finds them when their lease is over.
    if (direct.length === 0 || this.#directBytes + bytes > DIRECT_BYTES_MAX) return
    this.#directBytes += bytes
    const work = this.#publish({ free: direct, runs: [] })
      .catch((error: unknown) => this.#options.logger.warn(`rows stay in the outbox for now: ${messageOf(error)}`))
      .finally(() => {
        this.#directBytes -= bytes
        this.#direct.delete(work)
      })
    this.#direct.add(work)
  }

  /** Finishes what is being published. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#wake?.()
    await Promise.all([this.#loop, ...this.#direct])
    await this.#remover.flush()
  }

  /** The next claim is under way while a batch is sent and deleted. */
  async #run(): Promise<void> {
    const { logger } = this.#options
    const batches = new Set<Promise<number>>()
    const failed = (error: unknown): number => {
      logger.warn(`relay: ${messageOf(error)}`)
      return 0
    }
    while (!this.#stop.signal.aborted) {
      const claim = await this.#claim().catch(failed)
      if (typeof claim === 'object') {
        const batch = this.#forward(claim).catch(failed)
        batches.add(batch)
        void batch.then(() => batches.delete(batch))
      }
      const hasRoom = typeof claim === 'object' && batches.size < BATCHES
      if (hasRoom && claim.free.length + claim.runs.length > 0) continue
      const moved = batches.size > 0 ? await Promise.race(batches) : 0
      if (moved === 0) await this.#pause()
    }
    await Promise.all(batches)
  }

  async #pause(): Promise<void> {
    if (this.#woken) {
      this.#woken = false
      return
    }
    const early = new AbortController()
    this.#wake = () => early.abort()
    if (this.#stop.signal.aborted) early.abort()
    await sleep(this.#options.clock, this.#options.intervalMs, early.signal).catch(() => {})
    this.#wake = undefined
    this.#woken = false
  }

  async #claim(): Promise<Claim | 0> {
    const { breakers, clock } = this.#options
    await this.#measure()
    const until = clock.monotonic() + SEND_MS
    const away = breakers.isOpen ? breakers.openTopics() : []
    const except = away.flatMap(({ topics }) => topics).slice(0, TOPICS_MAX)
    const { free, runs } = await this.#claimRows(ROWS_PER_BATCH, { except })
    const probes: Rows[] = []
    for (const { topics, breaker } of away) {
      // A probe nobody has a row for would keep a transaction from being it.
      if (this.rows > 0 && breaker.allows()) probes.push(await this.#claimRows(1, { only: topics }))
    }
    const found = [{ free, runs }, ...probes].some((rows) => rows.free.length + rows.runs.length > 0)
    return found ? { free, runs, probes, until } : 0
  }

  async #claimRows(rowsMax: number, topics: Topics): Promise<Rows> {
    const free = await this.#table.claimFree(rowsMax, topics)
    const keyed = rowsMax > 1 || free.length === 0 ? await this.#table.claimRuns(rowsMax, topics) : []
    return { free, runs: groups(keyed, (row) => row.group_key) }
  }

  async #forward({ free, runs, probes, until }: Claim): Promise<number> {
    const work = probes.map((rows) => this.#publish(rows, until, true))
    const settled = await Promise.all([this.#publish({ free, runs }, until), ...work])
    // What was sent is deleted before another claim could find its lease over.
    await this.#remover.flush()
    return settled.reduce((sum, count) => sum + count, 0)
  }

  /** @returns how many rows are settled */
  async #publish({ free, runs }: Rows, until = Infinity, isProbe = false): Promise<number> {
    const { breakers, clock } = this.#options
    const done: string[] = []
    const dead: Failure[] = []
    const later: Failure[] = []
    const unsent: string[] = []
    const held: string[] = []
    // The claim has passed by the topics that were known to be away.
    const mustWait = ({ topic }: OutboxRow): boolean => !isProbe && breakers.holds(topic)
    const send = async (row: OutboxRow): Promise<boolean> => {
      const failure = await this.#send(row)
      if (failure === undefined) done.push(row.id)
      else if (isRefusal(failure.reason) || this.#isWornOut(failure)) dead.push(failure)
      else later.push(failure)
      return failure === undefined || dead.at(-1) === failure
    }
    const sendInOrder = async (run: readonly OutboxRow[]): Promise<void> => {
      for (const [at, row] of run.entries()) {
        const isSent = clock.monotonic() < until && !mustWait(row)
        if (isSent && (await send(row))) continue
        for (const rest of run.slice(isSent ? at + 1 : at)) unsent.push(rest.id)
        return
      }
    }
    const sendOrHold = (row: OutboxRow): unknown => (mustWait(row) ? held.push(row.id) : send(row))
    await Promise.all([...free.map(sendOrHold), ...runs.map(sendInOrder)])
    for (const id of done) this.#remover.add(id)
    for (const { row, reason } of dead) await this.#bury(row, messageOf(reason))
    await this.#postpone(later)
    await this.#table.postpone(unsent, 0)
    await this.#table.postpone(held, AWAY_MS)
    return done.length + dead.length
  }

  async #send(row: OutboxRow): Promise<Failure | undefined> {
    const { sender, breakers } = this.#options
    try {
      await sender.send(forwardOf(row, row.tx_id, row.n))
      breakers.succeeded(row.topic)
      return undefined
    } catch (reason) {
      if (!isRefusal(reason)) breakers.report(row.topic, reason)
      return { row, reason }
    }
  }

  #isWornOut({ row, reason }: Failure): boolean {
    return isOfMessage(reason) && row.attempts + 1 >= this.#options.attemptsMax
  }

  async #bury(row: OutboxRow, reason: string): Promise<void> {
    const { schema, onAnomaly } = this.#options
    await this.#table.bury(row.id, reason)
    onAnomaly(`message ${row.tx_id}:${row.n} to ${row.topic} moved to ${schema.outboxDead}: ${reason}`)
  }

  async #postpone(failures: readonly Failure[]): Promise<void> {
    const away = failures.filter(({ reason }) => !isOfMessage(reason))
    await this.#table.postpone(
      away.map(({ row }) => row.id),
      AWAY_MS,
    )
    const own = failures.filter(({ reason }) => isOfMessage(reason))
    for (const alike of groups(own, ({ row, reason }) => `${row.attempts} ${messageOf(reason)}`)) {
      const [{ row, reason }] = alike
      const delayMs = Math.min(BACKOFF_FIRST_MS * 2 ** row.attempts, BACKOFF_LAST_MS)
      await this.#table.postpone(
        alike.map((failure) => failure.row.id),
        delayMs,
        messageOf(reason),
      )
    }
  }

  async #measure(): Promise<void> {
    const { clock, cap } = this.#options
    const now = clock.monotonic()
    if (now - this.#measuredAt < MEASURE_MS) return
    this.#measuredAt = now
    const { rows, bytes } = await this.#table.measure(cap?.rowsCounted)
    this.rows = rows
    cap?.counted(rows)
    if (rows > 0 || bytes < TRUNCATE_BYTES || now - this.#truncatedAt < TRUNCATE_MS) return
    this.#truncatedAt = now
    await this.#table.truncateEmpty()
  }
}

/** In the order of the first of each. */
function groups<T>(all: readonly T[], keyOf: (one: T) => unknown): [T, ...T[]][] {
  const found = new Map<unknown, [T, ...T[]]>()
  for (const one of all) {
    const group = found.get(keyOf(one))
    if (group === undefined) found.set(keyOf(one), [one])
    else group.push(one)
  }
  return [...found.values()]
}
