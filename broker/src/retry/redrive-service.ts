import {
  deadLetterTopic,
  isDeadLetterTopic,
  isRetryTopic,
  PropertyName,
  type RecordFields,
  type RecordView,
  retryTopic,
  TandemError,
} from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import { DEAD_LETTER_PROPERTIES } from '../dead-letter-origin.ts'
import type { LogWriter } from '../log-writer.ts'
import { propertyHead, PropertyRewriter } from '../property-rewriter.ts'
import { RecordCopy } from '../record-copy.ts'
import { sourceMark, sourceOf } from '../settles.ts'
import { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import { SortedOffsets } from '../sorted-offsets.ts'
import type { ConsumeQueue, DerivedState } from '../store/index.ts'

const { RETRY_TOPIC, DLQ_ORIGIN_TOPIC, DLQ_REDRIVEN_FROM } = PropertyName
const DROPS = [
  ...DEAD_LETTER_PROPERTIES,
  DLQ_REDRIVEN_FROM,
  PropertyName.DELAY,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELIVER_MS,
  PropertyName.WAIT,
  PropertyName.POP_CK,
  PropertyName.FIRST_POP_TIME,
]
const ORIGIN_TOPIC_AT = DROPS.indexOf(DLQ_ORIGIN_TOPIC)
const RETRY_TOPIC_AT = DROPS.length
const head = { retryTopic: propertyHead(RETRY_TOPIC), redrivenFrom: propertyHead(DLQ_REDRIVEN_FROM) }
const redrivenFromName = Buffer.from(`${DLQ_REDRIVEN_FROM}\x01`)

type Done = (error?: Error) => void
/** What is needed of queue 0 of a dead letter topic. */
type DeadLetterQueue = Pick<ConsumeQueue, 'minOffset' | 'maxOffset' | 'size' | 'physicalOffset'>

export interface RedriveResult {
  /** Copied now. */
  redriven: number
  /** Copied before, by this or another redrive. */
  already: number
  /** Not there any more, or not stored yet. */
  gone: number
}

/**
 * Sends dead letters back to the group they belong to. The copy in %RETRY%group names the dead letter as its source, so one append is
 * the whole act: before it the message is a dead letter, after it a redriven one, and the log says which. Repeating is without effect.
 */
export class RedriveService implements DerivedState {
  readonly #log: LogWriter
  readonly #queueOf: (topic: string) => DeadLetterQueue | undefined
  readonly #firstOffset: () => number
  readonly #copy = new RecordCopy()
  readonly #rewriter = new PropertyRewriter({ drop: DROPS, note: [RETRY_TOPIC] })
  /** Copies that are not safe yet, by the place of the dead letter. */
  readonly #waiting = new Map<number, Done[]>()
  #redriven = new SortedOffsets()

  /**
   * @param options.queueOf queue 0 of a topic, undefined when there is none
   * @param options.firstOffset of the log
   */
  constructor(options: {
    log: LogWriter
    queueOf: (topic: string) => DeadLetterQueue | undefined
    firstOffset: () => number
  }) {
    this.#log = options.log
    this.#firstOffset = options.firstOffset
    this.#queueOf = options.queueOf
  }

  /**
   * @param offsets in the dead letter queue of the group
   * @param done after every copy is as safe as the flush policy promises; with an error some may not have been made: ask again
   */
  redrive(
    group: string,
    offsets: readonly number[],
    done: (error?: TandemError, result?: RedriveResult) => void,
  ): void {
    const result: RedriveResult = { redriven: 0, already: 0, gone: 0 }
    const queue = this.#queueOf(deadLetterTopic(group))
    let open = 1
    let failure: TandemError | undefined
    const end: Done = (error) => {
      if (error !== undefined) failure ??= asTandemError(error)
      if (--open === 0) done(failure, failure === undefined ? result : undefined)
    }
    for (const offset of offsets) {
      const isThere = queue !== undefined && offset >= queue.minOffset && offset < queue.maxOffset
      const place = isThere && queue.size(offset) > 0 ? queue.physicalOffset(offset) : -1
      if (place < 0) {
        result.gone++
        continue
      }
      open++
      const waiting = this.#waiting.get(place)
      if (waiting !== undefined || this.#redriven.has(place)) {
        result.already++
        if (waiting === undefined) end()
        else waiting.push(end)
        continue
      }
      result.redriven++
      this.#redriveOne(group, offset, place, end)
      if (failure !== undefined) break
    }
    end()
  }

  /** @returns which of `count` dead letters from `from` on were redriven */
  redrivenOf(group: string, from: number, count: number): { minOffset: number; maxOffset: number; redriven: number[] } {
    const queue = this.#queueOf(deadLetterTopic(group))
    if (queue === undefined) return { minOffset: 0, maxOffset: 0, redriven: [] }
    const { minOffset, maxOffset } = queue
    const redriven: number[] = []
    const end = Math.min(maxOffset, from + count)
    for (let at = Math.max(from, minOffset); at < end; at++) {
      if (queue.size(at) > 0 && this.#redriven.has(queue.physicalOffset(at))) redriven.push(at)
    }
    return { minOffset, maxOffset, redriven }
  }

  replay(record: RecordView, bytes: Buffer): void {
    const source = sourceOf(record.preparedTransactionOffset)
    // A first delivery that has a source in a retry topic: only a redriven one is that.
    if (source < 0 || record.reconsumeTimes !== 0 || !isRetryTopic(record.topic())) return
    const at = bytes.indexOf(redrivenFromName, record.propertiesStart)
    if (at >= 0 && at < record.propertiesEnd) this.#redriven.add(source)
  }

  snapshot(): Buffer[] {
    // What retention took needs no mark; those under way the log will tell after a crash, or they never were.
    this.#redriven.deleteBefore(this.#firstOffset())
    const values = this.#redriven.toArray().filter((place) => !this.#waiting.has(place))
    return new SnapshotWriter().number(values.length).column(values).finish()
  }

  restore(snapshot: Buffer): void {
    const reader = new SnapshotReader(snapshot)
    this.#redriven = SortedOffsets.of(reader.float64(reader.number()))
  }

  stats(): { redriven: number } {
    return { redriven: this.#redriven.size }
  }

  #redriveOne(group: string, offset: number, place: number, done: Done): void {
    this.#waiting.set(place, [done])
    this.#redriven.add(place)
    const ended = (error?: Error): void => {
      const waiting = this.#waiting.get(place) ?? []
      this.#waiting.delete(place)
      if (error !== undefined) this.#redriven.delete(place)
      for (const one of waiting) one(error)
    }
    try {
      const fields = this.#fieldsOf(group, offset, place)
      this.#log.append(retryTopic(group), 0, fields, { stored: () => ended(), failed: ended })
    } catch (error) {
      ended(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #fieldsOf(group: string, offset: number, place: number): RecordFields {
    const { view, fields } = this.#copy
    const record = this.#log.read(place)
    if (record === undefined || !view.at(record, 0) || !isDeadLetterTopic(view.topic())) {
      throw new BrokerError('SYSTEM_ERROR', `dead letter ${offset} of ${group} cannot be read`)
    }
    this.#copy.load(record)
    const rewriter = this.#rewriter
    const { starts, ends } = rewriter
    rewriter.load(record, fields.propertiesStart, fields.propertiesEnd)
    const originAt = starts[ORIGIN_TOPIC_AT] as number
    if ((starts[RETRY_TOPIC_AT] as number) < 0 && originAt >= 0) {
      rewriter.put(head.retryTopic, record, originAt, ends[ORIGIN_TOPIC_AT] as number)
    }
    rewriter.putNumber(head.redrivenFrom, offset)
    rewriter.verifySize()
    fields.properties = rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = rewriter.end
    fields.reconsumeTimes = 0
    fields.preparedTransactionOffset = sourceMark(place)
    return fields
  }
}

function asTandemError(error: Error): TandemError {
  return error instanceof TandemError ? error : new BrokerError('SYSTEM_ERROR', error.message, { cause: error })
}
