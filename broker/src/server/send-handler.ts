import {
  emptyRecordFields,
  groupNameProblem,
  type HeaderView,
  hostBytes,
  recordSize,
  RequestCode,
  SysFlag,
  topicNameProblem,
} from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import { BrokerError, BusyError } from '../broker-error.ts'
import type { DedupWindow } from '../dedup/index.ts'
import type { DelayService } from '../delay/index.ts'
import { recallHandle } from '../delay/index.ts'
import type { Topic, Topics } from '../queueing/index.ts'
import type { RetryService } from '../retry/index.ts'
import type { MessageStore } from '../store/index.ts'
import type { GroupOrder, TransactionService } from '../transaction/index.ts'
import { DrainRate } from '../flow-control.ts'
import { IndexEntry } from '../index-entry.ts'
import { describeMessage } from '../index-key.ts'
import type { Measurements } from '../measurements.ts'
import type { Traffic } from '../traffic.ts'
import { FirstMessage } from './first-message.ts'
import type { Handler } from './handler.ts'
import type { MessageProperties } from './message-properties.ts'
import { priorityOf } from './priority.ts'
import { integerOr, indexOf, requiredIndex, SendFields } from './send-fields.ts'
import { SendReply, SendReplyTemplate } from './send-reply.ts'

const PERM_WRITE = 2
const TRUE_FIRST = 't'.charCodeAt(0)
const RETRY_PREFIX = '%RETRY%'
/** 1 for bytes that do not stand for themselves in a JSON string, or are not ASCII. */
const UNUSUAL = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c ? 1 : 0,
)

export interface SendHandlerOptions {
  clock: Clock
  store: MessageStore
  topics: Topics
  delay: DelayService
  transactions: TransactionService
  order: GroupOrder
  dedup: DedupWindow
  retry: RetryService
  /** Everything accepted. */
  put: Traffic
  measured: Measurements
  /** True while the group consumes in order. */
  isOrdered: (group: string) => boolean
  properties: MessageProperties
  /** Largest body; may be changed at any time. */
  messageBytesMax: number
  brokerName: string
  /** Bytes appended but not yet durable above which sends are refused; the disk is behind. */
  inFlightBytesMax: number
  /** Asks for `commitTurn` at the end of this turn. */
  requestCommit: () => void
}

/** SEND_MESSAGE and SEND_MESSAGE_V2: admission, dedup, then one of four ways into the log. */
export class SendHandler {
  readonly options: SendHandlerOptions
  readonly #templates = new Map<Connection, SendReplyTemplate>()
  readonly first: FirstMessage
  readonly #drain: DrainRate
  #lastConnection: Connection | undefined
  #lastTemplate: SendReplyTemplate | undefined
  readonly fields = emptyRecordFields()
  readonly #entry = new IndexEntry()

  constructor(options: SendHandlerOptions) {
    this.options = options
    this.first = new FirstMessage(options)
    this.#drain = new DrainRate(options.clock, () => options.store.durableOffset)
  }

  handlers(): Map<number, Handler> {
    const send: Handler = (connection, header) => this.#send(connection, header)
    return new Map([
      [RequestCode.SEND_MESSAGE, send],
      [RequestCode.SEND_MESSAGE_V2, send],
    ])
  }

