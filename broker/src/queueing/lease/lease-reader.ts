import type { Clock } from '@tandemmq/remoting'
import type { ConsumeQueue } from '../../store/index.ts'
import type { Deliveries } from '../../traffic.ts'
import type { RecordReader } from '../record-reader.ts'
import { storedAt } from '../stored-at.ts'
import type { SqlMatcher } from '../sql/index.ts'
import { everything, type MessageFilter } from '../subscription.ts'
import type { Topics } from '../topics.ts'
import type { LeaseBook } from './lease-book.ts'
import type { LeaseQueue } from './lease-queue.ts'
import { OriginalMessages } from './original-messages.ts'
import type { PopRequest } from './pop-request.ts'
import { isByPriority, prioritiesInTurn } from './priorities.ts'
import { ORDERED_REVIVE_QUEUE, type RetryFlag } from './receipt.ts'
import type { RetryTopics } from './retry-topics.ts'

/** As for pulls: at least one message, and no more bytes than this. */
const BATCH_BYTES_MAX = 262_144
/** Queue entries looked at per queue and request. */
const SCAN_MAX = 800
/** Revive queues a stock broker has; with the pop time they tell leases apart. */
const REVIVE_QUEUES = 8
/** Every fifth pop looks at retries first, so that a long backlog does not starve them (broker.md 6.2.2). */
const RETRY_FIRST_EVERY = 5

/** The messages of one queue in an answer. */
export interface Part {
  readonly flag: RetryFlag
  readonly queueId: number
  readonly offsets: readonly number[]
  /** In order only: how often each was delivered before. */
  readonly counts?: readonly number[]
}

/** What a pop was given. */
export interface Batch {
  readonly popTime: number
  readonly reviveQueueId: number
  readonly parts: Part[]
  readonly records: Buffer[]
  /** Messages left in the queues it could have read. */
  restNum: number
  /** Not every queue was looked through: there may be more. */
  isUnfinished: boolean
}

interface Found {
  offsets: number[]
  records: Buffer[]
  /** Everything before it was looked at. */
  next: number
}

/** Takes messages out of queues for a pop, and looks for them for a peek or a notification. */
export class LeaseReader {
  readonly #clock: Clock
  readonly #book: LeaseBook
  readonly #topics: Topics
  readonly #store: RecordReader
  readonly #retryTopics: RetryTopics
  readonly #sql: SqlMatcher
  readonly #originals: OriginalMessages
  readonly #deliveries: Deliveries | undefined
  #pops = 0
  #bytes = 0
  #count = 0

  constructor(options: {
    clock: Clock
    book: LeaseBook
    topics: Topics
    store: RecordReader
    retryTopics: RetryTopics
    sql: SqlMatcher
    brokerName: string
    deliveries?: Deliveries | undefined
  }) {
    this.#clock = options.clock
    this.#book = options.book
    this.#topics = options.topics
    this.#store = options.store
    this.#retryTopics = options.retryTopics
    this.#sql = options.sql
    this.#deliveries = options.deliveries
    this.#originals = new OriginalMessages(options.brokerName)
  }

  /** @throws {StoreError} LOG_DAMAGED; what was taken before it keeps its lease */
  take(request: PopRequest): Batch {
    const { isOrdered } = request
    const pop = this.#pops++
    const batch: Batch = {
      popTime: this.#popTimeOf(request),
      reviveQueueId: isOrdered ? ORDERED_REVIVE_QUEUE : pop % REVIVE_QUEUES,
      parts: [],
      records: [],
      restNum: 0,
      isUnfinished: false,
    }
    this.#bytes = 0
    this.#count = 0
    if (request.filter.kind === 'sql') this.#sql.begin()
    const retryFirst = pop % RETRY_FIRST_EVERY === RETRY_FIRST_EVERY - 1
    if (isByPriority(request)) this.#takeByPriority(request, batch, retryFirst)
    else {
      if (retryFirst && !isOrdered) this.#takeRetries(request, batch)
      for (const source of this.#sourcesOf(request, pop)) {
        if (isOrdered) this.#takeInOrder(request, batch, source)
        else this.#takeFrom(request, batch, source, request.filter, 0)
      }
      if (!retryFirst && !isOrdered) this.#takeRetries(request, batch)
    }
    const [record] = batch.records
    if (record !== undefined) this.#deliveries?.age.observe(this.#clock.now() - storedAt(record, 0))
    this.#deliveries?.count(request.group.delivered, request.topic.name, this.#count, this.#bytes)
    return batch
  }

