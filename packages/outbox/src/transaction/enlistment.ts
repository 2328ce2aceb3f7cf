import type { ClientBase, QueryResult } from 'pg'
import type { Resolver } from '../check-back/resolver.ts'
import { outcomeOfError } from '../database/commit-outcome.ts'
import type { Control } from '../database/control-statement.ts'
import { joined, StatementTap } from '../database/statement-tap.ts'
import { failpoints } from '../failpoint.ts'
import type { Clock } from '../foundation.ts'
import type { IdBatches } from '../id-batches.ts'
import { messageOf, OutboxError, sqlState } from '../outbox-error.ts'
import type { Relay } from '../relay/relay.ts'
import { SYNCHRONOUS_COMMIT } from '../schema/schema.ts'
import type { Settler } from '../settlement/settler.ts'
import type { TransactionScope } from './scope.ts'
import { selfCheck } from './self-check.ts'

const ABORTED = '25P02'
const SWALLOWED = 'COMMIT became a rollback: a statement failed and its error was swallowed'
const COMMITTED = { command: 'COMMIT', rowCount: null, oid: 0, rows: [], fields: [] } as unknown as QueryResult

export function rolledBack(why: string, cause?: unknown): OutboxError {
  return new OutboxError('TRANSACTION_ROLLED_BACK', why, cause === undefined ? {} : { cause })
}

/** How a transaction ended. `prepared`: COMMIT PREPARED or ROLLBACK PREPARED will decide. */
export interface End {
  readonly status: 'committed' | 'rolledBack' | 'inDoubt' | 'prepared'
  readonly error?: unknown
}

export interface EnlistmentParts {
  resolver: Resolver
  cleaner: IdBatches
  settler: Settler
  relay: Pick<Relay, 'forward'>
  clock: Clock
  selfCheckTimeoutMs: number
  counts: { committed: number; rolledBack: number; fallbacks: number; inDoubt: number }
  /** Keys of transactions not decided yet. */
  running: Set<string>
}

/**
 * A transaction from its BEGIN, or from the `join`, to its definite outcome. Whoever issues COMMIT, ROLLBACK or a savepoint, the
 * statement comes by here: COMMIT waits for the halves and rejects unless the transaction is certainly committed.
 */
export class Enlistment {
  readonly scope: TransactionScope
  readonly tap: StatementTap
  end: End | undefined
  /** The connection must not be used again. */
  isBroken = false
  readonly #parts: EnlistmentParts
  readonly #done: () => void
  #finishing: Promise<QueryResult> | undefined
  #isOpen: boolean
  /** Resolves when it has ended, however. */
  readonly ended: Promise<void>

