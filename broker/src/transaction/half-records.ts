import { PropertyName, type RecordFields, type RecordView, SysFlag, SystemTopic, TandemError } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import type { LogWriter } from '../log-writer.ts'
import type { NameCache } from '../name-cache.ts'
import { OpRecords, topicIs } from '../op-record.ts'
import { decimalAt, propertyHead, PropertyRewriter } from '../property-rewriter.ts'
import { RecordCopy } from '../record-copy.ts'
import { sourceMark } from '../settles.ts'
import type { GroupOrder } from './group-order/index.ts'
import type { HalfMessage } from './half-message.ts'

const PROPERTY_END = 0x02
const HALF_TOPIC = Buffer.from(SystemTopic.HALF)
const { REAL_TOPIC, REAL_QID, PGROUP, UNIQ_KEY, KEYS } = PropertyName
const TRANSACTION_ID = PropertyName.TRANSACTION_ID
const IMMUNITY = PropertyName.CHECK_IMMUNITY_TIME_IN_SECONDS
const CHECK_TIMES = PropertyName.TRANSACTION_CHECK_TIMES
const PREPARED_QUEUE_OFFSET = PropertyName.TRAN_PREPARED_QUEUE_OFFSET

const realTopicHead = propertyHead(REAL_TOPIC)
const realQueueHead = propertyHead(REAL_QID)
const groupHead = propertyHead(PGROUP)

/**
 * Of the broker alone: what a producer writes under these names is dropped. TRAN_MSG stays, also on the committed message: a
 * Java consumer fills getTransactionId() from it.
 */
const BROKERS_OWN = [REAL_TOPIC, REAL_QID, CHECK_TIMES, PREPARED_QUEUE_OFFSET]
const DELAYS = [
  PropertyName.DELAY,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELIVER_MS,
]
const NOTED = [PGROUP, TRANSACTION_ID, UNIQ_KEY, IMMUNITY, KEYS, PropertyName.TANDEM_DOMAIN, ...DELAYS]
/** Places of the noted properties in the rewriter. */
const AT = {
  topic: 0,
  queue: 1,
  group: 4,
  transactionId: 5,
  uniqKey: 6,
  immunity: 7,
  keys: 8,
  domain: 9,
  firstDelay: 10,
}

/** Half records in the log: how a message becomes one, what one says, and what is written when it is settled. */
export class HalfRecords {
  readonly #log: LogWriter
  readonly #names: NameCache
  readonly #ops: OpRecords
  readonly #order: GroupOrder | undefined
  readonly #copy = new RecordCopy()
  readonly #parking = new PropertyRewriter({ drop: BROKERS_OWN, note: NOTED })
  #scratch = Buffer.allocUnsafe(8_192)
  /** Of the message handled last: CHECK_IMMUNITY_TIME_IN_SECONDS in ms, hash of the transaction id, has it a delay, domain. */
  immunityMs: number | undefined
  idHash = 0
  delayed = false
  domain: string | undefined

  constructor(log: LogWriter, names: NameCache, order?: GroupOrder) {
    this.#log = log
    this.#names = names
    this.#order = order
    this.#ops = new OpRecords(log)
  }

  /**
   * Turns the message in `fields` into its half record. The destination stands at the end of the properties, so that a
   * commit has nothing to do but leave it off.
   * @param group written as PGROUP when the message has none
   */
  park(fields: RecordFields, group: string | undefined): void {
    const rewriter = this.#parking
    rewriter.load(fields.properties, fields.propertiesStart, fields.propertiesEnd)
    this.#note(fields.properties)
    if (group !== undefined) rewriter.putText(groupHead, group)
    rewriter.put(realTopicHead, fields.topic, 0, fields.topic.length)
    rewriter.putNumber(realQueueHead, fields.queueId)
    rewriter.verifySize()
    fields.topic = HALF_TOPIC
    fields.queueId = 0
    fields.sysFlag &= ~SysFlag.TRANSACTION_MASK
    fields.preparedTransactionOffset = 0
    fields.properties = rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = rewriter.end
  }

  isHalf(record: RecordView, bytes: Buffer): boolean {
    return topicIs(record, bytes, HALF_TOPIC)
  }

  /** What the table keeps of a stored half; undefined when it names no destination (not written by this broker). */
  origin(
    record: RecordView,
    bytes: Buffer,
  ):
    | (Pick<HalfMessage, 'group' | 'topic' | 'queueId' | 'domain' | 'delayed' | 'idHash'> & {
        immunityMs: number | undefined
      })
    | undefined {
    const { starts, ends } = this.#parking
    this.#parking.load(bytes, record.propertiesStart, record.propertiesEnd)
    this.#note(bytes)
    const queueId = decimalAt(bytes, starts[AT.queue] as number, ends[AT.queue] as number)
    if ((starts[AT.topic] as number) < 0 || Number.isNaN(queueId)) return undefined
    const textOf = (at: number): string =>
      (starts[at] as number) < 0 ? '' : this.#names.text(bytes, starts[at] as number, ends[at] as number)
    return {
      group: textOf(AT.group),
      topic: textOf(AT.topic),
      queueId,
      domain: this.domain,
      delayed: this.delayed,
      idHash: this.idHash,
      immunityMs: this.immunityMs,
    }
  }

