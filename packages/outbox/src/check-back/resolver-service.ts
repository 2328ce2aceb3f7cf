import type { Pool } from 'pg'
import type { Database } from '../database/database.ts'
import { checkDatabase, ownPool } from '../database/database.ts'
import type { Clock, Logger } from '../foundation.ts'
import { systemClock } from '../foundation.ts'
import { databaseError, OutboxError } from '../outbox-error.ts'
import { probe } from '../schema/probe.ts'
import { Schema } from '../schema/schema.ts'
import { ClientHalfSender } from '../settlement/client-half-sender.ts'
import type { DomainAnswer, HalfSender } from '../settlement/half-sender.ts'
import { silentLogger } from '../silent-logger.ts'
import { CheckAnswers } from './check-answers.ts'
import { Resolver } from './resolver.ts'

export interface ResolverServiceOptions {
  /** Its settings are used, no connection is taken from it. */
  database: Database
  /** Name servers of the brokers, `'a:9876;b:9876'` or an array. Not needed with `producer`. */
  nameServers?: string | readonly string[]
  /** A producer group it answers for as well, on brokers that know no domains. Default `tandem-resolver`: only the domain. */
  group?: string
  /** Schema of the tables. Default `tandem`. */
  schema?: string
  /** An answer takes longer only as "unknown", ms. Default 1,500. */
  deadlineMs?: number
  clock?: Clock
  logger?: Logger
  /** The way to the broker; default: a TransactionProducer of @tandemmq/client. */
  producer?: HalfSender
}

/** Since `start()`. */
export interface ResolverStats {
  /** Which database it answers for. */
  domain: string
  answers: Record<DomainAnswer, number>
  /** False while a question waits that the database should have answered: it is away, read-only or misses its standby. */
  healthy: boolean
}

const CONNECTIONS = 2

/** Answers the check-backs of one database and does nothing else: for a domain whose producers may all be away. */
export class ResolverService {
  readonly #options: ResolverServiceOptions
  readonly #schema: Schema
  readonly #sender: HalfSender
  readonly #logger: Logger
  #running: { pool: Pool; answers: CheckAnswers; resolver: Resolver; domainId: string } | undefined
  #closing: Promise<void> | undefined

  /** Connects to nobody yet. @throws {TandemError} OPTION_INVALID, GROUP_NAME_INVALID */
  constructor(options: ResolverServiceOptions) {
    checkDatabase(options.database)
    this.#options = options
    this.#schema = new Schema(options.schema ?? 'tandem')
    this.#logger = options.logger ?? silentLogger
    const { nameServers, group = 'tandem-resolver' } = options
    this.#sender = options.producer ?? new ClientHalfSender({ nameServers, group, logger: this.#logger })
  }

  /**
   * Succeeds while the broker is away.
   * @throws {OutboxError} DATABASE_UNAVAILABLE, SCHEMA_MISSING, NO_PERMISSION, DOMAIN_MISMATCH
   */
  async start(): Promise<void> {
    const pool = await ownPool(this.#options.database, CONNECTIONS)
    try {
      const limits = { idleInTransactionTimeoutMs: 10_000, transactionTimeoutMs: 240_000 }
      const { domainId, warning } = await probe(pool, this.#schema, limits)
      if (warning !== undefined) this.#logger.warn(warning)
      const { deadlineMs, clock = systemClock } = this.#options
      const resolver = new Resolver({
        ...{ pool, schema: this.#schema, logger: this.#logger, domainId, clock },
        ...(deadlineMs === undefined ? {} : { deadlineMs }),
      })
      const answers = new CheckAnswers({ resolver, domainId })
      await this.#sender.start((message) => answers.checkMessage(message), answers)
      this.#running = { pool, answers, resolver, domainId }
    } catch (error) {
      await pool.end()
      throw databaseError(error, 'resolver')
    }
  }

  /** @throws {OutboxError} NOT_STARTED */
  stats(): ResolverStats {
    if (this.#running === undefined) throw new OutboxError('NOT_STARTED', 'call start() first')
    const { answers, resolver, domainId } = this.#running
    return { domain: domainId, answers: { ...answers.counts }, healthy: resolver.isHealthy }
  }

  /** Answers what was asked, then leaves the brokers. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#sender.close()
    const { clock = systemClock } = this.#options
    // Not awaited for ever: a backend that waits for a standby would hold it.
    await Promise.race([this.#running?.pool.end(), new Promise<void>((resolve) => clock.setTimer(1_000, resolve))])
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
