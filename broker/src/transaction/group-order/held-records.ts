import {
  PropertyName,
  PropertyScan,
  type RecordFields,
  type RecordView,
  ScannedProperty,
  SystemTopic,
} from '@tandemmq/protocol'
import type { LogWriter } from '../../log-writer.ts'
import { NameCache } from '../../name-cache.ts'
import { OpRecords, topicIs } from '../../op-record.ts'
import { decimalAt, propertyHead, PropertyRewriter } from '../../property-rewriter.ts'
import { RecordCopy } from '../../record-copy.ts'
import { sourceMark } from '../../settles.ts'
import type { AppendCompletion } from '../../store/index.ts'

const HELD_TOPIC = Buffer.from(SystemTopic.HELD)
const HALF_TOPIC = Buffer.from(SystemTopic.HALF)

const { REAL_TOPIC, REAL_QID } = PropertyName
const DESTINATION = [REAL_TOPIC, REAL_QID]
const DELAYS = [
  PropertyName.DELAY,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELIVER_MS,
]
/** Places of the noted properties in the rewriter. */
const AT = { topic: 0, queue: 1, firstDelay: 2 }
const realTopicHead = propertyHead(REAL_TOPIC)
const realQueueHead = propertyHead(REAL_QID)

/** What a record that concerns an ordering group says; `key` stands in its bytes. */
export interface GroupRecord {
  topic: string
  keyStart: number
  keyEnd: number
}

/** Held records in the log: how a message becomes one, what one says, and the copy that is seen in the end. */
export class HeldRecords {
  readonly #log: LogWriter
  readonly #ops: OpRecords
  readonly #names = new NameCache()
  readonly #copy = new RecordCopy()
  readonly #rewriter = new PropertyRewriter({ drop: DESTINATION, note: DELAYS })
  readonly #scan = new PropertyScan()

  constructor(log: LogWriter) {
    this.#log = log
    this.#ops = new OpRecords(log)
  }

  /**
   * Appends the message in `fields`, which is for `topic` and `fields.queueId`, as a held record.
   * @throws {BrokerError} MESSAGE_ILLEGAL when the properties have no room for the destination
   */
  append(topic: string, fields: RecordFields, completion?: AppendCompletion): void {
    const rewriter = this.#rewriter
    rewriter.load(fields.properties, fields.propertiesStart, fields.propertiesEnd)
    rewriter.putText(realTopicHead, topic)
    rewriter.putNumber(realQueueHead, fields.queueId)
    rewriter.verifySize()
    fields.properties = rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = rewriter.end
    fields.topic = HELD_TOPIC
    fields.queueId = 0
    this.#log.append(SystemTopic.HELD, 0, fields, completion)
  }

  isHeld(record: RecordView, bytes: Buffer): boolean {
    return topicIs(record, bytes, HELD_TOPIC)
  }

  isHalf(record: RecordView, bytes: Buffer): boolean {
    return topicIs(record, bytes, HALF_TOPIC)
  }

  /** Whose place the half or held record met in the log takes; undefined when none: no key, or a half that is delayed after its commit. */
  groupOf(record: RecordView, bytes: Buffer): GroupRecord | undefined {
    const { starts, ends } = this.#rewriter
    this.#rewriter.load(bytes, record.propertiesStart, record.propertiesEnd)
    this.#scan.scan(bytes, record.propertiesStart, record.propertiesEnd)
    const keyStart = this.#scan.start(ScannedProperty.SHARDING_KEY)
    const keyEnd = this.#scan.end(ScannedProperty.SHARDING_KEY)
    const topicStart = starts[AT.topic] as number
    if (keyStart < 0 || topicStart < 0) return undefined
    if (this.isHalf(record, bytes)) {
      for (let at = AT.firstDelay; at < starts.length; at++) if ((starts[at] as number) >= 0) return undefined
    }
    return { topic: this.#names.text(bytes, topicStart, ends[AT.topic] as number), keyStart, keyEnd }
  }

  /**
   * Appends the copy that consumers see.
   * @returns its log offset; undefined when the held record is gone from the log
   * @throws {StoreError} LOG_DAMAGED when it cannot be read
   */
  appendReleased(topic: string, physicalOffset: number, completion: AppendCompletion): number | undefined {
    const record = this.#log.read(physicalOffset, true)
    if (record === undefined) return undefined
    const { fields } = this.#copy
    this.#copy.load(record)
    const rewriter = this.#rewriter
    const { starts, ends } = rewriter
    rewriter.load(record, fields.propertiesStart, fields.propertiesEnd)
    const queueId = decimalAt(record, starts[AT.queue] as number, ends[AT.queue] as number)
    fields.properties = rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = rewriter.end
    fields.preparedTransactionOffset = sourceMark(physicalOffset)
    this.#log.append(topic, Number.isNaN(queueId) ? 0 : queueId, fields, completion)
    return fields.physicalOffset
  }

  /** Says that the record held there will never be seen. @returns log offset of what says so */
  appendDiscarded(physicalOffset: number, now: number, completion: AppendCompletion): number {
    this.#ops.append(physicalOffset, now, completion)
    return this.#ops.physicalOffset
  }
}
