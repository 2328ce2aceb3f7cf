import type { ConnectionOptions } from '@tandemmq/client'
import type { Pool } from 'pg'
import { CircuitBreaker } from './circuit-breaker.ts'
import { ClientHalfSender } from './client-half-sender.ts'
import type { Database, IsolationLevel, Session, TransactionOf } from './database.ts'
import { checkDatabase, openSession, ownPool } from './database.ts'
import { failpoints } from './failpoint.ts'
import type { Clock, Logger } from './foundation.ts'
import { systemClock } from './foundation.ts'
import type { CheckAnswer, CheckedMessage, HalfSender } from './half-sender.ts'
import { DOMAIN, TRANSACTION_ID } from './half-sender.ts'
import { MarkerCleaner } from './marker-cleaner.ts'
import type { MigrateOptions } from './migrate.ts'
import { migrate } from './migrate.ts'
import { databaseError, messageOf, OutboxError, sqlState } from './outbox-error.ts'
import { probe } from './probe.ts'
import { Relay } from './relay.ts'
import { Resolver } from './resolver.ts'
import { Schema } from './schema.ts'
import type { Messages, Mode, ScopeContext } from './scope.ts'
import { TransactionScope } from './scope.ts'
import { selfCheck } from './self-check.ts'
import { Settler } from './settler.ts'
import { Sweeper } from './sweeper.ts'
import { newTransactionId } from './transaction-id.ts'

export interface OutboxOptions<D extends Database> {
  /** A knex instance (client `pg`) or a `pg.Pool`; stays yours, `close()` leaves it open. */
  database: D
  /** Name servers of the brokers, `'a:9876;b:9876'` or an array. Not needed with `producer`. */
  nameServers?: string | readonly string[]
  /** Producer group: processes of one group answer check-backs for one another. */
  group: string
  /** Schema of the tables. Default `tandem`. */
  schema?: string
  /**
   * `eager` (default): halves travel while the callback still runs. `late`: everything after the callback; nothing is sent
   * for transactions that fail, one more round trip to each side.
   */
  mode?: Mode
  /** A half not acknowledged within this many ms is forwarded through the outbox table instead. Default 300. */
  halfTimeoutMs?: number
  /** A session silent for longer inside a transaction is ended by Postgres, ms. Default 10,000. */
  idleInTransactionTimeoutMs?: number
  /** Upper bound of a transaction (Postgres 17 and newer), ms. Default 240,000. */
  transactionTimeoutMs?: number
  /** How long an ambiguous COMMIT is asked after before the caller gets TRANSACTION_IN_DOUBT, ms. Default 30,000. */
  selfCheckTimeoutMs?: number
  /** Markers of dead processes are swept when older, ms. Default 600,000, at least that outside of tests. */
  markerAgeMs?: number
  /** Pause between sweeps, ms. Default 60,000. */
  sweepIntervalMs?: number
  /** Pause of the relay when the outbox table was empty, ms. Default 1,000. */
  relayIntervalMs?: number
  /** Upper bound of `close()`, ms. Default 10,000. */
  drainTimeoutMs?: number
  /** Time and chance. Default: the machine's. */
  clock?: Clock
  /** Sockets towards the broker. Default: the machine's. */
  network?: ConnectionOptions['network']
  logger?: Logger
  /** The way to the broker; default: a TransactionProducer of @tandemmq/client. */
  producer?: HalfSender
}

export interface TransactionOptions {
  isolationLevel?: IsolationLevel
  mode?: Mode
  /** Runs the callback again, under a new key, after a serialization failure or deadlock (40001, 40P01). Default 0 times. */
  retries?: number
}

/** Counters of this process since `start()`, except where said. */
export interface OutboxStats {
  /** Halves acknowledged by the broker whose end is not. */
  pendingHalves: number
  /** Markers of this process not deleted yet. */
  markers: number
  /** Rows of the outbox table of all processes when the relay last counted. */
  outboxRows: number
  /** Things that must not happen: a broker that lost a half or holds the opposite of what was decided, dead messages. */
  anomalies: number
  running: number
  committed: number
  rolledBack: number
  /** Transactions that went through the outbox table. */
  fallbacks: number
  /** Ambiguous COMMITs, settled or not. */
  inDoubt: number
  /** Check-backs answered for the broker. */
  checks: number
  /** The broker is away: transactions go straight to the outbox table. */
  circuitOpen: boolean
}

interface Parts {
  pool: Pool
  resolver: Resolver
  cleaner: MarkerCleaner
  settler: Settler
  relay: Relay
  sweeper: Sweeper
  context: ScopeContext
}

const nothing = (): void => undefined
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }

const ABORTED = '25P02'
const SWALLOWED = 'COMMIT became a rollback: a statement failed inside the callback and its error was swallowed'

