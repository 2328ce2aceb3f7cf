import { type PropertyScan, type RecordFields, RecordView, recordSize, SystemTopic } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { LogWriter } from '../log-writer.ts'
import { NameCache } from '../name-cache.ts'
import { settlementOf } from '../op-record.ts'
import { sourceOf } from '../settles.ts'
import { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import type { AppendCompletion, DerivedState } from '../store/index.ts'
import { CheckBack } from './check-back.ts'
import type { GroupOrder } from './group-order/index.ts'
import { type EndDone, HalfMessage, type HalfMessageOwner, type Outcome } from './half-message.ts'
import { HalfRecords } from './half-records.ts'
import { type Decision, endAction } from './half-rules.ts'
import { SettledWindow } from './settled-window.ts'
import { openHalves, type OpenHalves } from './open-states.ts'
import { pendingTransaction } from './pending-transaction.ts'
import type { EndRequest, PendingTransaction, TransactionServiceOptions, TransactionStats } from './types.ts'

const nobodyWaits: EndDone = () => {}

/**
 * Half messages and what became of them. State machine: half-rules.ts. A commit is one append (the real message, which
 * names its half), a rollback is one append (an op record), so a crash at any byte leaves the half either settled or
 * pending. An unresolved half is kept, asked about and shown for ever.
 *
 * @see outbox.md 2.5, broker.md 3
 */
export class TransactionService implements HalfMessageOwner, DerivedState {
  readonly #clock: Clock
  readonly #log: LogWriter
  #timeoutMs: number
  readonly #verify: ((scan: PropertyScan, properties: Buffer) => void) | undefined
  readonly #names = new NameCache()
  readonly #records: HalfRecords
  readonly #order: GroupOrder | undefined
  /** By physical offset, in log order. */
  readonly #pending = new Map<number, HalfMessage>()
  readonly #settled: SettledWindow
  readonly #checkBack: CheckBack
  #committed = 0
  #rolledBack = 0
  #conflicts = 0
  #commitsAfterRollback = 0
  #unknownEnds = 0
  #foreignEnds = 0
  #repeatedEnds = 0

  constructor(options: TransactionServiceOptions) {
    this.#clock = options.clock
    this.#log = options.log
    this.#timeoutMs = options.timeoutMs ?? 6_000
    this.#checkBack = new CheckBack({
      clock: options.clock,
      log: options.log,
      intervalMs: options.checkIntervalMs ?? 30_000,
      ask: (half, record) => options.ask(half, record),
      peerOf: (half) => options.peerOf?.(half),
      transactionIdOf: (half) => this.#records.transactionIdOf(half),
      decide: (half, decision) => this.#decide(half, decision, nobodyWaits),
      find: (physicalOffset) => this.#pending.get(physicalOffset),
    })
    this.#verify = options.verify === undefined ? undefined : (scan, bytes) => options.verify?.(scan, bytes)
    this.#order = options.order
    this.#records = new HalfRecords(options.log, this.#names, options.order)
    this.#settled = new SettledWindow({
      entriesMax: options.outcomesMax ?? 1_000_000,
      windowMs: options.outcomesWindowMs ?? 3_600_000,
    })
  }

  /** Age at the first check-back of half messages from now on, ms. */
  set timeoutMs(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /**
   * Appends the message at hand as a half message. `fields` is rewritten on the way: afterwards it describes the half
   * record, physicalOffset and queueOffset included.
   * @param scan over `fields.properties`
   * @throws {BrokerError} MESSAGE_ILLEGAL when the properties have no room for the real destination
   */
  appendHalf(
    fields: RecordFields,
    scan: PropertyScan,
    group: string,
    connectionId: number,
    completion?: AppendCompletion,
  ): void {
    this.#verify?.(scan, fields.properties)
    // PGROUP is what the log remembers, so it is what counts, not the header's copy of it.
    const named = scan.pgroupStart >= 0 && scan.pgroupStart < scan.pgroupEnd
    const owner = named ? this.#names.text(fields.properties, scan.pgroupStart, scan.pgroupEnd) : group
    const topic = this.#names.text(fields.topic, 0, fields.topic.length)
    const queueId = fields.queueId
    this.#records.park(fields, named ? undefined : group)
    const half = new HalfMessage(this, {
      group: owner,
      topic,
      queueId,
      domain: this.#records.domain,
      connectionId,
      firstCheckMs: this.#records.immunityMs ?? this.#timeoutMs,
      delayed: this.#records.delayed,
      idHash: this.#records.idHash,
    })
    this.#log.append(SystemTopic.HALF, 0, fields, completion)
    half.physicalOffset = fields.physicalOffset
    half.queueOffset = fields.queueOffset
    half.size = recordSize(fields)
    half.storedAt = fields.storeTimestamp
    this.#pending.set(half.physicalOffset, half)
    this.#checkBack.add(half, half.firstCheckMs)
    if (!half.delayed) this.#order?.reserve(topic, scan, half.physicalOffset)
  }

  /**
   * The producer's decision. First one wins; repeats hear the recorded outcome, the opposite is refused and counted, and
   * what does not match a half message of `group` is harmless.
   * @param done called once: after the settling record is as safe as the flush policy promises, or at once when there is
   *   nothing to wait for. `pending` after a commit or rollback means the store failed and only a restart will tell.
   * @throws {StoreError} STORE_FENCED, STORE_CLOSED: nothing was decided
   */
  end(request: EndRequest, done: EndDone): void {
    const half = this.#pending.get(request.physicalOffset)
    if (half === undefined) {
      this.#endSettled(request, done)
    } else if (half.queueOffset !== request.queueOffset || half.group !== request.group) {
      this.#foreignEnds++
      done('unknown', false)
    } else {
      if (request.fromCheck) this.#checkBack.heard(half)
      this.#decide(half, request.decision, done)
    }
  }

  /** Settles a half message by an operator's word; the same rules as {@link end}, without its group check. */
  resolve(physicalOffset: number, decision: Decision): Promise<Outcome> {
    return new Promise((resolve) => {
      const half = this.#pending.get(physicalOffset)
      if (half === undefined) resolve(this.#settled.find(physicalOffset) ?? 'unknown')
      else this.#decide(half, decision, (outcome) => resolve(outcome))
    })
  }

  /** Those of `transactionIds` with at least one half message that is not settled durably. */
  pendingOf(transactionIds: readonly string[]): string[] {
    const byHash = new Map<number, string[]>()
    for (const id of new Set(transactionIds)) {
      const hash = this.#records.hashOfId(id)
      byHash.set(hash, [...(byHash.get(hash) ?? []), id])
    }
    const found = new Set<string>()
    for (const half of this.#pending.values()) {
      const candidates = byHash.get(half.idHash)
      if (candidates === undefined) continue
      const own = this.#records.describe(half)?.transactionId
      // A half that cannot be read may be any of them: its marker in the database must not be deleted.
      for (const id of candidates) if (own === undefined || own === id) found.add(id)
    }
    return transactionIds.filter((id) => found.delete(id))
  }

  /** Whether the half message at this offset is not settled durably. */
  isPending(physicalOffset: number): boolean {
    return this.#pending.has(physicalOffset)
  }

  /** Oldest first. */
  list(limit = 1000): PendingTransaction[] {
    const listed: PendingTransaction[] = []
    for (const half of this.#pending.values()) {
      if (listed.length >= limit) break
      listed.push(this.#describe(half))
    }
    return listed
  }

  /** The undecided half message at this offset. */
  find(physicalOffset: number): PendingTransaction | undefined {
    const half = this.#pending.get(physicalOffset)
    return half && this.#describe(half)
  }

  outcomeAt(physicalOffset: number): Outcome {
    return this.#pending.has(physicalOffset) ? 'pending' : (this.#settled.find(physicalOffset) ?? 'unknown')
  }

  #describe(half: HalfMessage): PendingTransaction {
    return pendingTransaction(half, this.#records.describe(half), {
      now: this.#clock.now(),
      holdsBack: this.#order?.heldBackBy(half.physicalOffset) ?? 0,
      nextCheckInMs: this.#checkBack.dueInMs(half),
    })
  }

  /** Somebody came online who may answer for this group or domain: what nobody could be asked about is due now. */
  producerOnline(who: { group: string } | { domain: string }): void {
    this.#checkBack.producerOnline(this.#pending.values(), who)
  }

  /** Open half messages by what they wait for, with the age of the oldest; a yield is a place to pause. */
  openHalves(): Generator<undefined, readonly OpenHalves[]> {
    return openHalves(this.#pending.values(), this.#clock.now())
  }

  connectionClosed(connectionId: number): void {
    this.#checkBack.connectionClosed(connectionId)
  }

  /** A client that left its last batched check-back unanswered. */
  isSilent(connectionId: number): boolean {
    return this.#checkBack.isSilent(connectionId)
  }

  /** Rebuilds the table from one record of the log; records come in log order, before {@link start}. */
  replay(record: RecordView, bytes: Buffer): void {
    const source = sourceOf(record.preparedTransactionOffset)
    if (source >= 0) {
      const half = this.#pending.get(source)
      const settlement = settlementOf(record, bytes)
      if (half === undefined || settlement === undefined) return
      half.meet(settlement === 'committed' ? 'commit' : 'rollback')
      half.settledAt = record.storeTimestamp
      half.stored()
    } else if (this.#records.isHalf(record, bytes)) {
      const origin = this.#records.origin(record, bytes)
      if (origin === undefined) return
      const half = new HalfMessage(this, {
        ...origin,
        connectionId: -1,
        firstCheckMs: origin.immunityMs ?? this.#timeoutMs,
      })
      half.physicalOffset = record.physicalOffset
      half.queueOffset = record.queueOffset
      half.size = record.size
      half.storedAt = record.storeTimestamp
      this.#pending.set(half.physicalOffset, half)
    }
  }

  /** Where the pending halves are, and the outcomes of settled ones; a half itself is read from the log again. */
  snapshot(before: number): Buffer[] {
    const pending = [...this.#pending.keys()].filter((physicalOffset) => physicalOffset < before)
    const writer = new SnapshotWriter().number(pending.length).column(Float64Array.from(pending))
    this.#settled.save(writer)
    return writer.finish()
  }

  restore(snapshot: Buffer, first: number, read: (physicalOffset: number) => Buffer | undefined): void {
    const reader = new SnapshotReader(snapshot)
    const view = new RecordView()
    for (const physicalOffset of reader.float64(reader.number())) {
      const record = physicalOffset < first ? undefined : read(physicalOffset)
      if (record !== undefined && view.at(record, 0)) this.replay(view, record)
    }
    this.#settled.load(reader)
  }

  /** After the replay: check-backs begin. */
  start(): void {
    const now = this.#clock.now()
    for (const half of this.#pending.values()) {
      const age = Math.max(0, now - half.storedAt)
      this.#checkBack.add(half, Math.max(0, half.firstCheckMs - age))
    }
    this.#committed = this.#rolledBack = 0
    this.#checkBack.start()
  }

  close(): void {
    this.#checkBack.close()
  }

  /** Physical offset that retention must not pass, Infinity when nothing is pending. */
  earliestPinned(): number {
    for (const physicalOffset of this.#pending.keys()) return physicalOffset
    return Number.POSITIVE_INFINITY
  }

  stats(): TransactionStats {
    let oldest: HalfMessage | undefined
    for (const half of this.#pending.values()) {
      oldest = half
      break
    }
    return {
      pending: this.#pending.size,
      committed: this.#committed,
      rolledBack: this.#rolledBack,
      conflicts: this.#conflicts,
      commitsAfterRollback: this.#commitsAfterRollback,
      unknownEnds: this.#unknownEnds,
      foreignEnds: this.#foreignEnds,
      repeatedEnds: this.#repeatedEnds,
      checksSent: this.#checkBack.sent,
      checksAnswered: this.#checkBack.answers,
      checkRequests: this.#checkBack.requests,
      checksNotMine: this.#checkBack.notMine,
      checksUnanswered: this.#checkBack.lost,
      checksUnanswerable: this.#checkBack.unanswerable,
      oldestPendingMs: oldest === undefined ? 0 : Math.max(0, this.#clock.now() - oldest.storedAt),
    }
  }

  settled(half: HalfMessage): void {
    const committed = half.state === 'committed'
    if (committed) this.#committed++
    else this.#rolledBack++
    this.#pending.delete(half.physicalOffset)
    this.#settled.add(half.physicalOffset, committed, half.settledAt)
  }

  /** The half stays in the table, unasked: after a failed write nothing is accepted before the restart anyway. */
  inDoubt(_half: HalfMessage): void {}

  #decide(half: HalfMessage, decision: Decision, done: EndDone): void {
    const { state } = half
    switch (endAction(state, decision)) {
      case 'settle':
        return this.#settle(half, decision as 'commit' | 'rollback', done)
      case 'join':
        this.#repeatedEnds++
        return half.join(done, false)
      case 'repeat':
        // A check-back that was under way when somebody else settled it.
        this.#repeatedEnds++
        return done(state as 'committed' | 'rolledBack', false)
      case 'refuse':
        this.#countConflict(decision)
        if (state === 'committed' || state === 'rolledBack') return done(state, true)
        return half.join(done, true)
      default:
        return done('pending', false)
    }
  }

  #settle(half: HalfMessage, decision: 'commit' | 'rollback', done: EndDone): void {
    half.decide(decision, done)
    try {
      half.settledAt =
        decision === 'commit'
          ? this.#records.appendCommitted(half)
          : this.#records.appendRollback(half, this.#clock.now())
    } catch (error) {
      half.undecide()
      throw error
    }
    this.#checkBack.forget(half)
  }

  #endSettled(request: EndRequest, done: EndDone): void {
    const outcome = this.#settled.find(request.physicalOffset)
    if (outcome === undefined) {
      this.#unknownEnds++
      return done('unknown', false)
    }
    if (!this.#records.belongs(request.physicalOffset, request.queueOffset, request.group)) {
      this.#foreignEnds++
      return done('unknown', false)
    }
    const conflict = endAction(outcome, request.decision) === 'refuse'
    if (conflict) this.#countConflict(request.decision)
    else this.#repeatedEnds++
    done(outcome, conflict)
  }

  #countConflict(decision: Decision): void {
    this.#conflicts++
    if (decision === 'commit') this.#commitsAfterRollback++
  }
}
