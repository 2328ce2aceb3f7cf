import {
  decodeRecord,
  PropertyName,
  PropertyScan,
  type RecordFields,
  type RecordView,
  type StoredMessage,
  SystemTopic,
} from '@tandemmq/protocol'
import type { LogWriter } from '../log-writer.ts'
import type { KeyHash } from '../key-hash.ts'
import { NameCache } from '../name-cache.ts'
import { topicIs } from '../op-record.ts'
import { decimalAt, propertyHead, PropertyRewriter } from '../property-rewriter.ts'
import { RecordCopy } from '../record-copy.ts'
import { sourceMark } from '../settles.ts'
import type { AppendCompletion } from '../store/index.ts'
import { deliverAtOf, levelAt, levelDelay } from './deliver-at.ts'

const SCHEDULE_TOPIC = Buffer.from(SystemTopic.SCHEDULE)
const TIMER_TOPIC = Buffer.from(SystemTopic.TIMER)
const EMPTY = Buffer.alloc(0)

const { REAL_TOPIC, REAL_QID, DELAY, UNIQ_KEY, TIMER_OUT_MS } = PropertyName
const PARK_DROPS = [REAL_TOPIC, REAL_QID, TIMER_OUT_MS]
const PARK_NOTES = [DELAY, UNIQ_KEY]
const AT = { topic: 0, queue: 1, outMs: 2, delay: 3, uniqKey: 4 }
/** A moved one has no level any more: it waits among those with an instant. */
const MOVE_DROPS = [TIMER_OUT_MS, DELAY]
/** Not DELAY: consumers of the original read the level (getDelayTimeLevel) off what they get, and so do ours. */
const FIRE_DROPS = [
  REAL_TOPIC,
  REAL_QID,
  TIMER_OUT_MS,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELIVER_MS,
  // Written by stock brokers and copied about by clients that re-send what they consumed.
  'TIMER_ENQUEUE_MS',
  'TIMER_DEQUEUE_MS',
  'TIMER_ROLL_TIMES',
  'TIMER_DELAY_LEVEL',
  PropertyName.TIMER_DEL_UNIQKEY,
]

const realTopicHead = propertyHead(REAL_TOPIC)
const realQueueHead = propertyHead(REAL_QID)
const outMsHead = propertyHead(TIMER_OUT_MS)

const RETRY_PREFIX = Buffer.from('%RETRY%')

/** What a parked record met in the log says. */
export interface ParkedRecord {
  dueAt: number
  /** Of (topic, unique key). */
  fingerprint: number
  /** For a retry topic. */
  isRetry: boolean
  /** Of a retry that was parked in this life of the broker: when it is due by the steady clock, ms. */
  steadyDueAt?: number
}

function isRetryName(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < RETRY_PREFIX.length) return false
  for (let i = 0; i < RETRY_PREFIX.length; i++) if (bytes[start + i] !== RETRY_PREFIX[i]) return false
  return true
}

/** Parked records in the log: how a delayed message becomes one, what one says, and the copy that is delivered. */
export class ParkedRecords {
  readonly #log: LogWriter
  readonly #hash: KeyHash
  readonly #levels: readonly number[]
  readonly #names = new NameCache()
  readonly #copy = new RecordCopy()
  readonly #parking = new PropertyRewriter({ drop: PARK_DROPS, note: PARK_NOTES })
  readonly #firing = new PropertyRewriter({ drop: FIRE_DROPS })
  readonly #scan = new PropertyScan()
  readonly #moving = new PropertyRewriter({ drop: MOVE_DROPS })

  constructor(log: LogWriter, hash: KeyHash, levels: readonly number[]) {
    this.#log = log
    this.#hash = hash
    this.#levels = levels
  }

