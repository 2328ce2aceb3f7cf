import type { ClientBase, Pool } from 'pg'
import { CheckAnswers } from './check-back/check-answers.ts'
import { Resolver } from './check-back/resolver.ts'
import { TimelineWatch } from './check-back/timeline-watch.ts'
import type { Database, TransactionOf } from './database/database.ts'
import { checkDatabase, ownPool } from './database/database.ts'
import type { Clock, Logger } from './foundation.ts'
import { systemClock } from './foundation.ts'
import type { IdBatches } from './id-batches.ts'
import { databaseError, OutboxError, sqlState } from './outbox-error.ts'
import type { OutboxOptions, OutboxStats, TransactionOptions } from './outbox-options.ts'
import { CircuitBreakers } from './relay/circuit-breakers.ts'
import { Relay } from './relay/relay.ts'
import { RowCap } from './relay/row-cap.ts'
import type { MigrateOptions } from './schema/migrate.ts'
import { migrateDatabase } from './schema/migrate.ts'
import type { Settings } from './schema/probe.ts'
import { probe } from './schema/probe.ts'
import { Schema } from './schema/schema.ts'
import { ClientHalfSender } from './settlement/client-half-sender.ts'
import type { HalfSender } from './settlement/half-sender.ts'
import { Settler } from './settlement/settler.ts'
import { silentLogger } from './silent-logger.ts'
import { markerCleaner } from './sweeper/marker-cleaner.ts'
import { Sweeper } from './sweeper/sweeper.ts'
import type { Messages } from './transaction/scope.ts'
import { TransactionRunner } from './transaction/transaction-runner.ts'

interface Parts<D extends Database> {
  runner: TransactionRunner<D>
  pool: Pool
  answers: CheckAnswers
  cleaner: IdBatches
  settler: Settler
  relay: Relay
  sweeper: Sweeper
  timeline: TimelineWatch
  domainId: string
}

/** How long relays of other processes leave a fallback row to the process that wrote it. */
const ROW_LEASE_MS = 2_000

/**
 * Messages of a Postgres transaction: delivered if and only if it commits, whoever dies and whenever. The protocol is
 * marker row first, half message second, check-back by a committed upsert; see README.md.
 */
export class Outbox<D extends Database = Database> {
  readonly #options: OutboxOptions<D>
  readonly #schema: Schema
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #sender: HalfSender
  readonly #breakers: CircuitBreakers
  readonly #transactions = new Set<Promise<unknown>>()
  readonly #counts = { anomalies: 0 }
  #parts: Parts<D> | undefined
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined

