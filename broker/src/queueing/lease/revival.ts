import { deadLetterTopic, offsetMessageId, PROPERTIES_BYTES_MAX, PropertyName, RecordView } from '@tandemmq/protocol'
import { DEAD_LETTER_PROPERTIES, putOriginPlace } from '../../dead-letter-origin.ts'
import type { LogWriter } from '../../log-writer.ts'
import { propertyHead, PropertyRewriter } from '../../property-rewriter.ts'
import { RecordCopy } from '../../record-copy.ts'
import { sourceMark, sourceOf } from '../../settles.ts'
import type { ConsumeQueue } from '../../store/index.ts'
import type { QueueLookup } from '../offsets.ts'
import { orderKeyOf } from './keyed-leases.ts'
import type { Lease, LeaseQueue } from './lease-queue.ts'
import type { RetryTopic, RetryTopics } from './retry-topics.ts'

const { POP_CK, FIRST_POP_TIME, FIRST_UNSEEN, RETRY_TOPIC, ORIGIN_MESSAGE_ID, DLQ_REASON } = PropertyName
/** Of a copy that takes the message's place. */
const OF_LEASES = [POP_CK, FIRST_UNSEEN]
const DELAYS = [
  PropertyName.DELAY,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELIVER_MS,
]
const HEAD = {
  firstPopTime: propertyHead(FIRST_POP_TIME),
  firstUnseen: propertyHead(FIRST_UNSEEN),
  retryTopic: propertyHead(RETRY_TOPIC),
  originMessageId: propertyHead(ORIGIN_MESSAGE_ID),
  originTopic: propertyHead(PropertyName.DLQ_ORIGIN_TOPIC),
  deadOriginId: propertyHead(PropertyName.DLQ_ORIGIN_MESSAGE_ID),
  reason: propertyHead(DLQ_REASON),
}
const REASON_CHARACTERS_MAX = 512
/** Copies of copies looked through for the first of them. */
const ANCESTORS_MAX = 64
/** Clocks and the order of writes: how much older than its lease's end a copy may look. */
const SLACK_MS = 2_000

type Done = (error?: Error) => void

/** Why a message is given up. */
export interface DeadEnd {
  /** The one that failed included; undefined = as the message counts. */
  deliveries?: number | undefined
  /** Empty = so many deliveries failed. */
  reason: string
}

/**
 * What becomes of a message nobody acknowledged in time: a copy in the group's retry topic with reconsumeTimes + 1 (broker.md 5.4), or
 * in its dead letter topic when it had all its redeliveries. A copy names its source, so after a crash between the copy and the
 * journal's entry the copy is found and not made twice.
 */