  /**
   * Appends the real message.
   * @returns its store time
   * @throws {BrokerError} SYSTEM_ERROR when the half record is gone from the log
   */
  appendCommitted(half: HalfMessage): number {
    if (half.size > this.#scratch.length) this.#scratch = Buffer.allocUnsafe(2 * half.size)
    const record = this.#scratch
    if (!this.#log.readInto(half.physicalOffset, half.size, record, 0)) {
      throw new BrokerError('SYSTEM_ERROR', `the half message at ${half.physicalOffset} is no longer in the log`)
    }
    const { fields } = this.#copy
    this.#copy.load(record)
    fields.propertiesEnd = destinationAt(record, fields.propertiesStart, fields.propertiesEnd)
    fields.sysFlag = (fields.sysFlag & ~SysFlag.TRANSACTION_MASK) | SysFlag.TRANSACTION_COMMIT
    fields.preparedTransactionOffset = sourceMark(half.physicalOffset)
    const order = this.#order
    if (half.delayed) this.#log.publish(half.topic, half.queueId, fields, half)
    else if (order?.mustWait(half.physicalOffset)) {
      fields.queueId = half.queueId
      order.hold(half.physicalOffset, fields, half)
    } else {
      this.#log.append(half.topic, half.queueId, fields, half)
      order?.settled(half.physicalOffset, fields.physicalOffset)
    }
    return fields.storeTimestamp
  }

  /** @returns store time of the op record */
  appendRollback(half: HalfMessage, now: number): number {
    const storedAt = this.#ops.append(half.physicalOffset, now, half)
    this.#order?.settled(half.physicalOffset, this.#ops.physicalOffset)
    return storedAt
  }

  /** Whether the record at `physicalOffset` is the half message of `group` at `queueOffset`. */
  belongs(physicalOffset: number, queueOffset: number, group: string): boolean {
    const record = this.#log.read(physicalOffset)
    if (record === undefined) return false
    const { view } = this.#copy
    view.at(record, 0)
    return view.queueOffset === queueOffset && this.isHalf(view, record) && this.origin(view, record)?.group === group
  }

  /** Undefined when the half record cannot be read. */
  describe(half: HalfMessage): { transactionId: string; messageId: string; keys: string } | undefined {
    const record = this.#readable(half.physicalOffset)
    if (record === undefined) return undefined
    const { view } = this.#copy
    view.at(record, 0)
    const { starts, ends } = this.#parking
    this.#parking.load(record, view.propertiesStart, view.propertiesEnd)
    const textOf = (at: number): string =>
      (starts[at] as number) < 0 ? '' : record.toString('utf8', starts[at] as number, ends[at] as number)
    const messageId = textOf(AT.uniqKey)
    return { transactionId: textOf(AT.transactionId) || messageId, messageId, keys: textOf(AT.keys) }
  }

  /**
   * Undefined when the record cannot be read, or is not what was stored: a wrong id would decide another transaction, so it
   * is compared with the hash taken when the half came.
   */
  transactionIdOf(half: HalfMessage): string | undefined {
    if (half.size > this.#scratch.length) this.#scratch = Buffer.allocUnsafe(2 * half.size)
    const record = this.#scratch
    if (!this.#readableInto(half, record)) return undefined
    const { view } = this.#copy
    if (!view.at(record, 0)) return undefined
    const { starts, ends } = this.#parking
    this.#parking.load(record, view.propertiesStart, view.propertiesEnd)
    this.#note(record)
    if (this.idHash !== half.idHash) return undefined
    const id = (ends[AT.transactionId] as number) > (starts[AT.transactionId] as number) ? AT.transactionId : AT.uniqKey
    return (starts[id] as number) < 0 ? undefined : record.toString('utf8', starts[id] as number, ends[id] as number)
  }

  hashOfId(id: string): number {
    const bytes = Buffer.from(id, 'utf8')
    return hashOf(bytes, 0, bytes.length)
  }

  #readableInto(half: HalfMessage, record: Buffer): boolean {
    try {
      return this.#log.readInto(half.physicalOffset, half.size, record, 0)
    } catch (error) {
      if (error instanceof TandemError) return false
      throw error
    }
  }

  #readable(physicalOffset: number): Buffer | undefined {
    try {
      return this.#log.read(physicalOffset)
    } catch (error) {
      if (error instanceof TandemError) return undefined
      throw error
    }
  }

  #note(source: Buffer): void {
    const { starts, ends } = this.#parking
    const id = (ends[AT.transactionId] as number) > (starts[AT.transactionId] as number) ? AT.transactionId : AT.uniqKey
    this.idHash = hashOf(source, starts[id] as number, ends[id] as number)
    const seconds = decimalAt(source, starts[AT.immunity] as number, ends[AT.immunity] as number)
    this.immunityMs = Number.isNaN(seconds) ? undefined : seconds * 1000
    const domainAt = starts[AT.domain] as number
    const domainEnd = ends[AT.domain] as number
    this.domain = domainAt < domainEnd ? this.#names.text(source, domainAt, domainEnd) : undefined
    this.delayed = false
    for (let at = AT.firstDelay; at < starts.length; at++) if ((starts[at] as number) >= 0) this.delayed = true
  }
}

/**
 * Where the destination {@link HalfRecords.park} wrote begins.
 * @throws {BrokerError} SYSTEM_ERROR when there is none
 */
function destinationAt(record: Buffer, start: number, end: number): number {
  // Back over the queue's property, then over the topic's.
  let at = end - 1
  for (let property = 0; property < 2; property++) {
    at--
    while (at >= start && record[at] !== PROPERTY_END) at--
  }
  at++
  for (let i = 0; i < realTopicHead.length; i++) {
    if (record[at + i] !== realTopicHead[i]) throw new BrokerError('SYSTEM_ERROR', 'a half message without destination')
  }
  return at
}

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5
  if (start >= 0) for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193)
  return hash
}