  /** As take, but nobody gets a lease. Popped messages are left out. */
  peek(request: PopRequest): Batch {
    const batch: Batch = { popTime: 0, reviveQueueId: 0, parts: [], records: [], restNum: 0, isUnfinished: false }
    this.#bytes = 0
    this.#count = 0
    const retries = this.#retrySources(request).sources
    const sources = isByPriority(request)
      ? request.topic.queues.slice(0, request.topic.readQueues).toReversed()
      : this.#sourcesOf(request, this.#pops++)
    for (const source of [...sources, ...retries]) {
      const from = this.#book.startOf(request.group.name, source, false)
      const { records } = this.#scan(source, from, everything, request.countMax - this.#count)
      const isCopy = retries.includes(source)
      const { nameBytes } = request.topic
      batch.records.push(...records.map((one) => (isCopy ? this.#originals.of(one, nameBytes, undefined, 0) : one)))
      batch.restNum += Math.max(0, source.maxOffset - from)
    }
    return batch
  }

  /** Whether a pop now would find anything. */
  hasMessages(request: PopRequest): boolean {
    const { group, isOrdered, attemptId } = request
    const sources = this.#sourcesOf(request, 0)
    if (!isOrdered) sources.push(...this.#retrySources(request).sources)
    return sources.some((source) => {
      if (this.#book.startOf(group.name, source, false) >= source.maxOffset) return false
      if (!isOrdered) return true
      return this.#book.ordered.mayTake(this.#book.open(group.name, source, false), attemptId)
    })
  }

  /** Later than the batches it may follow, so that their receipts end. */
  #popTimeOf(request: PopRequest): number {
    let popTime = this.#clock.now()
    if (!request.isOrdered) return popTime
    for (const source of this.#sourcesOf(request, 0)) {
      const before = this.#book.open(request.group.name, source, request.fromEnd).order?.popTime ?? 0
      if (before >= popTime) popTime = before + 1
    }
    return popTime
  }

  /** From a queue that changes with every pop, so that none is served last for ever. */
  #sourcesOf({ topic, queueId }: PopRequest, pop: number): ConsumeQueue[] {
    if (queueId >= 0) {
      const source = topic.queues[queueId]
      return source === undefined ? [] : [source]
    }
    const sources = topic.queues.slice(0, topic.readQueues)
    const first = pop % Math.max(sources.length, 1)
    return [...sources.slice(first), ...sources.slice(0, first)]
  }

  /** One queue for each priority the topic has, or had once. */
  #retrySources({ group, topic }: PopRequest): { sources: readonly ConsumeQueue[]; flag: RetryFlag } {
    const retry = this.#retryTopics.find(group.name, topic.name)
    const sources = retry === undefined ? undefined : this.#topics.find(retry.name)?.queues
    return { sources: sources ?? [], flag: retry?.flag ?? 1 }
  }

  #takeRetries(request: PopRequest, batch: Batch): void {
    const { sources, flag } = this.#retrySources(request)
    // Wanted once already: a stock broker does not filter retries either.
    for (const source of sources) this.#takeFrom(request, batch, source, everything, flag)
  }

  /** The highest queue first, each with what is to be retried of it. */
  #takeByPriority(request: PopRequest, batch: Batch, retryFirst: boolean): void {
    const { group, topic, filter, fromEnd } = request
    const { sources: retries, flag } = this.#retrySources(request)
    const count = Math.max(topic.readQueues, retries.length)
    const turns = this.#book.open(group.name, topic.queues[0] as ConsumeQueue, fromEnd)
    for (const priority of prioritiesInTurn(count, turns.turn)) {
      const retry = retries[priority]
      if (retryFirst && retry !== undefined) this.#takeFrom(request, batch, retry, everything, flag)
      const source = priority < topic.readQueues ? topic.queues[priority] : undefined
      if (source !== undefined) this.#takeFrom(request, batch, source, filter, 0)
      if (!retryFirst && retry !== undefined) this.#takeFrom(request, batch, retry, everything, flag)
    }
    // A turn that found nothing owes it still to those it was meant for.
    if (batch.records.length > 0) turns.turn++
  }

