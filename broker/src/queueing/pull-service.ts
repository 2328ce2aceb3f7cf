import { errorTable, Field, type HeaderView, ResponseCode, TandemError } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { ConsumeQueue } from '../store/index.ts'
import { Deliveries } from '../traffic.ts'
import type { ConsumerGroups } from './consumer-groups.ts'
import type { Offsets } from './offsets.ts'
import { type ParkedPull, ParkedPulls, parkedPull, type Reader, SUSPEND_MS_MAX, waitersOf } from './parked-pulls.ts'
import { PullAdmission, queueOf } from './pull-admission.ts'
import { finishFrame, PULL_HEADER_BYTES_MAX, type PullAnswer, writePullHeader } from './pull-reply.ts'
import type { RecordReader } from './record-reader.ts'
import { storedAt } from './stored-at.ts'
import { type SqlExpressions, SqlMatcher } from './sql/index.ts'
import type { Topic } from './topic.ts'
import type { Topics } from './topics.ts'

/**
 * Limits of one answer, which holds at least one message all the same: bytes as remoting.md 2B, but as many messages as were asked
 * for. Stock clients ask for 32.
 */
const MESSAGES_MAX = 512
const BATCH_BYTES_MAX = 262_144
/** Consume queue units looked at per request; a filter that matches little must not hold up everybody else. */
const SCAN_MAX = 800
const PULL_COMMIT = 1
const PULL_SUSPEND = 2

/**
 * PULL_MESSAGE: reads a queue from an offset, or waits at its end for a message that matches (long polling). Answers go from
 * the store straight into the connection's output; header fields are read in place.
 */
