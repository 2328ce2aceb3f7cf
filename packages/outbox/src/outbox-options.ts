import type { ConnectionOptions } from '@tandemmq/client'
import type { DatabaseAdapter } from './database/database-adapter.ts'
import type { Database, IsolationLevel } from './database/database.ts'
import type { Clock, Logger } from './foundation.ts'
import type { HalfSender } from './settlement/half-sender.ts'
import type { Mode } from './transaction/scope.ts'

export interface OutboxOptions<D extends Database> {
  /** A knex instance (client `pg`), a `pg.Pool`, a connected `pg.Client` (transactions take turns on it) or a {@link DatabaseAdapter}; stays yours, `close()` leaves it open. */
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
  /** A message the broker has answered with an error so often is moved to the dead table. Default 20: about 14 minutes. */
  attemptsMax?: number
  /**
   * Messages that may wait in the outbox table; beyond it transactions that would add to them fail with OUTBOX_FULL, instead of a
   * full disk for everybody. Counted once a second. Default: no limit.
   */
  outboxRowsMax?: number
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
  /** Things that must not happen: a broker that lost a half or holds the opposite of what was decided, dead messages, a failover that may have lost commits. */
  anomalies: number
  running: number
  /** Times another Postgres has taken over; an anomaly too when nothing had been replicated synchronously. */
  timelineChanges: number
  committed: number
  rolledBack: number
  /** Transactions that went through the outbox table. */
  fallbacks: number
  /** Ambiguous COMMITs, settled or not. */
  inDoubt: number
  /** Check-backs answered for the broker. */
  checks: number
  /** A broker is away: transactions with messages to it go straight to the outbox table. */
  circuitOpen: boolean
  /** Which: the names of its brokers for each route that is cut off, or `topic <name>` where no route is known. */
  circuitsOpen: readonly string[]
}