function rolledBack(why: string, cause: unknown): OutboxError {
  return new OutboxError('TRANSACTION_ROLLED_BACK', why, { cause })
}

const ROW_LEASE_MS = 10_000

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
  readonly #breaker: CircuitBreaker
  readonly #running = new Set<string>()
  readonly #transactions = new Set<Promise<unknown>>()
  readonly #counts = { anomalies: 0, committed: 0, rolledBack: 0, fallbacks: 0, inDoubt: 0, checks: 0 }
  #parts: Parts | undefined
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined

  /** Connects to nobody yet. @throws {TandemError} OPTION_INVALID, GROUP_NAME_INVALID */
  constructor(options: OutboxOptions<D>) {
    checkDatabase(options.database)
    this.#options = options
    this.#schema = new Schema(options.schema ?? 'tandem')
    this.#clock = options.clock ?? systemClock
    this.#logger = options.logger ?? silent
    this.#breaker = new CircuitBreaker(this.#clock)
    this.#sender = options.producer ?? new ClientHalfSender({ ...options, logger: this.#logger })
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
    const pool = await ownPool(options.database, 2).catch((error: unknown) => {
      throw databaseError(error, 'connection settings')
    })
    try {
      const found = await probe(pool, this.#schema, {
        idleInTransactionTimeoutMs: options.idleInTransactionTimeoutMs ?? 10_000,
        transactionTimeoutMs: options.transactionTimeoutMs ?? 240_000,
      })
      const parts = this.#assemble(pool, found.domainId, found.settings)
      await this.#sender.start((message) => this.#answerCheck(message, parts))
      parts.relay.start()
      parts.sweeper.start()
      this.#parts = parts
    } catch (error) {
      await pool.end()
      throw error
    }
  }

  #assemble(pool: Pool, domainId: string, settings: string): Parts {
    const options = this.#options
    const shared = { pool, schema: this.#schema, clock: this.#clock, logger: this.#logger, sender: this.#sender }
    const onAnomaly = (text: string): void => this.#anomaly(text)
    return {
      pool,
      resolver: new Resolver({ ...shared, domainId }),
      cleaner: new MarkerCleaner(shared),
      settler: new Settler({ ...shared, onAnomaly }),
      relay: new Relay({
        ...shared,
        breaker: this.#breaker,
        onDead: onAnomaly,
        ...(options.relayIntervalMs === undefined ? {} : { intervalMs: options.relayIntervalMs }),
      }),
      sweeper: new Sweeper({
        ...shared,
        ...(options.sweepIntervalMs === undefined ? {} : { intervalMs: options.sweepIntervalMs }),
        ...(options.markerAgeMs === undefined ? {} : { markerAgeMs: options.markerAgeMs }),
      }),
      context: {
        ...shared,
        breaker: this.#breaker,
        domainId,
        settings,
        halfTimeoutMs: options.halfTimeoutMs ?? 300,
        rowLeaseMs: ROW_LEASE_MS,
      },
    }
  }

  #anomaly(text: string): void {
    this.#counts.anomalies++
    this.#logger.error(text)
  }

  async #answerCheck(message: CheckedMessage, parts: Parts): Promise<CheckAnswer> {
    const key = message.properties[TRANSACTION_ID] ?? ''
    if (message.properties[DOMAIN] !== parts.context.domainId) return 'unknown'
    this.#counts.checks++
    if (this.#running.has(key)) return 'unknown'
    const { state } = await parts.resolver.check(key)
    if (state === 'C') return 'commit'
    return state === 'F' || state === 'R' ? 'rollback' : 'unknown'
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
      const attempt = this.#attempt(parts, run, options)
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

  async #attempt<T>(
    parts: Parts,
    run: (trx: TransactionOf<D>, messages: Messages) => T | Promise<T>,
    options: TransactionOptions,
  ): Promise<T> {
    const session = await openSession(this.#options.database, options.isolationLevel)
    const transactionId = newTransactionId(this.#clock)
    const mode = options.mode ?? this.#options.mode ?? 'eager'
    const scope = new TransactionScope(parts.context, session, transactionId, mode)
    this.#running.add(transactionId)
    // Without its connection the transaction is over, whatever the callback still does.
    const onLost = (): void => void this.#running.delete(transactionId)
    session.client.on('error', onLost)
    session.client.on('end', onLost)
    const release = (broken: boolean): void => {
      session.client.off('error', onLost)
      session.client.off('end', onLost)
      session.release(broken)
    }
    try {
      let value: T
      try {
        await scope.begin(options.isolationLevel)
        value = await run(session.trx, scope.messages)
        await scope.prepareCommit().catch((error: unknown) => {
          throw sqlState(error) === ABORTED ? rolledBack(SWALLOWED, error) : error
        })
        failpoints?.hit('P6')
      } catch (error) {
        scope.closeToMessages()
        await this.#rollBack(parts, scope, session, release)
        throw error
      }
      await this.#commit(parts, scope, release)
      return value
    } finally {
      this.#running.delete(transactionId)
    }
  }

  /** Tells the broker only when Postgres said ROLLBACK to us; anything less clear is left to the check-back. */
  async #rollBack(
    parts: Parts,
    scope: TransactionScope<unknown>,
    session: Session<unknown>,
    release: (broken: boolean) => void,
  ): Promise<void> {
    let noticed = false
    const onNotice = (): void => void (noticed = true)
    session.client.on('notice', onNotice)
    const done = await session.rollback().then(
      () => true,
      () => false,
    )
    session.client.off('notice', onNotice)
    release(!done)
    this.#counts.rolledBack++
    if (done && !noticed) this.#endHalves(parts, scope)
  }

  #endHalves(parts: Parts, scope: TransactionScope<unknown>, onSettled: () => void = () => {}): void {
    const { transactionId } = scope
    if (scope.halves.length > 0) parts.settler.add(transactionId, [...scope.halves], 'rollback', onSettled)
    else onSettled()
    scope.endLateHalves((half) => parts.settler.add(transactionId, [half], 'rollback', () => {}))
  }

  async #commit(parts: Parts, scope: TransactionScope<unknown>, release: (broken: boolean) => void): Promise<void> {
    const { outcome, error } = await scope.commit()
    release(outcome === 'inDoubt' && error !== undefined)
    if (outcome === 'committed') return this.#committed(parts, scope)
    if (outcome === 'inDoubt') {
      this.#counts.inDoubt++
      const found = await this.#settleDoubt(parts, scope)
      if (found === 'committed') return this.#committed(parts, scope)
      if (found === undefined) {
        const detail = `COMMIT of ${scope.transactionId} was not answered, and the database could not be asked: ${messageOf(error)}`
        throw new OutboxError('TRANSACTION_IN_DOUBT', detail, { cause: error })
      }
    }
    this.#counts.rolledBack++
    this.#endHalves(parts, scope)
    if (outcome === 'inDoubt')
      throw rolledBack('the connection broke at COMMIT; asked, the database says rolled back', error)
    throw error === undefined || sqlState(error) === ABORTED ? rolledBack(SWALLOWED, error) : error
  }

  #settleDoubt(parts: Parts, scope: TransactionScope<unknown>): Promise<'committed' | 'rolledBack' | undefined> {
    if (!scope.hasMarker) return Promise.resolve(undefined)
    const limitMs = this.#options.selfCheckTimeoutMs ?? 30_000
    return selfCheck(parts.resolver, this.#clock, scope.transactionId, scope.markerAtMs, limitMs)
  }

  #committed(parts: Parts, scope: TransactionScope<unknown>): void {
    this.#counts.committed++
    const { transactionId } = scope
    const deleteMarker = (): void => {
      if (scope.hasMarker) parts.cleaner.add(transactionId)
    }
    failpoints?.hit('P11')
    if (scope.isForwarded) {
      this.#counts.fallbacks++
      this.#endHalves(parts, scope, deleteMarker)
      if (!this.#breaker.isOpen) parts.relay.forward(scope.rows)
    } else if (scope.halves.length > 0) {
      parts.settler.add(transactionId, scope.halves, 'commit', deleteMarker)
    } else {
      deleteMarker()
    }
  }

  stats(): OutboxStats {
    const { settler, cleaner, relay } = this.#parts ?? {}
    return {
      ...this.#counts,
      pendingHalves: settler?.pending ?? 0,
      markers: this.#running.size + (cleaner?.pending ?? 0),
      outboxRows: relay?.rows ?? 0,
      running: this.#running.size,
      circuitOpen: this.#breaker.isOpen,
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

  async #drain(parts: Parts): Promise<void> {
    await Promise.allSettled(this.#transactions)
    await Promise.all([parts.relay.close(), parts.sweeper.close()])
    await parts.settler.close()
    await parts.cleaner.flush()
  }

  #requireStarted(): Parts {
    if (this.#closing !== undefined) throw new OutboxError('CLOSED', 'this outbox is closed')
    if (this.#parts === undefined) throw new OutboxError('NOT_STARTED', 'call start() first')
    return this.#parts
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Runs the migrations on one connection of a user's database. */
export async function migrateDatabase(database: Database, schema: Schema, options: MigrateOptions): Promise<void> {
  const pool = await ownPool(database, 1)
  try {
    const client = await pool.connect().catch((error: unknown) => {
      throw databaseError(error, 'migrate')
    })
    client.on('error', () => {}) // The query rejects as well.
    try {
      await migrate(client, schema, options)
    } finally {
      client.release()
    }
  } finally {
    await pool.end()
  }
}
