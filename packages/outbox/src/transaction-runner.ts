import type { Database, Session, TransactionOf } from './database.ts'
import { openSession } from './database.ts'
import { failpoints } from './failpoint.ts'
import type { MarkerCleaner } from './marker-cleaner.ts'
import { messageOf, OutboxError, sqlState } from './outbox-error.ts'
import type { TransactionOptions } from './outbox-options.ts'
import type { Relay } from './relay.ts'
import type { Resolver } from './resolver.ts'
import type { Messages, Mode, ScopeContext } from './scope.ts'
import { TransactionScope } from './scope.ts'
import { selfCheck } from './self-check.ts'
import type { Settler } from './settler.ts'
import { newTransactionId } from './transaction-id.ts'

const ABORTED = '25P02'
const SWALLOWED = 'COMMIT became a rollback: a statement failed inside the callback and its error was swallowed'

function rolledBack(why: string, cause: unknown): OutboxError {
  return new OutboxError('TRANSACTION_ROLLED_BACK', why, { cause })
}

export interface TransactionRunnerOptions<D extends Database> {
  database: D
  mode: Mode
  selfCheckTimeoutMs: number
  context: ScopeContext
  resolver: Resolver
  cleaner: MarkerCleaner
  settler: Settler
  relay: Relay
}

/** Runs one transaction to its definite outcome, then tells broker and relay. */
export class TransactionRunner<D extends Database> {
  /** Keys of transactions not decided yet. */
  readonly running = new Set<string>()
  readonly counts = { committed: 0, rolledBack: 0, fallbacks: 0, inDoubt: 0 }
  readonly #options: TransactionRunnerOptions<D>

  constructor(options: TransactionRunnerOptions<D>) {
    this.#options = options
  }

  async run<T>(
    run: (trx: TransactionOf<D>, messages: Messages) => T | Promise<T>,
    options: TransactionOptions,
  ): Promise<T> {
    const session = await openSession(this.#options.database, options.isolationLevel)
    const transactionId = newTransactionId(this.#options.context.clock)
    const mode = options.mode ?? this.#options.mode
    const scope = new TransactionScope(this.#options.context, session, transactionId, mode)
    this.running.add(transactionId)
    // Without its connection the transaction is over, whatever the callback still does.
    const onLost = (): void => void this.running.delete(transactionId)
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
        await this.#rollBack(scope, session, release)
        throw error
      }
      await this.#commit(scope, release)
      return value
    } finally {
      this.running.delete(transactionId)
    }
  }

  /** Tells the broker only when Postgres said ROLLBACK to us; anything less clear is left to the check-back. */
  async #rollBack(
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
    this.counts.rolledBack++
    if (done && !noticed) this.#endHalves(scope)
  }

  #endHalves(scope: TransactionScope<unknown>, onSettled: () => void = () => {}): void {
    const { transactionId } = scope
    if (scope.halves.length > 0) this.#options.settler.add(transactionId, [...scope.halves], 'rollback', onSettled)
    else onSettled()
    scope.endLateHalves((half) => this.#options.settler.add(transactionId, [half], 'rollback', () => {}))
  }

  async #commit(scope: TransactionScope<unknown>, release: (broken: boolean) => void): Promise<void> {
    const { outcome, error } = await scope.commit()
    release(outcome === 'inDoubt' && error !== undefined)
    if (outcome === 'committed') return this.#committed(scope)
    if (outcome === 'inDoubt') {
      this.counts.inDoubt++
      const found = await this.#settleDoubt(scope)
      if (found === 'committed') return this.#committed(scope)
      if (found === undefined) {
        const detail = `COMMIT of ${scope.transactionId} was not answered, and the database could not be asked: ${messageOf(error)}`
        throw new OutboxError('TRANSACTION_IN_DOUBT', detail, { cause: error })
      }
    }
    this.counts.rolledBack++
    this.#endHalves(scope)
    if (outcome === 'inDoubt')
      throw rolledBack('the connection broke at COMMIT; asked, the database says rolled back', error)
    throw error === undefined || sqlState(error) === ABORTED ? rolledBack(SWALLOWED, error) : error
  }

  #settleDoubt(scope: TransactionScope<unknown>): Promise<'committed' | 'rolledBack' | undefined> {
    if (!scope.hasMarker) return Promise.resolve(undefined)
    const limitMs = this.#options.selfCheckTimeoutMs
    return selfCheck(
      this.#options.resolver,
      this.#options.context.clock,
      scope.transactionId,
      scope.markerAtMs,
      limitMs,
    )
  }

  #committed(scope: TransactionScope<unknown>): void {
    this.counts.committed++
    const { transactionId } = scope
    const deleteMarker = (): void => {
      if (scope.hasMarker) this.#options.cleaner.add(transactionId)
    }
    failpoints?.hit('P11')
    if (scope.isForwarded) {
      this.counts.fallbacks++
      this.#endHalves(scope, deleteMarker)
      if (!this.#options.context.breaker.isOpen) this.#options.relay.forward(scope.rows)
    } else if (scope.halves.length > 0) {
      this.#options.settler.add(transactionId, scope.halves, 'commit', deleteMarker)
    } else {
      deleteMarker()
    }
  }
}
