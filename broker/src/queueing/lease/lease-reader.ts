import type { Clock } from '@tandemmq/remoting'
import type { ConsumeQueue } from '../../store/index.ts'
import type { Deliveries } from '../../traffic.ts'
import type { RecordReader } from '../record-reader.ts'
import { storedAt } from '../stored-at.ts'
import type { SqlMatcher } from '../sql/index.ts'
import { everything, type MessageFilter } from '../subscription.ts'
import type { Topics } from '../topics.ts'
import { KEYED_REVIVE_QUEUE } from './keyed-leases.ts'
import { takeByKey } from './keyed-reader.ts'
import { LeaseBatch } from './lease-batch.ts'
import type { LeaseBook } from './lease-book.ts'
import { OriginalMessages } from './original-messages.ts'
import { PopAttempts } from './pop-attempts.ts'
import type { PopRequest } from './pop-request.ts'
import { isByPriority, prioritiesInTurn } from './priorities.ts'
import { ORDERED_REVIVE_QUEUE, type RetryFlag } from './receipt.ts'
import { RecordScan } from './record-scan.ts'
import type { RetryTopics } from './retry-topics.ts'

/** Revive queues a stock broker has; with the pop time they tell leases apart. */
const REVIVE_QUEUES = 8
/** Every fifth pop looks at retries first, so that a long backlog does not starve them (broker.md 6.2.2). */
const RETRY_FIRST_EVERY = 5