export class Revival {
  readonly figures = { retried: 0, deadLettered: 0, lost: 0 }
  readonly #log: LogWriter
  readonly #retryTopics: RetryTopics
  readonly #lookup: QueueLookup
  readonly #redeliveriesMax: (group: string) => number
  readonly #prioritiesOf: (topic: string) => number
  readonly #ensureTopic: (name: string, queues: number) => void
  readonly #isTaken: (name: string, group: string) => boolean
  readonly #view = new RecordView()
  readonly #copy = new RecordCopy()
  readonly #retry = new PropertyRewriter({ drop: [POP_CK], note: [FIRST_POP_TIME] })
  readonly #dead = new PropertyRewriter({
    drop: [...OF_LEASES, ...DELAYS, ...DEAD_LETTER_PROPERTIES],
    note: [RETRY_TOPIC, ORIGIN_MESSAGE_ID],
  })

  /**
   * @param options.prioritiesOf queues of a topic whose queues are priorities, 1 for any other
   * @param options.ensureTopic creates a retry topic; throws when there is no room for one
   * @param options.isTaken whether a topic of the name is somebody else's
   */
  constructor(options: {
    log: LogWriter
    retryTopics: RetryTopics
    lookup: QueueLookup
    redeliveriesMax: (group: string) => number
    prioritiesOf: (topic: string) => number
    ensureTopic: (name: string, queues: number) => void
    isTaken: (name: string, group: string) => boolean
  }) {
    this.#log = options.log
    this.#retryTopics = options.retryTopics
    this.#lookup = options.lookup
    this.#redeliveriesMax = options.redeliveriesMax
    this.#prioritiesOf = options.prioritiesOf
    this.#ensureTopic = options.ensureTopic
    this.#isTaken = options.isTaken
  }

  /** @param done with an error: no copy was made. Without: there is one as safe as the flush policy promises, or nothing to copy */
  revive(lease: Lease, done: Done): void {
    const since = lease.isRestored ? lease.popTime + lease.invisibleMs - SLACK_MS : Number.POSITIVE_INFINITY
    this.#guarded(done, () =>
      this.#revive(lease.queue, lease.offset, lease.popTime, since, undefined, done, lease.isCounted),
    )
  }

  /**
   * To the dead letter topic, whatever its redeliveries: those of ordered messages are counted elsewhere.
   */
  bury(queue: LeaseQueue, offset: number, end: DeadEnd, done: Done): void {
    const lease = queue.find(offset)
    const popTime = lease?.popTime ?? queue.order?.popTime ?? 0
    const isRestored = lease?.isRestored ?? queue.isOrderRestored
    const since = isRestored ? popTime - SLACK_MS : Number.POSITIVE_INFINITY
    this.#guarded(done, () => this.#revive(queue, offset, popTime, since, end, done))
  }

  /** `orderBy` of a message a lease was read for; '' when it is gone. */
  orderKeyOf({ topic, queueId }: LeaseQueue, offset: number): string {
    const record = this.#recordAt(topic, queueId, offset)
    return record === undefined ? '' : orderKeyOf(record)
  }

  /** Redeliveries the message has behind it. */
  retriesOf(topic: string, queueId: number, offset: number): number {
    const record = this.#recordAt(topic, queueId, offset)
    return record !== undefined && this.#view.at(record, 0) ? this.#view.reconsumeTimes : 0
  }

  #recordAt(topic: string, queueId: number, offset: number): Buffer | undefined {
    const source = this.#lookup(topic, queueId)
    const isThere = source !== undefined && offset >= source.minOffset && offset < source.maxOffset
    return isThere && source.size(offset) > 0 ? this.#log.read(source.physicalOffset(offset)) : undefined
  }

  #guarded(done: Done, work: () => void): void {
    try {
      work()
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #revive(
    queue: LeaseQueue,
    offset: number,
    popTime: number,
    since: number,
    end: DeadEnd | undefined,
    done: Done,
    isCounted = true,
  ): void {
    const source = this.#lookup(queue.topic, queue.queueId)
    const isThere = source !== undefined && offset >= source.minOffset && offset < source.maxOffset
    const place = isThere && source.size(offset) > 0 ? source.physicalOffset(offset) : -1
    const record = place < 0 ? undefined : this.#log.read(place)
    if (record === undefined) {
      this.figures.lost++
      return done()
    }
    this.#view.at(record, 0)
    const { reconsumeTimes } = this.#view
    // The first delivery counts in any case: only of what comes again a consumer says that it begins. But nothing is given up unseen,
    // so the copy says of which message nobody knows.
    const isDead = end !== undefined || (isCounted && reconsumeTimes >= this.#redeliveriesMax(queue.group))
    const retry = this.#retryTopics.owner(queue.topic) ?? { group: queue.group, topic: queue.topic }
    const target = isDead ? deadLetterTopic(queue.group) : this.#retryTopicOf(queue.group, retry.topic).name
    // A copy keeps the priority, which is the number of the queue.
    const targetQueue = isDead ? 0 : Math.min(queue.queueId, this.#prioritiesOf(retry.topic) - 1)
    if (this.#hasCopy(this.#lookup(target, targetQueue), place, since)) return done()
    this.#copy.load(record)
    const { fields } = this.#copy
    fields.reconsumeTimes = end?.deliveries ?? reconsumeTimes + (isCounted || reconsumeTimes === 0 ? 1 : 0)
    const rewriter = isDead
      ? this.#deadProperties(record, retry.topic, place, end?.reason ?? '')
      : this.#retryProperties(record, popTime, !isCounted && reconsumeTimes === 0)
    // Better without a word about its origin than not at all.
    if (rewriter.end <= PROPERTIES_BYTES_MAX) {
      fields.properties = rewriter.bytes
      fields.propertiesStart = 0
      fields.propertiesEnd = rewriter.end
    }
    fields.preparedTransactionOffset = sourceMark(place)
    this.#log.append(target, targetQueue, fields, {
      stored: () => {
        if (isDead) this.figures.deadLettered++
        else this.figures.retried++
        done()
      },
      failed: (error) => done(error),
    })
  }

  #retryTopicOf(group: string, topic: string): RetryTopic {
    const retry = this.#retryTopics.ensure(group, topic, (name) => this.#isTaken(name, group))
    this.#ensureTopic(retry.name, this.#prioritiesOf(topic))
    return retry
  }

  #retryProperties(record: Buffer, popTime: number, isUnseen: boolean): PropertyRewriter {
    const { fields } = this.#copy
    this.#retry.load(record, fields.propertiesStart, fields.propertiesEnd)
    if ((this.#retry.starts[1] as number) < 0) this.#retry.putNumber(HEAD.firstPopTime, popTime)
    if (isUnseen) this.#retry.putText(HEAD.firstUnseen, 'true')
    return this.#retry
  }

  #deadProperties(record: Buffer, topic: string, place: number, reason: string): PropertyRewriter {
    const { fields } = this.#copy
    const rewriter = this.#dead
    rewriter.load(record, fields.propertiesStart, fields.propertiesEnd)
    const topicAt = OF_LEASES.length + DELAYS.length + DEAD_LETTER_PROPERTIES.length
    const known = rewriter.starts[topicAt + 1] as number
    const originId =
      known < 0 ? this.#originId(record, place) : record.toString('utf8', known, rewriter.ends[topicAt + 1])
    if ((rewriter.starts[topicAt] as number) < 0) rewriter.putText(HEAD.retryTopic, topic)
    if (known < 0) rewriter.putText(HEAD.originMessageId, originId)
    rewriter.putText(HEAD.originTopic, topic)
    rewriter.putText(HEAD.deadOriginId, originId)
    putOriginPlace(rewriter, this.#log, topic, originId)
    const text = reason === '' ? `${fields.reconsumeTimes} deliveries failed` : reason
    rewriter.putText(HEAD.reason, text.slice(0, REASON_CHARACTERS_MAX))
    return rewriter
  }

  /** Id of the message the producer sent: copies name the one they were made from. */
  #originId(record: Buffer, place: number): string {
    const { view } = new RecordCopy()
    let at = place
    view.at(record, 0)
    for (let i = 0; i < ANCESTORS_MAX && view.reconsumeTimes > 0; i++) {
      const before = sourceOf(view.preparedTransactionOffset)
      const older = before < 0 ? undefined : this.#log.read(before)
      if (older === undefined || !view.at(older, 0)) break
      at = before
    }
    return offsetMessageId(this.#copy.fields.storeHost, at)
  }

  /** Whether the newest messages of `queue`, those not stored before `since`, hold a copy of the record at `place`. */
  #hasCopy(queue: ConsumeQueue | undefined, place: number, since: number): boolean {
    if (queue === undefined || since === Number.POSITIVE_INFINITY) return false
    const { view } = new RecordCopy()
    for (let offset = queue.maxOffset - 1; offset >= queue.minOffset; offset--) {
      const record = queue.size(offset) === 0 ? undefined : this.#log.read(queue.physicalOffset(offset))
      if (record === undefined || !view.at(record, 0)) continue
      if (sourceOf(view.preparedTransactionOffset) === place) return true
      if (view.storeTimestamp < since) return false
    }
    return false
  }
}
