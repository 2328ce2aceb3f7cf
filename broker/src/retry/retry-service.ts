import {
  deadLetterTopic,
  isDeadLetterTopic,
  isRetryTopic,
  offsetMessageId,
  PROPERTIES_BYTES_MAX,
  PropertyName,
  PropertyScan,
  type RecordFields,
  type RecordView,
  retryTopic,
  ScannedProperty,
  SystemTopic,
  TandemError,
} from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import { DEAD_LETTER_PROPERTIES, putOriginPlace } from '../dead-letter-origin.ts'
import type { LogWriter } from '../log-writer.ts'
import { propertyHead, PropertyRewriter } from '../property-rewriter.ts'
import { RecordCopy } from '../record-copy.ts'
import { sourceMark, sourceOf } from '../settles.ts'
import { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import type { DerivedState } from '../store/index.ts'
import { verdictOf } from './retry-rules.ts'
import { ReturnedWindow } from './returned-window.ts'

const REASON_CHARACTERS_MAX = 512

const { RETRY_TOPIC, ORIGIN_MESSAGE_ID, DELAY, TIMER_DELAY_MS, DLQ_REASON } = PropertyName
const DELAYS = [DELAY, PropertyName.TIMER_DELAY_SEC, TIMER_DELAY_MS, PropertyName.TIMER_DELIVER_MS]
const RETURN_DROPS = [...DELAYS, ...DEAD_LETTER_PROPERTIES, PropertyName.WAIT]
const RETRY_TOPIC_AT = RETURN_DROPS.length
const ORIGIN_ID_AT = RETURN_DROPS.length + 1

/** Their records wait for a decision or a time of their own; a copy of one would settle it. */
const waitingRooms: ReadonlySet<string> = new Set([
  SystemTopic.HALF,
  SystemTopic.OP_HALF,
  SystemTopic.SCHEDULE,
  SystemTopic.TIMER,
  SystemTopic.HELD,
])

const head = {
  retryTopic: propertyHead(RETRY_TOPIC),
  originMessageId: propertyHead(ORIGIN_MESSAGE_ID),
  delay: propertyHead(DELAY),
  delayMs: propertyHead(TIMER_DELAY_MS),
  originTopic: propertyHead(PropertyName.DLQ_ORIGIN_TOPIC),
  deadOriginId: propertyHead(PropertyName.DLQ_ORIGIN_MESSAGE_ID),
  reason: propertyHead(DLQ_REASON),
}

export interface SendBackRequest {
  group: string
  /** Of the record the consumer failed on. */
  physicalOffset: number
  /** Negative = dead letter at once, 0 = the broker's own back-off, else a delay level. */
  delayLevel: number
  /** Retries allowed; without it (or negative) the group's own limit holds. */
  maxReconsumeTimes?: number | undefined
  /** Ours: exact delay instead of a level. */
  delayMs?: number | undefined
  /** Ours: kept with a dead letter. */
  reason?: string | undefined
}

/** How a group wants its messages again. */
export interface GroupPolicy {
  /** Deliveries after which a message is a dead letter, less the first one. */
  attemptsMax: number
  /** Pause before the next delivery after so many retries, ms; undefined = the delay levels. */
  delayMs?(retries: number): number | undefined
}

export interface RetryServiceOptions {
  clock: Clock
  log: LogWriter
  policyOf(group: string): GroupPolicy
  /** Longest delay the broker keeps: a policy's longer one is cut to it. Default none. */
  delayMsMax?: number
  /** Send-backs remembered to absorb repeats: so many, for so long. Defaults 100,000 and 60,000 ms. */
  returnedMax?: number
  returnedWindowMs?: number
}

/**
 * What a consumer could not do: again later, or into the dead letter topic with the reason. A retry goes to queue 0 of
 * %RETRY%group after a delay; body, properties and unique key stay, reconsumeTimes counts up.
 *
 * @see broker.md 5.2, remoting.md 4.9
 */
export class RetryService implements DerivedState {
  readonly #clock: Clock
  readonly #log: LogWriter
  readonly #policyOf: (group: string) => GroupPolicy
  readonly #delayMsMax: number
  readonly #copy = new RecordCopy()
  readonly #rewriter = new PropertyRewriter({ drop: RETURN_DROPS, note: [RETRY_TOPIC, ORIGIN_MESSAGE_ID] })
  /** Keeps everything in place: the caller holds positions into the block. */
  readonly #redirected = new PropertyRewriter({ drop: [], note: [RETRY_TOPIC, ORIGIN_MESSAGE_ID, DLQ_REASON] })
  readonly #scan = new PropertyScan()
  readonly #returned: ReturnedWindow
  #retried = 0
  #deadLettered = 0
  #absorbed = 0

  /** Set by who counts: a message first sent to `topic` came back and is stored. */
  onReturned: (topic: string, group: string) => void = () => {}

  constructor(options: RetryServiceOptions) {
    this.#clock = options.clock
    this.#log = options.log
    this.#policyOf = options.policyOf
    this.#delayMsMax = options.delayMsMax ?? Number.POSITIVE_INFINITY
    this.#returned = new ReturnedWindow({
      entriesMax: options.returnedMax ?? 100_000,
      windowMs: options.returnedWindowMs ?? 60_000,
    })
  }

  /**
   * Takes a message back. A repeat for the same (group, record, attempt) is absorbed.
   * @param done called once, after the retry or dead letter is as safe as the flush policy promises; with an error the
   *   message is still the consumer's: SYSTEM_ERROR when the record is gone, MESSAGE_ILLEGAL when it cannot be delayed
   *   so, what the store says
   */
  sendBack(request: SendBackRequest, done: (error?: TandemError) => void): void {
    const finished = (error?: Error): void => done(error === undefined ? undefined : asTandemError(error))
    try {
      this.#sendBack(request, finished)
    } catch (error) {
      finished(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /**
   * A consumer whose send-back failed sends its retry to %RETRY%group as an ordinary message; `fields.reconsumeTimes`
   * is the number of that retry. Over the limit the message in `fields` becomes a dead letter: at once, so its delays are
   * overwritten with zeros where they stand.
   * @param scan over `fields.properties`
   * @returns the topic it goes to instead, undefined when it stays
   */
  redirectRetrySend(
    fields: RecordFields,
    scan: PropertyScan,
    group: string,
    maxReconsumeTimes: number | undefined,
  ): string | undefined {
    const max = maxReconsumeTimes ?? this.#policyOf(group).attemptsMax
    if (fields.reconsumeTimes <= max) return undefined
    neutralize(fields.properties, scan)
    const { starts, ends } = this.#redirected
    const source = fields.properties
    this.#redirected.load(source, fields.propertiesStart, fields.propertiesEnd)
    const [topicAt, idAt, reasonAt] = starts as unknown as [number, number, number]
    if (topicAt >= 0) this.#redirected.put(head.originTopic, source, topicAt, ends[0] as number)
    if (idAt >= 0) this.#redirected.put(head.deadOriginId, source, idAt, ends[1] as number)
    if (topicAt >= 0 && idAt >= 0) {
      const originTopic = source.toString('utf8', topicAt, ends[0])
      putOriginPlace(this.#redirected, this.#log, originTopic, source.toString('latin1', idAt, ends[1]))
    }
    if (reasonAt < 0) this.#redirected.putText(head.reason, `${fields.reconsumeTimes} deliveries failed`)
    // A late message is better than a refused one: without room the dead letter goes without its origin.
    if (this.#redirected.end <= PROPERTIES_BYTES_MAX) {
      fields.properties = this.#redirected.bytes
      fields.propertiesEnd = this.#redirected.end
      fields.propertiesStart = 0
    }
    fields.queueId = 0
    this.#deadLettered++
    return deadLetterTopic(group)
  }

  /** Rebuilds the window of absorbed repeats from one record of the log. */
  replay(record: RecordView, bytes: Buffer): void {
    const source = sourceOf(record.preparedTransactionOffset)
    if (source < 0 || record.reconsumeTimes === 0) return
    const topic = record.topic()
    let target = topic
    if (waitingRooms.has(topic)) {
      this.#scan.scan(bytes, record.propertiesStart, record.propertiesEnd)
      target = this.#scan.text(ScannedProperty.REAL_TOPIC) ?? ''
    } else if (isRetryTopic(topic)) return
    const group = isRetryTopic(target) ? target.slice(7) : isDeadLetterTopic(target) ? target.slice(5) : undefined
    if (group === undefined) return
    const now = this.#clock.now()
    this.#returned.replay(keyOf(group, source, record.reconsumeTimes), record.storeTimestamp, now)
  }

  snapshot(): Buffer[] {
    const writer = new SnapshotWriter()
    this.#returned.save(writer)
    return writer.finish()
  }

  restore(snapshot: Buffer): void {
    this.#returned.load(new SnapshotReader(snapshot), this.#clock.now())
  }

  stats(): { retried: number; deadLettered: number; absorbed: number } {
    return { retried: this.#retried, deadLettered: this.#deadLettered, absorbed: this.#absorbed }
  }

  #sendBack(request: SendBackRequest, done: (error?: Error) => void): void {
    const { group, physicalOffset } = request
    const { view, fields } = this.#copy
    const record = this.#log.read(physicalOffset)
    if (record === undefined || !view.at(record, 0) || view.physicalOffset !== physicalOffset) {
      throw new BrokerError('SYSTEM_ERROR', `look message by offset failed, ${physicalOffset}`)
    }
    const topic = view.topic()
    if (waitingRooms.has(topic)) {
      throw new BrokerError('ILLEGAL_OPERATION', `the record at ${physicalOffset} was never delivered to a consumer`)
    }
    const now = this.#clock.now()
    const key = keyOf(group, physicalOffset, view.reconsumeTimes + 1)
    if (this.#returned.absorbs(key, now, done)) {
      this.#absorbed++
      return
    }
    const asked = request.maxReconsumeTimes
    const policy = this.#policyOf(group)
    const { reconsumeTimes } = view
    const verdict = verdictOf({
      reconsumeTimes,
      delayLevel: request.delayLevel,
      reconsumeTimesMax: asked !== undefined && asked >= 0 ? asked : policy.attemptsMax,
      policyDelayMs: policy.delayMs?.(reconsumeTimes),
    })
    this.#copy.load(record)
    const { originTopic, originId } = this.#rewriteOrigin(record, topic, physicalOffset)
    if (verdict.kind === 'deadLetter') {
      this.#rewriter.putText(head.originTopic, originTopic)
      this.#rewriter.putText(head.deadOriginId, originId)
      putOriginPlace(this.#rewriter, this.#log, originTopic, originId)
      const reason = request.reason === undefined || request.reason === '' ? verdict.reason : request.reason
      this.#rewriter.putText(head.reason, reason.slice(0, REASON_CHARACTERS_MAX))
    } else {
      const delayMs =
        request.delayMs ?? ('delayMs' in verdict ? Math.min(verdict.delayMs, this.#delayMsMax) : undefined)
      if (delayMs !== undefined && delayMs > 0) this.#rewriter.putNumber(head.delayMs, Math.ceil(delayMs))
      else if (delayMs === undefined && 'delayLevel' in verdict)
        this.#rewriter.putNumber(head.delay, verdict.delayLevel)
    }
    this.#rewriter.verifySize()
    fields.properties = this.#rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = this.#rewriter.end
    fields.reconsumeTimes++
    fields.preparedTransactionOffset = sourceMark(physicalOffset)
    this.#append(group, verdict.kind === 'deadLetter', fields, key, now, (error) => {
      if (error === undefined) this.onReturned(originTopic, group)
      done(error)
    })
  }

  #append(
    group: string,
    dead: boolean,
    fields: RecordFields,
    key: string,
    now: number,
    done: (error?: Error) => void,
  ): void {
    const completion = {
      stored: () => {
        if (dead) this.#deadLettered++
        else this.#retried++
        this.#returned.finish(key)
      },
      failed: (error: Error) => this.#returned.fail(key, error),
    }
    this.#returned.begin(key, now, done)
    try {
      if (dead) this.#log.append(deadLetterTopic(group), 0, fields, completion)
      else this.#log.publish(retryTopic(group), 0, fields, completion)
    } catch (error) {
      this.#returned.fail(key, error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Properties of the returned record without its delays, with where it came from first. */
  #rewriteOrigin(record: Buffer, topic: string, physicalOffset: number): { originTopic: string; originId: string } {
    const { fields } = this.#copy
    const rewriter = this.#rewriter
    const { starts, ends } = rewriter
    rewriter.load(record, fields.propertiesStart, fields.propertiesEnd)
    const textOf = (at: number): string | undefined =>
      (starts[at] as number) < 0 ? undefined : record.toString('utf8', starts[at] as number, ends[at] as number)
    const knownTopic = textOf(RETRY_TOPIC_AT)
    const knownId = textOf(ORIGIN_ID_AT)
    const originTopic = knownTopic ?? topic
    const originId = knownId ?? offsetMessageId(fields.storeHost, physicalOffset)
    if (knownTopic === undefined) rewriter.putText(head.retryTopic, originTopic)
    if (knownId === undefined) rewriter.putText(head.originMessageId, originId)
    return { originTopic, originId }
  }
}

/** Positions into the block stay valid. */
function neutralize(properties: Buffer, scan: PropertyScan): void {
  for (const [start, end] of [
    [scan.delayStart, scan.delayEnd],
    [scan.timerDelaySecStart, scan.timerDelaySecEnd],
    [scan.timerDelayMsStart, scan.timerDelayMsEnd],
    [scan.timerDeliverMsStart, scan.timerDeliverMsEnd],
  ] as const) {
    if (start >= 0) properties.fill(0x30, start, end)
  }
}

function keyOf(group: string, physicalOffset: number, attempt: number): string {
  return `${physicalOffset} ${attempt} ${group}`
}

function asTandemError(error: Error): TandemError {
  return error instanceof TandemError ? error : new BrokerError('SYSTEM_ERROR', error.message, { cause: error })
}