/** Takes messages out of queues for a pop, and looks for them for a peek or a notification. */
export class LeaseReader {
  readonly #clock: Clock
  readonly #book: LeaseBook
  readonly #topics: Topics
  readonly #scan: RecordScan
  readonly #retryTopics: RetryTopics
  readonly #originals: OriginalMessages
  readonly #attempts: PopAttempts
  readonly #deliveries: Deliveries | undefined
  #pops = 0

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
    this.#retryTopics = options.retryTopics
    this.#scan = new RecordScan(options.store, options.sql)
    this.#deliveries = options.deliveries
    this.#originals = new OriginalMessages(options.brokerName)
    this.#attempts = new PopAttempts({
      ...{ clock: options.clock, receipts: options.book.receipts, scan: this.#scan, originals: this.#originals },
      sourceOf: (topic, queueId) => options.topics.find(topic)?.queues[queueId],
    })
  }

  /** @throws {StoreError} LOG_DAMAGED; what was taken before it keeps its lease */
  take(request: PopRequest): LeaseBatch {
    const again = this.#attempts.again(request)
    if (again !== undefined) return again
    const { isOrdered, isByKey } = request
    const pop = this.#pops++
    const reviveQueueId = isByKey ? KEYED_REVIVE_QUEUE : isOrdered ? ORDERED_REVIVE_QUEUE : pop % REVIVE_QUEUES
    const batch = new LeaseBatch(this.#popTimeOf(request), reviveQueueId)
    this.#scan.begin(request.filter)
    const retryFirst = pop % RETRY_FIRST_EVERY === RETRY_FIRST_EVERY - 1
    if (!isByKey && isByPriority(request)) this.#takeByPriority(request, batch, retryFirst)
    else {
      if (retryFirst && !isOrdered) this.#takeRetries(request, batch)
      for (const source of this.#sourcesOf(request, pop)) {
        if (isByKey) takeByKey({ book: this.#book, scan: this.#scan }, request, batch, source)
        else if (isOrdered) this.#takeInOrder(request, batch, source)
        else this.#takeFrom(request, batch, source, request.filter, 0)
      }
      if (!retryFirst && !isOrdered) this.#takeRetries(request, batch)
    }
    const [record] = batch.records
    if (record !== undefined) this.#deliveries?.age.observe(this.#clock.now() - storedAt(record, 0))
    this.#deliveries?.count(request.group.delivered, request.topic.name, batch.count, batch.bytes)
    this.#attempts.keep(request, batch)
    return batch
  }

  /** Its answer had nobody to go to. */
  release(batch: LeaseBatch): void {
    for (const { queue, offsets } of batch.parts) {
      if (queue !== undefined) this.#book.receipts.release(queue, offsets, batch)
    }
  }

  /** As take, but nobody gets a lease. Popped messages are left out. */
  peek(request: PopRequest): LeaseBatch {
    const batch = new LeaseBatch(0, 0)
    const retries = this.#retrySources(request).sources
    const sources = isByPriority(request)
      ? request.topic.queues.slice(0, request.topic.readQueues).toReversed()
      : this.#sourcesOf(request, this.#pops++)
    for (const source of [...sources, ...retries]) {
      const from = this.#book.startOf(request.group.name, source, false)
      const { records } = this.#scan.scan(batch, source, from, everything, request.countMax - batch.count)
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
      if (request.isByKey && this.#book.open(group.name, source, false).keyed?.hasReady === true) return true
      if (this.#book.startOf(group.name, source, false) >= source.maxOffset) return false
      if (request.isByKey) return true
      if (!isOrdered) return true
      return this.#book.ordered.mayTake(this.#book.open(group.name, source, false), attemptId)
    })
  }

  /** Later than the batches it may follow, so that their receipts end. */
  #popTimeOf(request: PopRequest): number {
    let popTime = this.#clock.now()
    if (!request.isOrdered) return popTime
    for (const source of this.#sourcesOf(request, 0)) {
      const queue = this.#book.open(request.group.name, source, request.fromEnd)
      const before = request.isByKey
        ? (queue.keyed?.ready ?? []).reduce((last, offset) => Math.max(last, queue.find(offset)?.popTime ?? 0), 0)
        : (queue.order?.popTime ?? 0)
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

  #takeRetries(request: PopRequest, batch: LeaseBatch): void {
    const { sources, flag } = this.#retrySources(request)
    // Wanted once already: a stock broker does not filter retries either.
    for (const source of sources) this.#takeFrom(request, batch, source, everything, flag)
  }

  /** The highest queue first, each with what is to be retried of it. */
  #takeByPriority(request: PopRequest, batch: LeaseBatch, retryFirst: boolean): void {
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

  #takeFrom(
    request: PopRequest,
    batch: LeaseBatch,
    source: ConsumeQueue,
    filter: MessageFilter,
    flag: RetryFlag,
  ): void {
    const queue = this.#book.open(request.group.name, source, request.fromEnd && flag === 0)
    if (this.#book.ordered.holds(queue) || queue.keyed !== undefined) return
    const backlog = source.maxOffset - queue.next
    if (backlog <= 0) return
    const room = this.#book.roomOf(queue)
    if (room <= 0) {
      queue.isHungry = true
      return
    }
    const countMax = Math.min(request.countMax - batch.count, room)
    if (countMax > 0 && !this.#scan.isSpent(filter) && !batch.isFull) {
      const found = this.#scan.scan(batch, source, queue.next, filter, countMax)
      const { popTime, reviveQueueId } = batch
      const epoch = { popTime, invisibleMs: request.invisibleMs, reviveQueueId }
      const [start = 0] = found.offsets
      const { nameBytes } = request.topic
      if (flag !== 0) {
        const receipt = { ...epoch, retry: flag }
        found.records = found.records.map((record) => this.#originals.of(record, nameBytes, receipt, start))
      }
      if (found.offsets.length === 0) this.#book.passOver(queue, found.next)
      else this.#book.take(queue, found.offsets, epoch, found.next, !request.marksBegin)
      batch.add(flag, queue, found.offsets, found.records)
    }
    batch.restNum += source.maxOffset - queue.next
    if (queue.next < source.maxOffset) batch.isUnfinished = true
  }

  #takeInOrder(request: PopRequest, batch: LeaseBatch, source: ConsumeQueue): void {
    const queue = this.#book.open(request.group.name, source, request.fromEnd)
    // What waits behind a batch is not counted: it is not to be had (broker.md 6.6).
    if (!this.#book.ordered.mayTake(queue, request.attemptId) || queue.next >= source.maxOffset) return
    const { filter, invisibleMs, attemptId, marksBegin } = request
    const countMax = request.countMax - batch.count
    if (countMax <= 0 || this.#scan.isSpent(filter)) {
      batch.restNum += source.maxOffset - queue.next
      batch.isUnfinished = true
      return
    }
    const found = this.#scan.scan(batch, source, queue.next, filter, countMax)
    if (found.offsets.length === 0) this.#book.passOver(queue, found.next)
    else {
      const epoch = { popTime: batch.popTime, invisibleMs, isCounted: !marksBegin }
      const deliveries = this.#book.takeInOrder(queue, found.offsets, epoch, attemptId)
      batch.add(0, queue, found.offsets, found.records, deliveries)
    }
    batch.restNum += source.maxOffset - found.next
    if (found.offsets.length === 0 && found.next < source.maxOffset) batch.isUnfinished = true
  }
}