  connectionClosed(connection: Connection): void {
    this.#templates.delete(connection)
    if (this.#lastConnection === connection) this.#lastConnection = this.#lastTemplate = undefined
  }

  #send(connection: Connection, header: HeaderView): void {
    const topic = this.topicOf(header)
    this.admit(header.bodyEnd - header.bodyStart, topic)
    const { dedup, properties, requestCommit, store } = this.options
    properties.fromHeader(header, indexOf(header, SendFields.properties))
    this.readFields(connection, header, topic)
    const reply = header.isOneway
      ? undefined
      : new SendReply(connection, this.templateOf(connection), store, header.opaque, header.serialization)
    if (topic.name.startsWith(RETRY_PREFIX)) this.#appendRetry(header, topic, reply)
    else if (!this.#answeredBefore(topic, reply)) {
      if (properties.scan.dedupKeyStart >= 0 && topic.dedupWindowMs !== 0) dedup.admit(1)
      if (this.#isHalf()) this.#appendHalf(header, connection, topic, reply)
      else this.append(topic, reply)
      this.remember()
    }
    requestCommit()
  }

  /** @throws {BrokerError} TOPIC_NAME_INVALID, TOPIC_NOT_EXIST, NO_PERMISSION */
  topicOf(header: HeaderView): Topic {
    const at = requiredIndex(header, SendFields.topic)
    let topic = header.valueEscaped(at)
      ? undefined
      : this.options.topics.intern(header.valueBytes(at), header.valueStart(at), header.valueEnd(at))
    if (topic === undefined) {
      const name = header.text(at)
      const problem = topicNameProblem(name)
      if (problem !== undefined) throw new BrokerError('TOPIC_NAME_INVALID', problem)
      const defaultAt = indexOf(header, SendFields.defaultTopic)
      const defaultTopic = defaultAt < 0 ? '' : header.text(defaultAt)
      topic = this.options.topics.forSend(name, defaultTopic, integerOr(header, SendFields.defaultQueues, 0))
    }
    if (topic.system) throw new BrokerError('NO_PERMISSION', `the topic ${topic.name} is the broker's own`)
    if ((topic.perm & PERM_WRITE) === 0)
      throw new BrokerError('NO_PERMISSION', `the topic ${topic.name} is not writable`)
    return topic
  }

  admit(bytes: number, topic: Topic): void {
    const { messageBytesMax, inFlightBytesMax, store } = this.options
    if (bytes === 0) throw new BrokerError('MESSAGE_ILLEGAL', `a message to ${topic.name} has no body`)
    if (bytes > messageBytesMax) {
      throw new BrokerError('MESSAGE_TOO_LARGE', `the body has ${bytes} bytes, at most ${messageBytesMax} are allowed`)
    }
    if (store.unsafeBytes > inFlightBytesMax) {
      const retryAfterMs = this.#drain.retryAfterMs(store.unsafeBytes - inFlightBytesMax / 2)
      throw new BusyError(`[OVERLOAD] ${store.unsafeBytes} bytes wait for the disk`, retryAfterMs)
    }
  }

  templateOf(connection: Connection): SendReplyTemplate {
    if (this.#lastConnection === connection && this.#lastTemplate !== undefined) return this.#lastTemplate
    let template = this.#templates.get(connection)
    if (template === undefined) {
      const storeHost = hostBytes(connection.localAddress, connection.localPort)
      template = new SendReplyTemplate(storeHost, this.options.measured)
      this.#templates.set(connection, template)
    }
    this.#lastConnection = connection
    this.#lastTemplate = template
    return template
  }

  /** A repeat within the window is answered like the first one, once that one is safe. */
  #answeredBefore(topic: Topic, reply: SendReply | undefined): boolean {
    if (!this.findFirst(topic)) return false
    if (reply === undefined) return true
    this.first.fill(reply, topic.name, this.key())
    this.options.store.whenSafe(this.first.physicalOffset, reply)
    return true
  }

  /** Whether the message at hand, all of it in `fields`, repeats an earlier one within the window: then that is `first`. */
  findFirst(topic: Topic): boolean {
    const { dedup, properties } = this.options
    const { bytes, scan } = properties
    const at =
      scan.dedupKeyStart >= 0
        ? dedup.find(topic, bytes, scan.dedupKeyStart, scan.dedupKeyEnd, true)
        : dedup.find(topic, bytes, scan.uniqKeyStart, scan.uniqKeyEnd, false)
    if (at < 0 || !this.first.load(at)) return false
    if (this.first.differsFrom(this.fields)) dedup.countConflict()
    return true
  }

  /** Unique key of the message at hand. */
  key(): string {
    const { bytes, scan } = this.options.properties
    return bytes.toString('utf8', scan.uniqKeyStart, scan.uniqKeyEnd)
  }

  /** Enters the message just appended, for which `findFirst` found nothing, into the dedup window. */
  remember(): void {
    this.options.dedup.add(this.fields.physicalOffset, this.fields.storeTimestamp)
  }

  /** Everything of the record but its place: header numbers, hosts, body and properties as ranges. */
  readFields(connection: Connection, header: HeaderView, topic: Topic): void {
    const fields = this.fields
    fields.topic = topic.nameBytes
    fields.queueId = queueOf(topic, header.integer(requiredIndex(header, SendFields.queueId)))
    fields.sysFlag = header.integer(requiredIndex(header, SendFields.sysFlag)) & ~SysFlag.TRANSACTION_MASK
    fields.bornTimestamp = header.long(requiredIndex(header, SendFields.bornTimestamp))
    fields.flag = header.integer(requiredIndex(header, SendFields.flag))
    fields.reconsumeTimes = integerOr(header, SendFields.reconsumeTimes, 0)
    fields.bornHost = connection.remoteHost
    fields.storeHost = this.templateOf(connection).storeHost
    fields.preparedTransactionOffset = 0
    fields.body = header.bytes
    fields.bodyStart = header.bodyStart
    fields.bodyEnd = header.bodyEnd
    this.takeProperties()
    const priority = priorityOf(this.options.properties.scan, topic.isPriority)
    if (priority >= 0) fields.queueId = Math.min(priority, topic.writeQueues - 1)
  }

  #count(topic: Topic, bytes: number): void {
    topic.put.count(1, bytes)
    this.options.put.count(1, bytes)
  }

