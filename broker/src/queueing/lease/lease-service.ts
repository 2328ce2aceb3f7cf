import { retryTopic } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import type { LogWriter } from '../../log-writer.ts'
import type { ConsumeQueue } from '../../store/index.ts'
import type { Deliveries } from '../../traffic.ts'
import type { ConsumerGroups } from '../consumer-groups.ts'
import type { Offsets, QueueLookup } from '../offsets.ts'
import type { RecordReader } from '../record-reader.ts'
import { type SqlExpressions, SqlMatcher } from '../sql/index.ts'
import type { Journal } from '../state-table.ts'
import type { Topics } from '../topics.ts'
import { AckService } from './ack-service.ts'
import { LeaseBook, type LeaseFigures } from './lease-book.ts'
import { earliestHeld } from './lease-places.ts'
import { LeaseReader } from './lease-reader.ts'
import { LeaseTable } from './lease-table.ts'
import { PopAdmission } from './pop-request.ts'
import { PopService } from './pop-service.ts'
import { RetryTopics } from './retry-topics.ts'
import { Revival } from './revival.ts'

export interface LeaseStats extends LeaseFigures {
  /** Messages under a lease now, and pops that wait for some. */
  live: number
  waiting: number
  /** Queues of groups that consume by leases. */
  queues: number
  /** Copies made of messages whose lease ran out; `lost`: gone before one could be made, by a hard limit of retention. */
  retried: number
  deadLettered: number
  lost: number
}

/** What the journal knows before the log is open. */
export interface LeaseTables {
  table: LeaseTable
  retryTopics: RetryTopics
}

export function openLeaseTables(options: { clock: Clock; journal: Journal }): LeaseTables {
  return { table: new LeaseTable(options), retryTopics: new RetryTopics(options) }
}

/** RocketMQ's POP: messages are leased one by one, to any number of consumers per queue (spec/broker.md 6). */
export class LeaseService {
  readonly pops: PopService
  readonly acks: AckService
  readonly #table: LeaseTable
  readonly #book: LeaseBook
  readonly #revival: Revival
  readonly #lookup: QueueLookup

  /**
   * @param options.perQueueMax leases of one queue of a group, default 10,000: pops then wait for acks
   * @param options.totalMax leases of all, default 1,000,000, about 200 bytes each
   */
  constructor(options: {
    clock: Clock
    tables: LeaseTables
    topics: Topics
    groups: ConsumerGroups
    offsets: Offsets
    sql: SqlExpressions
    store: RecordReader
    log: LogWriter
    lookup: QueueLookup
    brokerName: string
    /** Where what is handed out is counted. */
    deliveries?: Deliveries
    perQueueMax?: number
    totalMax?: number
  }) {
    const { clock, topics, groups, offsets, sql, store, log, lookup, brokerName, deliveries } = options
    const { table, retryTopics } = options.tables
    const redeliveriesMax = (group: string): number => groups.policyOf(group).attemptsMax
    this.#table = table
    this.#lookup = lookup
    this.#revival = new Revival({
      ...{ log, retryTopics, lookup, redeliveriesMax },
      prioritiesOf: (name) => {
        const topic = topics.find(name)
        return topic?.isPriority === true ? topic.readQueues : 1
      },
      ensureTopic: (name, queues) => topics.ensurePopRetry(name, queues),
      isTaken: (name) => groups.find(name.slice(retryTopic('').length)) !== undefined,
    })
    const { perQueueMax = 10_000, totalMax = 1_000_000 } = options
    const revival = this.#revival
    const book = new LeaseBook({ clock, table, offsets, revival, lookup, redeliveriesMax, perQueueMax, totalMax })
    this.#book = book
    const matcher = new SqlMatcher({ clock, store })
    const reader = new LeaseReader({ clock, book, topics, store, retryTopics, sql: matcher, brokerName, deliveries })
    const admission = new PopAdmission({ topics, groups, sql, now: () => clock.now() })
    this.pops = new PopService({ clock, admission, reader, table, retryTopics })
    this.acks = new AckService({
      ...{ topics, table, receipts: book.receipts },
      retryDelayMs: (group, retries) => groups.policyOf(group).delayMs(retries),
      retriesOf: (topic, queueId, offset) => this.#revival.retriesOf(topic, queueId, offset),
    })
    book.onRoom = (queue) => this.pops.onRoom(queue)
    groups.onFarewell = (group, connection) => this.pops.farewell(group, connection)
    topics.listeners.push(({ name }, change) => {
      if (change !== 'deleted') return
      book.dropTopic(name)
      retryTopics.drop(name)
      this.pops.topicDeleted(name)
    })
  }

  /** New messages of `queue` became visible: called once per queue and flush. */
  onVisible(queue: ConsumeQueue): void {
    this.pops.onVisible(queue)
  }

  connectionClosed(connection: Connection): void {
    this.pops.connectionClosed(connection)
  }

  /** Where the group takes its next message of a queue it consumes by leases; undefined when it does not. */
  nextOffset(group: string, topic: string, queueId: number): number | undefined {
    return this.#table.find(group, topic, queueId)?.next
  }

  /** Messages of a queue leased to members of the group. */
  leased(group: string, topic: string, queueId: number): number {
    return this.#table.find(group, topic, queueId)?.leased ?? 0
  }

  deleteGroup(group: string): void {
    this.#book.dropGroup(group)
  }

  /** Log offset of the first leased message; Infinity when there is none. */
  earliestPinned(): number {
    return earliestHeld(this.#table, this.#lookup)
  }

  stats(): LeaseStats {
    return {
      ...this.#book.figures,
      ...this.#revival.figures,
      live: this.#book.live,
      waiting: this.pops.waiting,
      queues: this.#table.size,
    }
  }

  /** Waiting pops get no answer; the connections are about to close. Leases go on by the wall clock. */
  close(): void {
    this.pops.close()
    this.#book.close()
    this.#table.flush()
  }
}
