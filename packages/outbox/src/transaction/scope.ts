import type { QueryResult } from 'pg'
import type { CommitOutcome } from '../database/commit-outcome.ts'
import { outcomeOfError, outcomeOfTag } from '../database/commit-outcome.ts'
import { Savepoints } from '../database/savepoints.ts'
import type { StatementTap } from '../database/statement-tap.ts'
import { joined } from '../database/statement-tap.ts'
import { failpoints } from '../failpoint.ts'
import type { Clock, OutgoingMessage } from '../foundation.ts'
import type { RecordedMessage } from '../message.ts'
import { halfOf, isDelayed, recordMessage } from '../message.ts'
import { OutboxError, sqlState } from '../outbox-error.ts'
import { isRefusal } from '../relay/circuit-breaker.ts'
import type { CircuitBreakers } from '../relay/circuit-breakers.ts'
import type { OutboxRow } from '../relay/outbox-rows.ts'
import { hasRowsOf, insertRows, letGoOfKeys } from '../relay/outbox-rows.ts'
import type { RowCap } from '../relay/row-cap.ts'
import { AT_HOME } from '../schema/domain.ts'
import type { Settings } from '../schema/probe.ts'
import type { Schema } from '../schema/schema.ts'
import { COMMIT_GUARD, PLAIN_COMMIT_GUARD } from '../schema/schema.ts'
import type { Half, HalfSender } from '../settlement/half-sender.ts'
import { inTime } from './in-time.ts'

export type Mode = 'eager' | 'late'

export interface ScopeContext {
  schema: Schema
  domainId: string
  sender: HalfSender
  breakers: CircuitBreakers
  clock: Clock
  halfTimeoutMs: number
  settings: Settings
  /** How long relays of other processes leave our fallback rows to us. */
  rowLeaseMs: number
  cap?: RowCap | undefined
}

/** What the user's callback sends messages with. */
export interface Messages {
  /**
   * Adds a message to the transaction: delivered if and only if it commits. Synchronous; the message is taken as it is at
   * the call.
   * @throws {OutboxError} MESSAGE_ILLEGAL, MESSAGE_TOO_LARGE, TOPIC_NAME_INVALID; ILLEGAL_OPERATION after the transaction
   */
  send(message: OutgoingMessage): void
}

type Sent = { half: Half } | { error: unknown }