  constructor(parts: EnlistmentParts, client: ClientBase, scope: TransactionScope) {
    this.#parts = parts
    this.scope = scope
    let done!: () => void
    this.ended = new Promise((resolve) => (done = resolve))
    this.#done = done
    this.tap = new StatementTap(client, (control, text) => this.#control(control, text))
    parts.running.add(scope.transactionId)
    client.on('error', this.#onLost)
    client.on('end', this.#onLost)
    this.#isOpen = scope.isJoined
    scope.attach(this.tap)
  }

  /** Without its connection the transaction is over, whatever the application still does. */
  readonly #onLost = (): void => {
    this.isBroken = true
    this.#parts.running.delete(this.scope.transactionId)
    if (this.#finishing === undefined) this.#done()
  }

  /** COMMIT, ROLLBACK or PREPARE TRANSACTION has been issued. */
  get isFinishing(): boolean {
    return this.#finishing !== undefined || this.end !== undefined
  }

  #control(control: Control, text: string): Promise<QueryResult> {
    switch (control.kind) {
      case 'begin':
        return this.#begin(text)
      case 'commit':
        this.#finishing ??= this.#commit(text)
        return this.#finishing
      case 'prepare':
        this.#finishing ??= this.#prepare(text)
        return this.#finishing
      case 'rollback':
        this.#finishing ??= this.#rollBack(text)
        return this.#finishing
      case 'mixed': {
        const detail = 'COMMIT, ROLLBACK and savepoints must be statements of their own in a transaction with messages'
        return Promise.reject(new OutboxError('ILLEGAL_OPERATION', detail))
      }
      default:
        return this.#savepoint(control, text)
    }
  }

  async #begin(text: string): Promise<QueryResult> {
    // Postgres would only warn, and the COMMIT that follows would end both.
    if (this.#isOpen) throw new OutboxError('ILLEGAL_OPERATION', 'BEGIN inside a transaction: use a savepoint')
    const [begun] = await this.#open(text)
    return begun as QueryResult
  }

  /** @param before BEGIN, or nothing where the library has sent it already */
  async #open(before: string): Promise<QueryResult[]> {
    this.#isOpen = true
    const sending = this.tap.send(joined(before, this.scope.opening))
    failpoints?.hit('P1')
    const results = await sending
    this.scope.opened(results)
    failpoints?.hit('P2')
    return results
  }

  /** Settings and marker of a transaction whose BEGIN has passed unseen. */
  async open(): Promise<void> {
    await this.#open('select 1')
  }

  async #savepoint(control: Control & { name: string }, text: string): Promise<QueryResult> {
    const { savepoints } = this.scope
    const { kind, name } = control
    if (kind === 'savepoint') {
      savepoints.set(name)
      return this.tap.pass(text).catch((error: unknown) => {
        savepoints.unset(name)
        throw error
      })
    }
    if (kind === 'release') {
      const result = await this.tap.pass(text)
      savepoints.release(name)
      return result
    }
    const isOurs = savepoints.rollBackTo(name)
    const result = await this.tap.pass(text)
    this.tap.ends--
    // Older than the join: the marker is undone with it, for good; whoever joins again gets another key.
    if (!isOurs) {
      this.scope.closeToMessages()
      this.#endHalves()
      this.#finish({ status: 'rolledBack' })
    }
    return result
  }