  takeProperties(): void {
    this.fields.properties = this.options.properties.bytes
    this.fields.propertiesStart = 0
    this.fields.propertiesEnd = this.options.properties.end
  }

  /** Straight into its queue, parked when it is delayed, held when it must not overtake a transaction. */
  append(topic: Topic, reply: SendReply | undefined): void {
    const { delay, order, store, brokerName } = this.options
    const { bytes, scan } = this.options.properties
    const fields = this.fields
    const deliverAt = delay.deliverAt(scan, bytes)
    if (deliverAt > 0) {
      const key = this.key()
      const size = recordSize(fields)
      delay.append(fields, deliverAt, reply)
      this.#count(topic, size)
      this.#place(reply, key)
      if (reply !== undefined) reply.recallHandle = recallHandle(topic.name, brokerName, deliverAt, key)
      return
    }
    if (order.isActive && order.holds(topic.name, scan)) return this.#hold(topic, reply)
    describeMessage(this.#entry, fields.topic, 0, fields.topic.length, scan)
    const { queueId } = fields
    const queue = queueId < topic.readQueues ? topic.queues[queueId] : this.options.topics.reopen(topic, queueId)
    store.append(queue ?? store.queue(topic.name, queueId), fields, this.#entry, reply)
    const size = recordSize(fields)
    this.#count(topic, size)
    if (reply === undefined) return
    this.#place(reply, undefined)
    const propertiesAt = fields.physicalOffset + size - (fields.propertiesEnd - fields.propertiesStart)
    reply.keyAt = propertiesAt + scan.uniqKeyStart
    reply.keyBytes = scan.uniqKeyEnd - scan.uniqKeyStart
  }

  #hold(topic: Topic, reply: SendReply | undefined): void {
    const key = this.key()
    const size = recordSize(this.fields)
    this.options.order.append(this.fields, reply)
    this.#count(topic, size)
    this.#place(reply, key)
  }

  #isHalf(): boolean {
    const { bytes, scan } = this.options.properties
    return (
      scan.tranMsgStart >= 0 && bytes[scan.tranMsgStart] === TRUE_FIRST && scan.tranMsgEnd - scan.tranMsgStart === 4
    )
  }

  #appendHalf(header: HeaderView, connection: Connection, topic: Topic, reply: SendReply | undefined): void {
    const group = header.text(requiredIndex(header, SendFields.group))
    const problem = groupNameProblem(group)
    if (problem !== undefined) throw new BrokerError('GROUP_NAME_INVALID', problem)
    const { scan } = this.options.properties
    const key = this.key()
    const bytes = recordSize(this.fields)
    this.options.transactions.appendHalf(this.fields, scan, group, connection.id, reply)
    this.#count(topic, bytes)
    this.#place(reply, key)
  }

  /** A consumer whose send-back failed sends its retry as an ordinary message (remoting.md 4.9). */
  #appendRetry(header: HeaderView, topic: Topic, reply: SendReply | undefined): void {
    const group = topic.name.slice(RETRY_PREFIX.length)
    const attemptsMax = integerOr(header, SendFields.maxReconsumeTimes, -1)
    // In order, a consumer sends only what has used up its attempts; before 5.2 without counting the last one.
    const limit = this.options.isOrdered(group) ? attemptsMax - 1 : attemptsMax
    const target = this.options.retry.redirectRetrySend(
      this.fields,
      this.options.properties.scan,
      group,
      attemptsMax < 0 ? undefined : limit,
    )
    if (target === undefined) return this.append(topic, reply)
    const deadLetters = this.options.topics.ensureInternal(target, 1)
    // The record must name the queue it is put into: recovery has nothing else to go by.
    this.fields.topic = deadLetters.nameBytes
    this.append(deadLetters, reply)
  }

  #place(reply: SendReply | undefined, key: string | undefined): void {
    if (reply === undefined) return
    reply.queueId = this.fields.queueId
    reply.queueOffset = this.fields.queueOffset
    reply.physicalOffset = this.fields.physicalOffset
    reply.key = key
    reply.isKeyPlain = this.#isKeyPlain()
  }

  #isKeyPlain(): boolean {
    const { bytes, scan } = this.options.properties
    const end = scan.uniqKeyEnd
    let unusual = 0
    for (let at = scan.uniqKeyStart; at < end; at++) unusual |= UNUSUAL[bytes[at] as number] as number
    return unusual === 0
  }
}

function queueOf(topic: Topic, asked: number): number {
  if (asked < 0) {
    topic.nextQueue = (topic.nextQueue + 1) % topic.writeQueues
    return topic.nextQueue
  }
  if (asked >= Math.max(topic.writeQueues, topic.readQueues)) {
    throw new BrokerError(
      'INVALID_PARAMETER',
      `queue ${asked} of ${topic.name} does not exist, it has ${topic.writeQueues}`,
    )
  }
  return asked
}