/** One transaction: marker, halves, and what COMMIT answered. States: open, then closed to messages, then committed or not. */
export class TransactionScope {
  readonly transactionId: string
  readonly isJoined: boolean
  readonly messages: Messages = { send: (message) => this.#send(message) }
  /** Halves the broker has acknowledged. */
  readonly halves: Half[] = []
  /** Rows the transaction left for the relay. */
  rows: OutboxRow[] = []
  /** Database clock at the marker's insert, ms since 1970. */
  markerAtMs = 0
  hasMarker = false
  readonly savepoints = new Savepoints()
  /** Takes halves acknowledged from now on, of a transaction already decided. */
  onLateHalf: ((half: Half) => void) | undefined

  readonly #context: ScopeContext
  readonly #mode: Mode
  readonly #recorded: RecordedMessage[] = []
  readonly #pending: Promise<Sent>[] = []
  #unanswered = 0
  readonly #notices: string[] = []
  readonly #onNotice = (notice: { code?: string | undefined }): void => void this.#notices.push(notice.code ?? '')
  #tap: StatementTap | undefined
  /** Those who wait for the connection of a joined transaction. */
  #onAttach: ((tap: StatementTap) => void)[] | undefined
  #marker: Promise<void> | undefined
  #xid = ''
  /** synchronous_commit at BEGIN, where the marker came with it. */
  #durability: string | undefined
  #open = true
  #useHalves = true
  #holdsKeys = false

  /** @param isJoined somebody else issued BEGIN, perhaps on another database */
  constructor(context: ScopeContext, transactionId: string, mode: Mode, isJoined = false) {
    this.#context = context
    this.transactionId = transactionId
    this.#mode = mode
    this.isJoined = isJoined
  }

  /** @param tap the connection, past what watches it */
  attach(tap: StatementTap): void {
    this.#tap = tap
    for (const attached of this.#onAttach ?? []) attached(tap)
  }

  #attached(): StatementTap | Promise<StatementTap> {
    return this.#tap ?? new Promise((resolve) => (this.#onAttach ??= []).push(resolve))
  }

  get isForwarded(): boolean {
    return this.rows.length > 0
  }

  /** What travels with BEGIN: settings and, unless late, the marker; its acknowledgement comes before any half. */
  get opening(): string {
    const { settings, schema } = this.#context
    if (this.#mode !== 'eager') return settings.statements
    if (this.isJoined) return `${settings.statements}; ${this.#markerStatement()}`
    return `select ${schema.mark}('${this.transactionId}',${settings.args}) as mark`
  }

  /** @param results of {@link opening} */
  opened(results: QueryResult[]): void {
    if (this.#mode === 'eager') this.#noteMarker(results)
  }

  #markerStatement(): string {
    const { schema, domainId } = this.#context
    const mine = this.isJoined
      ? ` select '${this.transactionId}' from ${schema.domain} where domain_id='${domainId}' and ${AT_HOME}`
      : ` values ('${this.transactionId}')`
    return `insert into ${schema.tx} (tx_id)${mine} returning xid::text, date_part('epoch', at)*1000 as at_ms`
  }

  #noteMarker(results: QueryResult[]): void {
    const row = (results.at(-1)?.rows[0] ?? {}) as { xid?: string; at_ms?: number | string; mark?: string }
    if (row.mark !== undefined) [row.xid, row.at_ms, this.#durability] = row.mark.split(' ') as [string, string, string]
    if (row.xid === undefined && this.isJoined)
      throw new OutboxError('OPTION_INVALID', 'the joined transaction is on another database than the outbox')
    if (row.xid === undefined) throw new OutboxError('DATABASE_UNAVAILABLE', 'the marker was not inserted')
    this.#xid = row.xid
    this.markerAtMs = Number(row.at_ms)
    this.hasMarker = true
  }

  /**
   * In a joined transaction the first message brings the marker; its failure is COMMIT's. Sent in the turn of the message: one
   * turn later a ROLLBACK may be on the wire, and behind it the marker would be a transaction of its own, and committed.
   */
  async #requestMarker(tap: StatementTap): Promise<void> {
    const asked = tap.send(`${this.#context.settings.statements}; ${this.#markerStatement()}`)
    failpoints?.hit('P1')
    const results = await asked
    // No half has left yet, so the sweeper may have this marker.
    if (tap.isOutside) throw new OutboxError('ILLEGAL_OPERATION', 'join: there is no transaction, BEGIN comes first')
    this.#noteMarker(results)
    failpoints?.hit('P2')
  }

  #send(message: OutgoingMessage): void {
    if (!this.#open) {
      throw new OutboxError(
        'ILLEGAL_OPERATION',
        `message to ${message.topic}: the transaction is over (a missing await?)`,
      )
    }
    const recorded = recordMessage(message, -1)
    this.savepoints.run(() => {
      const numbered = { ...recorded, n: this.#recorded.length }
      this.#recorded.push(numbered)
      if (this.#mode === 'eager' && this.#usesHalves(numbered)) this.#sendHalf(numbered)
    })
  }

  /** One message that has to take the table takes the whole transaction with it. */
  #usesHalves(message: RecordedMessage): boolean {
    this.#useHalves &&= !isDelayed(message) && this.#context.breakers.allows(message.topic)
    return this.#useHalves
  }

  /** Never before the marker is acknowledged: such a half could neither be asked for nor fenced while we live. */
  #sendHalf(message: RecordedMessage): void {
    this.#unanswered++
    if (this.hasMarker) return void this.#pending.push(this.#prepare(message))
    this.#marker ??= this.#tap === undefined ? this.#markerAtAttach() : this.#requestMarker(this.#tap)
    this.#pending.push(
      this.#marker.then(
        () => this.#prepare(message),
        (error: unknown) => this.#answered({ error }),
      ),
    )
  }

  #markerAtAttach(): Promise<void> {
    return new Promise((resolve, reject) => {
      ;(this.#onAttach ??= []).push((tap) => void this.#requestMarker(tap).then(resolve, reject))
    })
  }

  #prepare(message: RecordedMessage): Promise<Sent> {
    const { sender, breakers, domainId, halfTimeoutMs } = this.#context
    const sending = sender.prepare(halfOf(message, this.transactionId, domainId), { timeoutMs: halfTimeoutMs })
    failpoints?.hit('P3')
    return sending.then(
      (half): Sent => {
        failpoints?.hit('P4')
        breakers.succeeded(message.topic)
        if (this.onLateHalf === undefined) this.halves.push(half)
        else this.onLateHalf(half)
        failpoints?.hit('P5')
        return this.#answered({ half })
      },
      (error: unknown): Sent => {
        breakers.report(message.topic, error)
        return this.#answered({ error })
      },
    )
  }

  #answered(sent: Sent): Sent {
    this.#unanswered--
    return sent
  }

  /** After the user's callback: everything a COMMIT needs to be right. Throws = roll back. */
  async prepareCommit(): Promise<void> {
    if (this.savepoints.hasOpenNested) {
      throw new OutboxError('ILLEGAL_OPERATION', 'a nested transaction is still open (a missing await?)')
    }
    this.savepoints.releaseAll()
    this.#open = false
    if (this.#recorded.length === 0) return
    const { breakers } = this.#context
    if (this.#mode === 'late') {
      const topics = new Set(this.#recorded.map(({ topic }) => topic))
      this.#useHalves = !this.#recorded.some(isDelayed) && [...topics].every((topic) => breakers.allows(topic))
    }
    const client = await this.#attached()
    const { schema } = this.#context
    await this.#marker
    if (!this.hasMarker) this.#noteMarker(await client.send(this.#markerStatement()))
    const keys = [...new Set(this.#recorded.flatMap(({ fields }) => fields.orderBy ?? []))]
    this.#holdsKeys = keys.length > 0 && this.#useHalves
    const queued = this.#holdsKeys && (await hasRowsOf(client, schema, keys))
    if (this.#mode === 'late' && this.#useHalves && !queued) {
      this.#unanswered += this.#recorded.length
      for (const message of this.#recorded) this.#pending.push(this.#prepare(message))
    }
    const arrived = this.#useHalves && !queued && (await this.#awaitHalves())
    if (!arrived) await this.#fallBack()
  }

  /** True when every half is durable at the broker. @throws what the broker refused for ever */
  async #awaitHalves(): Promise<boolean> {
    const { clock, halfTimeoutMs } = this.#context
    const answers = Promise.all(this.#pending)
    const all = await (this.#unanswered === 0 ? answers : inTime(answers, clock, halfTimeoutMs))
    if (all === undefined) return false
    for (const sent of all) if ('error' in sent && isRefusal(sent.error)) throw sent.error
    if (all.length !== this.#recorded.length || !all.every((sent) => 'half' in sent)) return false
    // In the order of the messages, not of the answers: where a broker does not keep their places, that of the ENDs is what counts.
    this.halves.splice(0, Number.POSITIVE_INFINITY, ...all.map(({ half }) => half))
    return true
  }

  /**
   * Store and forward: in one transaction the payloads become rows and the marker says so, hence the check-back rolls every
   * half of this key back, also one still on its way. Exactly one copy is left.
   */
  async #fallBack(): Promise<void> {
    const { schema, rowLeaseMs, cap, breakers } = this.#context
    cap?.add(this.#recorded.length)
    const client = await this.#attached()
    if (this.#holdsKeys) await letGoOfKeys(client)
    // No half was sent: nothing to flag.
    if (this.#pending.length > 0) {
      const flagged = await client.pass(`update ${schema.tx} set state='F' where tx_id='${this.transactionId}'`)
      if (flagged.rowCount !== 1)
        throw new OutboxError('TRANSACTION_ROLLED_BACK', 'the marker of this transaction is gone')
    }
    const leaseMs = this.#recorded.some(({ topic }) => breakers.isOpenFor(topic)) ? 0 : rowLeaseMs
    this.rows = await insertRows(client, schema, this.transactionId, this.#recorded, leaseMs)
  }

  /** COMMIT; never throws. `error` is what the database or the connection said, `result` what COMMIT was answered. */
  async commit(text: string): Promise<{ outcome: CommitOutcome; error?: unknown; result?: QueryResult }> {
    const tap = await this.#attached()
    const { client } = tap
    client.on('notice', this.#onNotice)
    try {
      const isPlain = this.#canCommitPlainly(tap)
      const committing = tap.send(joined(isPlain ? PLAIN_COMMIT_GUARD : COMMIT_GUARD, text))
      if (failpoints !== undefined) await this.#hitWhileCommitting(committing)
      const results = await committing
      failpoints?.hit('P10')
      const result = results.at(-1)
      const outcome = outcomeOfTag(
        result?.command ?? '',
        this.#notices,
        isPlain ? tap.ends <= 1 : this.#isSame(results),
      )
      return { outcome, ...(result === undefined ? {} : { result }) }
    } catch (error) {
      // A statement in front of COMMIT failed: the transaction is still open.
      if (sqlState(error) !== '') await tap.query('rollback').catch(() => {})
      return { outcome: outcomeOfError(error), error }
    } finally {
      client.off('notice', this.#onNotice)
    }
  }

  /** The COMMIT is on the wire; one turn later at the server; another one later perhaps durable. */
  async #hitWhileCommitting(committing: Promise<unknown>): Promise<void> {
    committing.catch(() => {}) // Awaited by the caller, a few turns later.
    const { clock } = this.#context
    failpoints?.hit('P7')
    for (const point of ['P8', 'P9']) {
      await new Promise<void>((resolve) => clock.soon(resolve))
      failpoints?.hit(point)
    }
  }

  /** Whether it is still ours, the tags on the wire tell; `remote_apply` must not be lowered to `on`. */
  #canCommitPlainly({ seesEnds, setsDurability }: StatementTap): boolean {
    return seesEnds && !setsDurability && this.#durability !== undefined && this.#durability !== 'remote_apply'
  }

  /** False when somebody ended our transaction inside the callback and began another one. */
  #isSame(results: QueryResult[]): boolean {
    if (!this.hasMarker) return true
    return (results[0]?.rows[0] as { xid?: string | null } | undefined)?.xid === this.#xid
  }

  /** No message can join any more, also when the callback failed. */
  closeToMessages(): void {
    this.#open = false
  }
}