  async #prepare(text: string): Promise<QueryResult> {
    await this.#prepareCommit()
    let command = ''
    try {
      const result = (await this.tap.send(joined(SYNCHRONOUS_COMMIT, text))).at(-1) as QueryResult
      command = result.command
      if (command === 'PREPARE') {
        this.#finish({ status: 'prepared' })
        return result
      }
    } catch (error) {
      if (outcomeOfError(error) === 'rolledBack') {
        // Over after most errors, e.g. with max_prepared_transactions = 0; open and aborted after a slip of the pen.
        await this.tap.query('rollback').catch(() => (this.isBroken = true))
        throw this.#rolledBackAtPrepare(sqlState(error) === ABORTED ? rolledBack(SWALLOWED, error) : error)
      }
      this.isBroken = true
      const detail = `PREPARE TRANSACTION of ${this.scope.transactionId} was not answered: ${messageOf(error)}; look into pg_prepared_xacts`
      throw this.#fail('inDoubt', new OutboxError('TRANSACTION_IN_DOUBT', detail, { cause: error }))
    }
    throw this.#rolledBackAtPrepare(rolledBack(`PREPARE TRANSACTION was answered ${command}`))
  }

  #rolledBackAtPrepare(error: unknown): unknown {
    this.#parts.counts.rolledBack++
    this.#endHalves()
    return this.#fail('rolledBack', error)
  }

  /** Everything a COMMIT needs to be right; when something is missing, ROLLBACK instead. */
  async #prepareCommit(): Promise<void> {
    try {
      await this.scope.prepareCommit()
      failpoints?.hit('P6')
    } catch (error) {
      const why = sqlState(error) === ABORTED ? rolledBack(SWALLOWED, error) : error
      await this.#rollBack('rollback', why).catch(() => {})
      throw why
    }
  }

  /** Tells the broker only when Postgres said ROLLBACK to us; anything less clear is left to the check-back. */
  async #rollBack(text: string, why?: unknown): Promise<QueryResult> {
    this.scope.closeToMessages()
    let noticed = false
    const onNotice = (): void => void (noticed = true)
    const { client } = this.tap
    client.on('notice', onNotice)
    this.#parts.counts.rolledBack++
    try {
      const result = await this.tap.pass(text)
      if (!noticed) this.#endHalves()
      return result
    } catch (error) {
      this.isBroken = true
      throw error
    } finally {
      client.off('notice', onNotice)
      this.#finish({ status: 'rolledBack', ...(why === undefined ? {} : { error: why }) })
    }
  }

  /** For a library that does not know of the transaction any more. Never rejects. */
  async rollBackNow(): Promise<void> {
    if (this.end !== undefined) return
    this.#finishing ??= this.#rollBack('rollback')
    await this.#finishing.catch(() => {})
  }

  async #commit(text: string): Promise<QueryResult> {
    await this.#prepareCommit()
    const { outcome, error, result } = await this.scope.commit(text)
    if (outcome === 'inDoubt' && error !== undefined) this.isBroken = true
    if (outcome === 'committed') return this.#committed(result)
    if (outcome === 'inDoubt') {
      this.#parts.counts.inDoubt++
      const found = await this.#settleDoubt()
      if (found === 'committed') return this.#committed(result)
      if (found === undefined) {
        const detail = `COMMIT of ${this.scope.transactionId} was not answered, and the database could not be asked: ${messageOf(error)}`
        throw this.#fail('inDoubt', new OutboxError('TRANSACTION_IN_DOUBT', detail, { cause: error }))
      }
    }
    this.#parts.counts.rolledBack++
    this.#endHalves()
    if (outcome === 'inDoubt')
      throw this.#fail(
        'rolledBack',
        rolledBack('the connection broke at COMMIT; asked, the database says rolled back', error),
      )
    const swallowed = error === undefined || sqlState(error) === ABORTED
    throw this.#fail('rolledBack', swallowed ? rolledBack(SWALLOWED, error) : error)
  }

  #fail(status: End['status'], error: unknown): unknown {
    this.#finish({ status, error })
    return error
  }

  #settleDoubt(): Promise<'committed' | 'rolledBack' | undefined> {
    const { scope } = this
    if (!scope.hasMarker) return Promise.resolve(undefined)
    const { resolver, clock, selfCheckTimeoutMs } = this.#parts
    return selfCheck(resolver, clock, scope.transactionId, scope.markerAtMs, selfCheckTimeoutMs)
  }

  #committed(result: QueryResult = COMMITTED): QueryResult {
    const { counts, cleaner, relay, settler } = this.#parts
    counts.committed++
    const { scope } = this
    const { transactionId } = scope
    const deleteMarker = (): void => {
      if (scope.hasMarker) cleaner.add(transactionId)
    }
    failpoints?.hit('P11')
    if (scope.isForwarded) {
      counts.fallbacks++
      this.#endHalves(deleteMarker)
      relay.forward(scope.rows)
    } else if (scope.halves.length > 0) {
      settler.add(transactionId, scope.halves, 'commit', deleteMarker)
    } else {
      deleteMarker()
    }
    this.#finish({ status: 'committed' })
    return result
  }

  #endHalves(onSettled: () => void = () => {}): void {
    const { transactionId, halves } = this.scope
    const { settler } = this.#parts
    if (halves.length > 0) settler.add(transactionId, [...halves], 'rollback', onSettled)
    else onSettled()
    this.scope.onLateHalf = (half) => settler.add(transactionId, [half], 'rollback', () => {})
  }

  #finish(end: End): void {
    this.end ??= end
    this.#parts.running.delete(this.scope.transactionId)
    this.tap.detach()
    const { client } = this.tap
    client.off('error', this.#onLost)
    client.off('end', this.#onLost)
    this.#done()
  }
}
