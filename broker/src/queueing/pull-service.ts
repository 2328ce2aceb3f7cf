import { Field, type HeaderView, ResponseCode } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { ConsumeQueue } from '../store/index.ts'
import type { ConsumerGroup, ConsumerGroups } from './consumer-groups.ts'
import type { Offsets } from './offsets.ts'
import { type ParkedPull, ParkedPulls } from './parked-pulls.ts'
import { PullAdmission, queueOf } from './pull-admission.ts'
import { finishFrame, PULL_HEADER_BYTES_MAX, type PullAnswer, writePullHeader } from './pull-reply.ts'
import type { TagFilter } from './subscription.ts'
import type { Topic } from './topic.ts'
import type { Topics } from './topics.ts'

/** remoting.md 2B: limits of one answer, which holds at least one message all the same. */
const MESSAGES_MAX = 32
const BATCH_BYTES_MAX = 262_144
/** Consume queue units looked at per request; a filter that matches little must not hold up everybody else. */
const SCAN_MAX = 800
const PULL_COMMIT = 1
const PULL_SUSPEND = 2

/** What delivery needs of the store. */
export interface RecordReader {
  /** Copies a stored record into `target`; false when retention removed it. */
  readInto(physicalOffset: number, size: number, target: Buffer, at: number): boolean
}

/** Who asks for what: the part of a pull that is the same for an immediate and for a parked answer. */
interface Reader {
  readonly connection: Connection
  readonly opaque: number
  readonly serialization: 0 | 1
  readonly group: ConsumerGroup
  readonly topic: Topic
  readonly queue: ConsumeQueue
  readonly filter: TagFilter
  readonly countMax: number
}

/**
 * PULL_MESSAGE: reads a queue from an offset, or waits at its end for a message that matches (long polling). Answers go from
 * the store straight into the connection's output; header fields are read in place.
 */
export class PullService {
  readonly #admission: PullAdmission
  readonly #offsets: Offsets
  readonly #store: RecordReader
  readonly #parked: ParkedPulls
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
  #messages = 0
  #bytes = 0

  /** @param options.parkedPerConnectionMax pulls one connection may have waiting, default 8192; more are refused as busy */
  constructor(options: {
    clock: Clock
    topics: Topics
    groups: ConsumerGroups
    offsets: Offsets
    store: RecordReader
    parkedPerConnectionMax?: number
  }) {
    this.#admission = new PullAdmission(options)
    this.#offsets = options.offsets
    this.#store = options.store
    this.#parkedPerConnectionMax = options.parkedPerConnectionMax ?? 8192
    this.#parked = new ParkedPulls(options.clock, (pull) => this.#onDeadline(pull))
    options.topics.listeners.push((topic, change) => {
      if (change === 'deleted') this.#refuseParked(topic)
    })
  }

  /**
   * Answers now, or when a matching message becomes visible, at the latest after `suspendTimeoutMillis`.
   * @throws {BrokerError} TOPIC_NOT_EXIST, NO_PERMISSION, INVALID_PARAMETER, SUBSCRIPTION_*, SYSTEM_BUSY
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
    if (suspendMs > 0 && offset === queue.maxOffset && !this.#resetWaits(reader)) this.#park(reader, offset, suspendMs)
    else this.#serve(reader, offset)
  }

  /** New messages of `queue` became visible: called once per queue and flush. */
  onVisible(queue: ConsumeQueue): void {
    if (queue.waiter === undefined) return
    // A copy: an answer may close a slow connection, and that takes its other pulls out of the list.
    for (const pull of waitersOf(queue)) if (pull.isParked) this.#consider(pull)
  }

  /** An offset of the group was reset: its parked pull is told at once. */
  onReset(group: string, queue: ConsumeQueue): void {
    for (const pull of waitersOf(queue)) {
      if (!pull.isParked || pull.group.name !== group) continue
      this.#parked.remove(pull)
      this.#serve(pull, pull.offset)
    }
  }

  connectionClosed(connection: Connection): void {
    this.#parked.removeConnection(connection)
  }

  /** Drops what is parked without an answer; the connections are about to close. */
  close(): void {
    this.#parked.close()
  }

  /** `messages`, `bytes`: handed out since the start. */
  stats(): { parked: number; messages: number; bytes: number } {
    return { parked: this.#parked.count, messages: this.#messages, bytes: this.#bytes }
  }

  #resetWaits({ group, topic, queue }: Reader): boolean {
    return this.#offsets.hasPendingResets && this.#offsets.hasReset(group.name, topic.name, queue.queueId)
  }

  #park(reader: Reader, offset: number, suspendMs: number): void {
    const { connection, opaque, serialization, group, topic, queue, filter, countMax } = reader
    if (this.#parked.countOf(connection) >= this.#parkedPerConnectionMax) {
      throw new BrokerError('SYSTEM_BUSY', `${this.#parkedPerConnectionMax} pulls of this connection wait already`)
    }
    const pull: ParkedPull = {
      connection,
      opaque,
      serialization,
      group,
      topic,
      queue,
      filter,
      countMax,
      offset,
      scannedTo: offset,
      bucket: 0,
      isParked: false,
      nextOfQueue: undefined,
      previousOfQueue: undefined,
      nextOfConnection: undefined,
      previousOfConnection: undefined,
      nextOfBucket: undefined,
      previousOfBucket: undefined,
    }
    this.#parked.park(pull, suspendMs)
    // Parked first, then looked again: a message that becomes visible in between finds the pull or is found here.
    if (queue.maxOffset > offset) this.#consider(pull)
  }

  /** Answers a parked pull when a message after what it has seen matches. */
  #consider(pull: ParkedPull): void {
    const { queue, filter } = pull
    const end = queue.maxOffset
    let at = pull.scannedTo
    while (at < end && (queue.size(at) === 0 || !filter.matches(queue.tagsCode(at)))) at++
    pull.scannedTo = at
    if (at === end) return
    this.#parked.remove(pull)
    this.#serve(pull, at)
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
    for (; at < end && count < countMax; at++) {
      const size = queue.size(at)
      if (size === 0 || !filter.matches(queue.tagsCode(at))) continue
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
    let at = writePullHeader(connection, start, reader.opaque, reader.serialization, answer)
    for (let unit = 0; unit < count; unit++) {
      const size = this.#unitSizes[unit] as number
      if (!this.#store.readInto(this.#unitPlaces[unit] as number, size, connection.output, at)) {
        return this.#replyWithout(reader, unit)
      }
      at += size
    }
    this.#messages += count
    this.#bytes += bytes
    finishFrame(connection, start, at)
  }

  /** Retention overtook the reader at `unit`: answers what is before it, or sends the reader on. Nothing was committed yet. */
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

function waitersOf(queue: ConsumeQueue): ParkedPull[] {
  const pulls: ParkedPull[] = []
  for (let pull = queue.waiter as ParkedPull | undefined; pull !== undefined; pull = pull.nextOfQueue) pulls.push(pull)
  return pulls
}