  /** Connects to nobody yet. @throws {TandemError} OPTION_INVALID, GROUP_NAME_INVALID */
  constructor(options: OutboxOptions<D>) {
    checkDatabase(options.database)
    this.#options = options
    this.#schema = new Schema(options.schema ?? 'tandem')
    this.#clock = options.clock ?? systemClock
    this.#logger = options.logger ?? silentLogger
    const sender = options.producer ?? new ClientHalfSender({ ...options, logger: this.#logger })
    this.#sender = sender
    this.#breakers = new CircuitBreakers({ clock: this.#clock, brokersOf: (topic) => sender.brokersOf?.(topic) ?? [] })
  }

  /**
   * Creates or updates the tables. Idempotent, safe to run from several processes at once. Needs CREATE on the database
   * the first time only.
   * @throws {OutboxError} DATABASE_UNAVAILABLE, NO_PERMISSION
   */
  async migrate(options: MigrateOptions = {}): Promise<void> {
    await migrateDatabase(this.#options.database, this.#schema, options)
  }

  /**
   * Starts check-back, relay and sweeper of this process. Succeeds while the broker is away.
   * @throws {OutboxError} DATABASE_UNAVAILABLE, SCHEMA_MISSING, NO_PERMISSION, DOMAIN_MISMATCH
   */
  start(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(new OutboxError('CLOSED', 'this outbox is closed'))
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined
      throw error
    })
    return this.#starting
  }

  async #start(): Promise<void> {
    const options = this.#options
    const pool = await ownPool(options.database, 3).catch((error: unknown) => {
      throw databaseError(error, 'connection settings')
    })
    try {
      const found = await probe(pool, this.#schema, {
        idleInTransactionTimeoutMs: options.idleInTransactionTimeoutMs ?? 10_000,
        transactionTimeoutMs: options.transactionTimeoutMs ?? 240_000,
      })
      if (found.warning !== undefined) this.#logger.warn(found.warning)
      const parts = this.#assemble(pool, found.domainId, found.settings)
      const { answers } = parts
      await this.#sender.start((message) => answers.checkMessage(message), answers)
      parts.relay.start()
      parts.sweeper.start()
      parts.timeline.start()
      this.#parts = parts
    } catch (error) {
      await pool.end()
      throw error
    }
  }

  #assemble(pool: Pool, domainId: string, settings: Settings): Parts<D> {
    const { database, mode, halfTimeoutMs, selfCheckTimeoutMs, ...options } = this.#options
    const onAnomaly = (text: string): void => this.#anomaly(text)
    const shared = {
      ...{ pool, schema: this.#schema, clock: this.#clock, logger: this.#logger },
      ...{ sender: this.#sender, breakers: this.#breakers, domainId, onAnomaly },
    }
    const resolver = new Resolver(shared)
    const cleaner = markerCleaner(shared)
    const settler = new Settler(shared)
    const cap = options.outboxRowsMax === undefined ? undefined : new RowCap(options.outboxRowsMax)
    const { relayIntervalMs = 1_000, attemptsMax = 20 } = options
    const relay = new Relay({ ...shared, intervalMs: relayIntervalMs, attemptsMax, cap })
    const { markerAgeMs = 600_000, sweepIntervalMs = 60_000 } = options
    const sweeper = new Sweeper({ ...shared, intervalMs: sweepIntervalMs, markerAgeMs })
    const runner = new TransactionRunner({
      ...{ database, resolver, cleaner, settler, relay, onAnomaly },
      mode: mode ?? 'eager',
      selfCheckTimeoutMs: selfCheckTimeoutMs ?? 30_000,
      context: { ...shared, settings, halfTimeoutMs: halfTimeoutMs ?? 300, rowLeaseMs: ROW_LEASE_MS, cap },
    })
    const timeline = new TimelineWatch(shared)
    const answers = new CheckAnswers({ resolver, domainId, isRunning: (id) => runner.running.has(id) })
    return { pool, answers, cleaner, settler, relay, sweeper, timeline, runner, domainId }
  }

  #anomaly(text: string): void {
    this.#counts.anomalies++
    this.#logger.error(text)
  }

  /**
   * Runs `run` in a transaction of its own and commits. Resolved: committed, and the messages will arrive. Rejected: rolled
   * back, and they never will.
   * @param run gets the driver's transaction and `messages`; do not commit or roll back yourself
   * @returns what `run` returned
   * @throws what `run` threw, or the database at COMMIT; {OutboxError} TRANSACTION_ROLLED_BACK when a failed statement was
   * swallowed and COMMIT became a rollback; TRANSACTION_IN_DOUBT (only this one leaves it open) when the database could not be
   * asked for `selfCheckTimeoutMs`; DATABASE_UNAVAILABLE; NOT_STARTED; CLOSED
   */
  async transaction<T>(
    run: (trx: TransactionOf<D>, messages: Messages) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    const parts = this.#requireStarted()
    for (let retriesLeft = options.retries ?? 0; ; retriesLeft--) {
      const attempt = parts.runner.run(run, options)
      this.#transactions.add(attempt)
      try {
        return await attempt
      } catch (error) {
        const again = ['40001', '40P01'].includes(sqlState(error))
        if (!again || retriesLeft <= 0) throw error
      } finally {
        this.#transactions.delete(attempt)
      }
    }
  }

  /**
   * Messages of a transaction that you have begun: a knex transaction, or a connected client of pg after BEGIN. Commit and roll
   * back as ever; the outbox sees it on the connection. COMMIT waits for the messages and rejects, as {@link transaction}
   * does, unless the transaction is certainly committed. Nothing is sent before the first message.
   * @param trx the same transaction gives the same messages
   * @throws {OutboxError} OPTION_INVALID when the connection under `trx` is not to be had; NOT_STARTED; CLOSED
   */
  join(trx: TransactionOf<D> | ClientBase): Messages {
    return this.#requireStarted().runner.join(trx as object)
  }

  stats(): OutboxStats {
    const { settler, cleaner, relay, runner, timeline, answers } = this.#parts ?? {}
    const running = runner?.running.size ?? 0
    return {
      ...this.#counts,
      checks: answers?.checks ?? 0,
      ...(runner?.counts ?? { committed: 0, rolledBack: 0, fallbacks: 0, inDoubt: 0 }),
      pendingHalves: settler?.pending ?? 0,
      markers: running + (cleaner?.pending ?? 0),
      outboxRows: relay?.rows ?? 0,
      running,
      timelineChanges: timeline?.changes ?? 0,
      circuitOpen: this.#breakers.isOpen,
      circuitsOpen: this.#breakers.open,
    }
  }

  /** One sweep now. @returns how many markers and tombstones were deleted. @throws when a broker could not be asked */
  sweep(): Promise<number> {
    return this.#requireStarted().sweeper.sweep()
  }

  /**
   * Waits for running transactions, tells the broker what is decided, deletes their markers. What `drainTimeoutMs` cuts
   * off, check-back and sweeper of another process finish. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#starting?.catch(() => {})
    const parts = this.#parts
    if (parts === undefined) return
    let timer: { cancel(): void } | undefined
    const cutOff = new Promise<void>((resolve) => {
      timer = this.#clock.setTimer(this.#options.drainTimeoutMs ?? 10_000, resolve)
    })
    await Promise.race([this.#drain(parts), cutOff])
    timer?.cancel()
    await this.#sender.close()
    // Not awaited for ever: a backend that waits for a standby would hold it.
    await Promise.race([parts.pool.end(), new Promise<void>((resolve) => this.#clock.setTimer(1_000, resolve))])
  }

  async #drain(parts: Parts<D>): Promise<void> {
    await Promise.allSettled([...this.#transactions, ...parts.runner.joined])
    await Promise.all([parts.relay.close(), parts.sweeper.close(), parts.timeline.close()])
    await parts.settler.close()
    await parts.cleaner.flush()
  }

  #requireStarted(): Parts<D> {
    if (this.#closing !== undefined) throw new OutboxError('CLOSED', 'this outbox is closed')
    if (this.#parts === undefined) throw new OutboxError('NOT_STARTED', 'call start() first')
    return this.#parts
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