  /**
   * Appends the message in `fields` as a parked record; the due time is written into it (TIMER_OUT_MS), so that neither a
   * restart nor other level settings move it.
   * @param completionFor gets the fingerprint of (topic, unique key), and whether it is a retry of a consumer
   */
  append(
    fields: RecordFields,
    dueAt: number,
    completionFor: (fingerprint: number, isRetry: boolean) => AppendCompletion,
  ): void {
    const rewriter = this.#parking
    const { starts, ends } = rewriter
    rewriter.load(fields.properties, fields.propertiesStart, fields.propertiesEnd)
    const delayAt = starts[AT.delay] as number
    const level = delayAt < 0 ? 0 : levelAt(fields.properties, delayAt, ends[AT.delay] as number)
    const fingerprint = this.#fingerprint(fields.topic, 0, fields.topic.length, fields.properties)
    const isRetry = isRetryName(fields.topic, 0, fields.topic.length)
    rewriter.put(realTopicHead, fields.topic, 0, fields.topic.length)
    rewriter.putNumber(realQueueHead, fields.queueId)
    rewriter.putNumber(outMsHead, dueAt)
    rewriter.verifySize()
    fields.properties = rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = rewriter.end
    const completion = completionFor(fingerprint, isRetry)
    if (level > 0) {
      fields.topic = SCHEDULE_TOPIC
      fields.queueId = Math.min(level, this.#levels.length) - 1
      this.#log.append(SystemTopic.SCHEDULE, fields.queueId, fields, completion)
    } else {
      fields.topic = TIMER_TOPIC
      fields.queueId = 0
      this.#log.append(SystemTopic.TIMER, 0, fields, completion)
    }
  }

  /** Due time and fingerprint of a parked record met in the log; undefined when it is none. */
  parked(record: RecordView, bytes: Buffer): ParkedRecord | undefined {
    if (!topicIs(record, bytes, SCHEDULE_TOPIC) && !topicIs(record, bytes, TIMER_TOPIC)) return undefined
    const { starts, ends } = this.#parking
    this.#parking.load(bytes, record.propertiesStart, record.propertiesEnd)
    if ((starts[AT.topic] as number) < 0) return undefined
    let dueAt = decimalAt(bytes, starts[AT.outMs] as number, ends[AT.outMs] as number)
    if (Number.isNaN(dueAt)) dueAt = record.storeTimestamp + levelDelay(record.queueId + 1, this.#levels)
    const start = starts[AT.topic] as number
    const end = ends[AT.topic] as number
    return {
      dueAt,
      fingerprint: this.#fingerprint(bytes, start, end, bytes),
      isRetry: isRetryName(bytes, start, end),
    }
  }

  /**
   * Appends the copy that is delivered.
   * @param isDeleted whether a topic was deleted after the record was parked
   * @returns the name of the deleted topic it was for, then nothing was appended; undefined when the parked record is gone
   * from the log
   * @throws {StoreError} LOG_DAMAGED when it cannot be read
   */
  appendFired(
    physicalOffset: number,
    isDeleted: (topic: string) => boolean,
    completion: AppendCompletion,
  ): 'appended' | { orphanOf: string } | undefined {
    const record = this.#log.read(physicalOffset, true)
    if (record === undefined) return undefined
    const { fields } = this.#copy
    this.#copy.load(record)
    const rewriter = this.#firing
    const { starts, ends } = rewriter
    rewriter.load(record, fields.propertiesStart, fields.propertiesEnd)
    if ((starts[AT.topic] as number) < 0) return undefined
    const topic = this.#names.text(record, starts[AT.topic] as number, ends[AT.topic] as number)
    if (isDeleted(topic)) return { orphanOf: topic }
    const queueId = decimalAt(record, starts[AT.queue] as number, ends[AT.queue] as number)
    fields.properties = rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = rewriter.end
    fields.preparedTransactionOffset = sourceMark(physicalOffset)
    this.#log.deliver(topic, Number.isNaN(queueId) ? 0 : queueId, fields, completion)
    return 'appended'
  }

  /**
   * Appends a parked copy due at `dueAt` that settles the record it was made from.
   * @returns what was appended, valid during the call; undefined when the parked record is gone from the log
   * @throws {StoreError} LOG_DAMAGED when it cannot be read
   */
  appendMoved(physicalOffset: number, dueAt: number, completion: AppendCompletion): RecordFields | undefined {
    const record = this.#log.read(physicalOffset, true)
    if (record === undefined) return undefined
    const { fields } = this.#copy
    this.#copy.load(record)
    const rewriter = this.#moving
    rewriter.load(record, fields.propertiesStart, fields.propertiesEnd)
    rewriter.putNumber(outMsHead, dueAt)
    rewriter.verifySize()
    fields.properties = rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = rewriter.end
    fields.preparedTransactionOffset = sourceMark(physicalOffset)
    fields.topic = TIMER_TOPIC
    fields.queueId = 0
    this.#log.append(SystemTopic.TIMER, 0, fields, completion)
    return fields
  }

  /** When the message would be due if it were parked now, ms since 1970; 0 when it is gone. */
  dueIfParkedAt(physicalOffset: number, now: number): number {
    const record = this.#log.read(physicalOffset)
    const { view } = this.#copy
    if (record === undefined || !view.at(record, 0)) return 0
    this.#scan.scan(record, view.propertiesStart, view.propertiesEnd)
    return deliverAtOf(this.#scan, record, now, { levels: this.#levels, horizonMs: Number.POSITIVE_INFINITY })
  }

  /** The parked record there, in full; undefined when it is gone or none. */
  describe(physicalOffset: number): StoredMessage | undefined {
    const record = this.#log.read(physicalOffset)
    const { view } = this.#copy
    if (record === undefined || !view.at(record, 0) || view.physicalOffset !== physicalOffset) return undefined
    const isParked = topicIs(view, record, SCHEDULE_TOPIC) || topicIs(view, record, TIMER_TOPIC)
    return isParked ? decodeRecord(record) : undefined
  }

  /** Key of the fingerprints. */
  get hash(): KeyHash {
    return this.#hash
  }

  fingerprintOf(topic: Buffer, key: Buffer): number {
    this.#hash.of(topic, 0, topic.length, key, 0, key.length)
    return this.#hash.low
  }

  /** Whether the record parked there goes to `topic` and has this unique key. */
  is(physicalOffset: number, topic: Buffer, key: Buffer): boolean {
    const record = this.#log.read(physicalOffset)
    if (record === undefined) return false
    const { view } = this.#copy
    view.at(record, 0)
    const { starts, ends } = this.#parking
    this.#parking.load(record, view.propertiesStart, view.propertiesEnd)
    return (
      (starts[AT.topic] as number) >= 0 &&
      (starts[AT.uniqKey] as number) >= 0 &&
      topic.equals(record.subarray(starts[AT.topic], ends[AT.topic])) &&
      key.equals(record.subarray(starts[AT.uniqKey], ends[AT.uniqKey]))
    )
  }

  #fingerprint(topic: Buffer, topicStart: number, topicEnd: number, source: Buffer): number {
    const start = this.#parking.starts[AT.uniqKey] as number
    const end = this.#parking.ends[AT.uniqKey] as number
    if (start < 0) this.#hash.of(topic, topicStart, topicEnd, EMPTY, 0, 0)
    else this.#hash.of(topic, topicStart, topicEnd, source, start, end)
    return this.#hash.low
  }
}