  #takeFrom(request: PopRequest, batch: Batch, source: ConsumeQueue, filter: MessageFilter, flag: RetryFlag): void {
    const queue = this.#book.open(request.group.name, source, request.fromEnd && flag === 0)
    if (this.#book.ordered.holds(queue)) return
    const backlog = source.maxOffset - queue.next
    if (backlog <= 0) return
    const room = this.#book.roomOf(queue)
    if (room <= 0) {
      queue.isHungry = true
      return
    }
    const countMax = Math.min(request.countMax - this.#count, room)
    const isSpent = filter.kind === 'sql' && (this.#sql.isTurnSpent || this.#sql.isRequestSpent)
    if (countMax > 0 && !isSpent && (this.#count === 0 || this.#bytes < BATCH_BYTES_MAX)) {
      const found = this.#scan(source, queue.next, filter, countMax)
      const { popTime, reviveQueueId } = batch
      const epoch = { popTime, invisibleMs: request.invisibleMs, reviveQueueId }
      const [start = 0] = found.offsets
      const { nameBytes } = request.topic
      if (flag !== 0) {
        const receipt = { ...epoch, retry: flag }
        found.records = found.records.map((record) => this.#originals.of(record, nameBytes, receipt, start))
      }
      if (found.offsets.length === 0) this.#book.passOver(queue, found.next)
      else this.#book.take(queue, found.offsets, epoch, found.next)
      add(batch, flag, queue, found)
    }
    batch.restNum += source.maxOffset - queue.next
    if (queue.next < source.maxOffset) batch.isUnfinished = true
  }

  #takeInOrder(request: PopRequest, batch: Batch, source: ConsumeQueue): void {
    const queue = this.#book.open(request.group.name, source, request.fromEnd)
    // What waits behind a batch is not counted: it is not to be had (broker.md 6.6).
    if (!this.#book.ordered.mayTake(queue, request.attemptId) || queue.next >= source.maxOffset) return
    const { filter, invisibleMs, attemptId } = request
    const countMax = request.countMax - this.#count
    if (countMax <= 0 || (filter.kind === 'sql' && (this.#sql.isTurnSpent || this.#sql.isRequestSpent))) {
      batch.restNum += source.maxOffset - queue.next
      batch.isUnfinished = true
      return
    }
    const found = this.#scan(source, queue.next, filter, countMax)
    if (found.offsets.length === 0) this.#book.passOver(queue, found.next)
    else {
      const { popTime } = batch
      const counts = this.#book.takeInOrder(queue, found.offsets, { popTime, invisibleMs }, attemptId)
      add(batch, 0, queue, found, counts)
    }
    batch.restNum += source.maxOffset - found.next
    if (found.offsets.length === 0 && found.next < source.maxOffset) batch.isUnfinished = true
  }

  #scan(source: ConsumeQueue, from: number, filter: MessageFilter, countMax: number): Found {
    const found: Found = { offsets: [], records: [], next: from }
    const end = Math.min(source.maxOffset, from + SCAN_MAX)
    for (let at = from; at < end && found.offsets.length < countMax; at++) {
      const size = source.size(at)
      if (size > 0) {
        if (filter.kind === 'sql' && (this.#sql.isRequestSpent || this.#sql.isTurnSpent)) break
        try {
          const isWanted =
            filter.kind === 'tag' ? filter.matches(source.tagsCode(at)) : this.#sql.matches(filter, source, at)
          if (isWanted) {
            if (this.#count > 0 && this.#bytes + size > BATCH_BYTES_MAX) break
            const record = Buffer.allocUnsafe(size)
            if (this.#store.readInto(source.physicalOffset(at), size, record, 0)) {
              found.offsets.push(at)
              found.records.push(record)
              this.#count++
              this.#bytes += size
            }
          }
        } catch (error) {
          // Damaged: what was found before it must not stay leased to nobody.
          if (this.#count === 0) throw error
          break
        }
      }
      found.next = at + 1
    }
    return found
  }
}

function add(batch: Batch, flag: RetryFlag, { queueId }: LeaseQueue, found: Found, counts?: readonly number[]): void {
  if (found.offsets.length === 0) return
  batch.parts.push({ flag, queueId, offsets: found.offsets, ...(counts === undefined ? {} : { counts }) })
  batch.records.push(...found.records)
}
