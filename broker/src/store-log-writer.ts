import { PropertyScan, type RecordFields } from '@tandemmq/protocol'
import { BrokerError } from './broker-error.ts'
import type { DelayService } from './delay/index.ts'
import { IndexEntry } from './index-entry.ts'
import { describeMessage, keyHash } from './index-key.ts'
import type { LogWriter } from './log-writer.ts'
import type { Topic, Topics } from './queueing/index.ts'
import type { AppendCompletion, MessageStore } from './store/index.ts'
import type { HoldsBack } from './transaction/group-order/index.ts'

interface Parts {
  store: MessageStore
  topics: Topics
  delay: DelayService
  order: HoldsBack
}

export class StoreLogWriter implements LogWriter {
  readonly #scan = new PropertyScan()
  readonly #entry = new IndexEntry()
  #parts: Parts | undefined

  /** The rooms that write through this object exist before the log is read; from now on they may. */
  open(parts: Parts): void {
    this.#parts = parts
  }

  get durableOffset(): number {
    return this.#open.store.durableOffset
  }

  append(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void {
    const { store, topics } = this.#open
    const target = this.#address(topic, queueId, fields)
    this.#scan.scan(fields.properties, fields.propertiesStart, fields.propertiesEnd)
    describeMessage(this.#entry, fields.topic, 0, fields.topic.length, this.#scan)
    const queue = queueId < target.readQueues ? target.queues[queueId] : topics.reopen(target, queueId)
    store.append(queue ?? store.queue(topic, queueId), fields, this.#entry, completion)
  }

  deliver(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void {
    const { order } = this.#open
    if (!order.isActive) return this.append(topic, queueId, fields, completion)
    this.#scan.scan(fields.properties, fields.propertiesStart, fields.propertiesEnd)
    if (!order.holds(topic, this.#scan)) return this.append(topic, queueId, fields, completion)
    fields.queueId = queueId
    order.append(fields, completion)
  }

  publish(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void {
    const { delay } = this.#open
    this.#scan.scan(fields.properties, fields.propertiesStart, fields.propertiesEnd)
    const deliverAt = delay.deliverAt(this.#scan, fields.properties)
    if (deliverAt === 0) return this.deliver(topic, queueId, fields, completion)
    this.#address(topic, queueId, fields)
    delay.append(fields, deliverAt, completion)
  }

  readInto(physicalOffset: number, size: number, target: Buffer, at: number): boolean {
    return this.#open.store.readInto(physicalOffset, size, target, at)
  }

  read(physicalOffset: number, isKnown?: boolean): Buffer | undefined {
    return this.#parts?.store.read(physicalOffset, isKnown)
  }

  /**
   * Log offsets of the records in `topic` that may have `key`, newest first.
   * @throws {StoreError} STORE_FENCED: the index stands still then, and would not know of the newest ones
   */
  *findByKey(topic: string, key: string): Generator<number> {
    const { store, topics } = this.#open
    store.requireOpen()
    const name = topics.find(topic)?.nameBytes ?? Buffer.from(topic)
    const bytes = Buffer.from(key)
    const hash = keyHash(name, 0, name.length, bytes, 0, bytes.length)
    yield* store.findByKey(hash, 0, Number.MAX_SAFE_INTEGER)
  }

  /** Log offset before which records of the topic were deleted with it. */
  deletedBefore(topic: string): number {
    return this.#parts?.store.deletedBefore(topic) ?? 0
  }

  /** The latest stamp in the log, ms since 1970; the clock may show less. */
  get newestTimestamp(): number {
    return this.#open.store.newestTimestamp
  }

  /** What records of this turn are stamped with; Infinity before its first one. */
  get turnTimestamp(): number {
    return this.#open.store.turnTimestamp
  }

  get #open(): Parts {
    if (this.#parts === undefined) throw new BrokerError('NOT_STARTED', 'the log is not open yet')
    return this.#parts
  }

  #address(topic: string, queueId: number, fields: RecordFields): Topic {
    const { topics } = this.#open
    const target = topics.find(topic) ?? topics.ensureInternal(topic, queueId + 1)
    fields.topic = target.nameBytes
    fields.queueId = queueId
    return target
  }
}