export class PullService {
  readonly #admission: PullAdmission
  readonly #offsets: Offsets
  readonly #store: RecordReader
  readonly #parked: ParkedPulls
  readonly #sql: SqlMatcher
  /** Parked pulls whose filter comes first in the next turn. */
  #awaitingTurn: ParkedPull[] = []
  readonly #parkedPerConnectionMax: number
  readonly #answer: PullAnswer = {
    code: 0,
    nextBeginOffset: 0,
    minOffset: 0,
    maxOffset: 0,
    topicSysFlag: 0,
    groupSysFlag: 0,
  }
  /** The units of the answer at hand. */
  readonly #unitOffsets = new Float64Array(MESSAGES_MAX)
  readonly #unitPlaces = new Float64Array(MESSAGES_MAX)
  readonly #unitSizes = new Float64Array(MESSAGES_MAX)
  readonly #clock: Clock
  readonly #deliveries: Deliveries
  #messages = 0
  #bytes = 0

  /**
   * @param options.deliveries where what is handed out is counted
   * @param options.parkedPerConnectionMax pulls one connection may have waiting, default 8192; more are refused as busy
   */
  constructor(options: {
    clock: Clock
    topics: Topics
    groups: ConsumerGroups
    offsets: Offsets
    store: RecordReader
    sql: SqlExpressions
    deliveries?: Deliveries | undefined
    parkedPerConnectionMax?: number
  }) {
    this.#admission = new PullAdmission(options)
    this.#offsets = options.offsets
    this.#store = options.store
    this.#clock = options.clock
    this.#deliveries = options.deliveries ?? new Deliveries()
    this.#sql = new SqlMatcher({ clock: options.clock, store: options.store, onTurn: () => this.#onTurn() })
    this.#parkedPerConnectionMax = options.parkedPerConnectionMax ?? 8192
    this.#parked = new ParkedPulls(options.clock, (pull) => this.#onDeadline(pull))
    options.topics.listeners.push((topic, change) => {
      if (change === 'deleted') this.#refuseParked(topic)
    })
  }

  /**
   * Answers now, or when a matching message becomes visible, at the latest after `suspendTimeoutMillis`.
   * @throws {BrokerError} TOPIC_NOT_EXIST, NO_PERMISSION, INVALID_PARAMETER, SUBSCRIPTION_*, FILTER_DISABLED, SYSTEM_BUSY
   * @throws {ProtocolError} FIELD_MISSING, FIELD_INVALID
   */
  pull(connection: Connection, header: HeaderView): void {
    if (header.isOneway) return
    const sysFlag = header.requireInteger(Field.sysFlag)
    const topic = this.#admission.topicOf(header)
    const queue = queueOf(topic, header.requireInteger(Field.queueId))
    const group = this.#admission.groupOf(header, sysFlag)
    const filter = this.#admission.filterOf(connection, header, sysFlag, group, topic)
    if ((sysFlag & PULL_COMMIT) !== 0) {
      const commitOffset = header.requireLong(Field.commitOffset)
      this.#offsets.commit(group.name, topic.name, queue.queueId, commitOffset, queue)
    }
    const offset = header.longClamped(header.requireField(Field.queueOffset))
    const asked = header.requireInteger(Field.maxMsgNums)
    const countMax = asked < 1 ? 1 : asked > MESSAGES_MAX ? MESSAGES_MAX : asked
    const { opaque, serialization } = header
    const reader: Reader = { connection, opaque, serialization, group, topic, queue, filter, countMax }
    const suspendMs =
      (sysFlag & PULL_SUSPEND) === 0 ? 0 : header.longClamped(header.requireField(Field.suspendTimeoutMillis))
    if (suspendMs > 0 && offset === queue.maxOffset && !this.#resetWaits(reader, offset)) {
      const pull = this.#park(reader, offset, suspendMs, true)
      // Parked first, then looked again: a message that becomes visible in between finds the pull or is found here.
      if (queue.maxOffset > offset) this.#consider(pull)
    } else if (filter.kind === 'sql' && this.#sql.isTurnSpent) {
      this.#awaitTurn(this.#park(reader, offset, SUSPEND_MS_MAX, false))
    } else this.#serve(reader, offset)
  }

  /** New messages of `queue` became visible: called once per queue and flush. */
  onVisible(queue: ConsumeQueue): void {
    if (queue.waiter === undefined) return
    // A copy: an answer may close a slow connection, and that takes its other pulls out of the list.
    for (const pull of waitersOf(queue)) if (pull.isParked && pull.awaitsMessage) this.#attempt(pull)
  }

  /** An offset of the group was reset: its parked pull is told at once. */
  onReset(group: string, queue: ConsumeQueue): void {
    for (const pull of waitersOf(queue)) {
      if (pull.isParked && pull.group.name === group) this.#serveParked(pull, pull.offset)
    }
  }

  connectionClosed(connection: Connection): void {
    this.#parked.removeConnection(connection)
  }

  /** Drops what is parked without an answer; the connections are about to close. */
  close(): void {
    this.#parked.close()
  }

  /** `messages`, `bytes`: handed out since the start; `sql`: what the filters did, see {@link SqlMatcher.stats}. */
  stats(): { parked: number; messages: number; bytes: number; sql: ReturnType<SqlMatcher['stats']> } {
    return { parked: this.#parked.count, messages: this.#messages, bytes: this.#bytes, sql: this.#sql.stats() }
  }

  #resetWaits({ group, topic, queue }: Reader, offset: number): boolean {
    if (!this.#offsets.hasPendingResets) return false
    this.#offsets.noteWaiting(group.name, topic.name, queue.queueId, offset)
    return this.#offsets.hasReset(group.name, topic.name, queue.queueId)
  }

  #park(reader: Reader, offset: number, suspendMs: number, awaitsMessage: boolean): ParkedPull {
    if (this.#parked.countOf(reader.connection) >= this.#parkedPerConnectionMax) {
      throw new BrokerError('SYSTEM_BUSY', `${this.#parkedPerConnectionMax} pulls of this connection wait already`)
    }
    const pull = parkedPull(reader, offset, awaitsMessage)
    this.#parked.park(pull, suspendMs)
    return pull
  }

  #awaitTurn(pull: ParkedPull): void {
    if (pull.awaitsTurn) return
    pull.awaitsTurn = true
    this.#awaitingTurn.push(pull)
  }

  #onTurn(): void {
    const pulls = this.#awaitingTurn
    this.#awaitingTurn = []
    for (const pull of pulls) {
      pull.awaitsTurn = false
      if (!pull.isParked) continue
      if (this.#sql.isTurnSpent) this.#awaitTurn(pull)
      else this.#attempt(pull)
    }
  }

  /** What throws outside its request is answered here; nobody else would. */
  #attempt(pull: ParkedPull): void {
    try {
      if (pull.awaitsMessage) this.#consider(pull)
      else this.#serveParked(pull, pull.offset)
    } catch (error) {
      this.#parked.remove(pull)
      if (!pull.connection.isOpen) return
      const remote = error instanceof TandemError ? errorTable[error.code].remote : undefined
      const remark = error instanceof Error ? error.message : String(error)
      pull.connection.reply(pull, { code: remote ?? ResponseCode.SYSTEM_ERROR, remark })
    }
  }

  #serveParked(pull: ParkedPull, offset: number): void {
    this.#parked.remove(pull)
    this.#serve(pull, offset)
  }

  /** Answers a parked pull when a message after what it has seen matches. */
  #consider(pull: ParkedPull): void {
    const { queue, filter } = pull
    const end = queue.maxOffset
    let at = pull.scannedTo
    if (filter.kind === 'tag') {
      while (at < end && (queue.size(at) === 0 || !filter.matches(queue.tagsCode(at)))) at++
      pull.scannedTo = at
      if (at < end) this.#serveParked(pull, at)
      return
    }
    for (; at < end && !this.#sql.isTurnSpent; at++) {
      if (this.#sql.matches(filter, queue, at)) return this.#serveParked(pull, at)
    }
    pull.scannedTo = at
    if (at < end) this.#awaitTurn(pull)
  }

  #onDeadline(pull: ParkedPull): void {
    // What was skipped while waiting is reported, so that the client does not read it again.
    if (pull.scannedTo > pull.offset) this.#reply(pull, ResponseCode.PULL_RETRY_IMMEDIATELY, pull.scannedTo, 0)
    else this.#reply(pull, ResponseCode.PULL_NOT_FOUND, pull.offset, 0)
  }

  /** Answers from `offset`, whatever is there (remoting.md 2B, table of outcomes). */
  #serve(reader: Reader, offset: number): void {
    const { queue, group, topic, filter, countMax } = reader
    if (this.#offsets.hasPendingResets) {
      const target = this.#offsets.takeReset(group.name, topic.name, queue.queueId, offset)
      if (target >= 0) return this.#reply(reader, ResponseCode.PULL_OFFSET_MOVED, target, 0)
    }
    const { minOffset, maxOffset } = queue
    if (offset < minOffset) return this.#reply(reader, ResponseCode.PULL_OFFSET_MOVED, minOffset, 0)
    if (offset > maxOffset) return this.#reply(reader, ResponseCode.PULL_OFFSET_MOVED, maxOffset, 0)
    if (offset === maxOffset) return this.#reply(reader, ResponseCode.PULL_NOT_FOUND, offset, 0)
    const end = Math.min(maxOffset, offset + SCAN_MAX)
    let count = 0
    let bytes = 0
    let at = offset
    let isSpent = false
    if (filter.kind === 'sql') this.#sql.begin()
    for (; at < end && count < countMax && !isSpent; at++) {
      const size = queue.size(at)
      if (size === 0) continue
      if (filter.kind === 'tag') {
        if (!filter.matches(queue.tagsCode(at))) continue
      } else {
        try {
          if (!this.#sql.matches(filter, queue, at)) continue
        } catch (error) {
          // Damaged: what stands before it is answered first.
          if (count === 0) throw error
          break
        } finally {
          isSpent = this.#sql.isRequestSpent
        }
      }
      if (count > 0 && bytes + size > BATCH_BYTES_MAX) break
      this.#unitOffsets[count] = at
      this.#unitPlaces[count] = queue.physicalOffset(at)
      this.#unitSizes[count] = size
      count++
      bytes += size
    }
    this.#reply(reader, count === 0 ? ResponseCode.PULL_RETRY_IMMEDIATELY : ResponseCode.SUCCESS, at, count)
  }

  #reply(reader: Reader, code: number, nextBeginOffset: number, count: number): void {
    const { connection, queue } = reader
    if (!connection.isOpen) return
    const answer = this.#answer
    answer.code = code
    answer.nextBeginOffset = nextBeginOffset
    answer.minOffset = queue.minOffset
    answer.maxOffset = queue.maxOffset
    answer.topicSysFlag = reader.topic.sysFlag
    answer.groupSysFlag = reader.group.config.groupSysFlag
    let bytes = 0
    for (let unit = 0; unit < count; unit++) bytes += this.#unitSizes[unit] as number
    const start = connection.reserve(PULL_HEADER_BYTES_MAX + bytes)
    const first = writePullHeader(connection, start, reader.opaque, reader.serialization, answer)
    let at = first
    for (let unit = 0; unit < count; unit++) {
      const size = this.#unitSizes[unit] as number
      if (!this.#readUnit(unit, connection.output, at)) return this.#replyWithout(reader, unit)
      at += size
    }
    this.#messages += count
    this.#bytes += bytes
    if (count > 0) this.#deliveries.age.observe(this.#clock.now() - storedAt(connection.output, first))
    this.#deliveries.count(reader.group.delivered, reader.topic.name, count, bytes)
    finishFrame(connection, start, at)
  }

  /** @returns false when the record is gone, or damaged behind others: those are answered first, and the next pull throws */
  #readUnit(unit: number, target: Buffer, at: number): boolean {
    try {
      return this.#store.readInto(this.#unitPlaces[unit] as number, this.#unitSizes[unit] as number, target, at)
    } catch (error) {
      if (unit === 0) throw error
      return false
    }
  }

  /** Retention or damage met the reader at `unit`: answers what is before it, or sends the reader on. Nothing was committed yet. */
  #replyWithout(reader: Reader, unit: number): void {
    const offset = this.#unitOffsets[unit] as number
    if (unit > 0) this.#reply(reader, ResponseCode.SUCCESS, offset, unit)
    else this.#reply(reader, ResponseCode.PULL_RETRY_IMMEDIATELY, Math.max(offset + 1, reader.queue.minOffset), 0)
  }

  #refuseParked(topic: Topic): void {
    for (const queue of topic.queues) {
      for (const pull of waitersOf(queue)) {
        this.#parked.remove(pull)
        if (!pull.connection.isOpen) continue
        pull.connection.reply(pull, { code: ResponseCode.TOPIC_NOT_EXIST, remark: `topic ${topic.name} was deleted` })
      }
    }
  }
}
