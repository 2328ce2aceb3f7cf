import {
  decodeRecord,
  encodeProperties,
  encodeRecord,
  PropertyScan,
  type RecordFields,
  RecordView,
  SystemTopic,
  type StoredMessage,
  emptyRecordFields,
} from '@tandemmq/protocol'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import type { DelayService } from './delay/index.ts'
import type { LogWriter } from './log-writer.ts'
import type { HoldsBack } from './transaction/group-order/index.ts'
import { type AppendCompletion, type DerivedState, StoreError } from './store/index.ts'

/** Helpers of the tests of the rooms that live on the log alone. */
export const testHost = Buffer.from([127, 0, 0, 1, 0, 0, 0x26, 0x94])

export function testClock(seed = 1): VirtualClock {
  return new VirtualClock({ seed, startAt: 1_700_000_000_000 })
}

interface Entry {
  offset: number
  bytes: Buffer
  completion: AppendCompletion | undefined
}

/** A log in memory: appends become durable when {@link flush} says so, and any prefix of it is what a crash may leave. */
export class ScriptLog implements LogWriter {
  readonly clock: VirtualClock
  readonly entries: Entry[] = []
  readonly #nextOffsets = new Map<string, number>()
  #end: number
  #flushed = 0
  #lastStoreTimestamp = 0
  /** Thrown by the next append. */
  refuse: Error | undefined
  /** Flushes at the end of the turn of each append, as the store does. */
  flushSoon = false
  delay: DelayService | undefined
  order: HoldsBack | undefined
  reads = 0
  #checkpoint: { before: number; snapshots: Buffer[] } | undefined

  constructor(clock: VirtualClock, firstOffset = 0) {
    this.clock = clock
    this.#end = firstOffset
  }

  get durableOffset(): number {
    const next = this.entries[this.#flushed]
    return next === undefined ? this.#end : next.offset
  }

  append(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void {
    const refusal = this.refuse
    if (refusal !== undefined) throw refusal
    fields.topic = Buffer.from(topic)
    fields.queueId = queueId
    const queue = `${topic} ${queueId}`
    fields.queueOffset = this.#nextOffsets.get(queue) ?? 0
    this.#nextOffsets.set(queue, fields.queueOffset + 1)
    fields.physicalOffset = this.#end
    fields.storeTimestamp = Math.max(this.clock.now(), this.#lastStoreTimestamp)
    this.#lastStoreTimestamp = fields.storeTimestamp
    const bytes = encodeRecord(fields)
    this.entries.push({ offset: this.#end, bytes, completion })
    this.#end += bytes.length + 4
    if (this.flushSoon) this.clock.soon(() => this.flush())
  }

  deliver(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void {
    const scan = new PropertyScan()
    scan.scan(fields.properties, fields.propertiesStart, fields.propertiesEnd)
    if (this.order?.holds(topic, scan) !== true) return this.append(topic, queueId, fields, completion)
    fields.queueId = queueId
    this.order.append(fields, completion)
  }

  publish(topic: string, queueId: number, fields: RecordFields, completion?: AppendCompletion): void {
    const scan = new PropertyScan()
    scan.scan(fields.properties, fields.propertiesStart, fields.propertiesEnd)
    const deliverAt = this.delay?.deliverAt(scan, fields.properties) ?? 0
    if (deliverAt === 0) return this.deliver(topic, queueId, fields, completion)
    fields.topic = Buffer.from(topic)
    fields.queueId = queueId
    this.delay?.append(fields, deliverAt, completion)
  }

  read(physicalOffset: number): Buffer | undefined {
    this.reads++
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.entries[middle] as Entry).offset < physicalOffset) low = middle + 1
      else high = middle
    }
    const entry = this.entries[low]
    return entry?.offset === physicalOffset ? Buffer.from(entry.bytes) : undefined
  }

  readInto(physicalOffset: number, size: number, target: Buffer, at: number): boolean {
    const record = this.read(physicalOffset)
    if (record === undefined) return false
    if (record.length !== size)
      throw new Error(`the record at ${physicalOffset} has ${record.length} bytes, not ${size}`)
    record.copy(target, at)
    return true
  }

  /** The next `count` appends reach the disk. */
  flush(count = Number.POSITIVE_INFINITY): void {
    for (let n = 0; n < count && this.#flushed < this.entries.length; n++) {
      this.entries[this.#flushed++]?.completion?.stored()
    }
  }

  /** The disk broke under everything not flushed yet. */
  breakDisk(): void {
    const error = new StoreError('STORE_FENCED', 'the disk broke')
    this.refuse = error
    while (this.#flushed < this.entries.length) this.entries[this.#flushed++]?.completion?.failed(error)
  }

  /** What a crash left: the first `records` of this log, nobody waiting. */
  prefix(records: number, clock = this.clock): ScriptLog {
    const left = new ScriptLog(clock)
    for (const { bytes } of this.entries.slice(0, records)) {
      const { topic, queueId, queueOffset, physicalOffset, storeTimestamp } = decodeRecord(bytes)
      left.entries.push({ offset: Number(physicalOffset), bytes, completion: undefined })
      left.#nextOffsets.set(`${topic} ${queueId}`, Number(queueOffset) + 1)
      left.#end = Number(physicalOffset) + bytes.length + 4
      left.#lastStoreTimestamp = storeTimestamp
    }
    left.#flushed = left.entries.length
    left.#checkpoint = this.#checkpoint
    return left
  }

  /** What the rooms know now is what a start begins with; it replays the rest. */
  takeCheckpoint(...rooms: DerivedState[]): void {
    const before = this.durableOffset
    this.#checkpoint = { before, snapshots: rooms.map((room) => Buffer.concat(room.snapshot(before))) }
  }

  replayInto(...rooms: ({ replay(record: RecordView, bytes: Buffer): void } & DerivedState)[]): void {
    const view = new RecordView()
    const checkpoint = this.#checkpoint
    const read = (offset: number): Buffer | undefined => this.read(offset)
    if (checkpoint !== undefined) {
      for (const [index, room] of rooms.entries()) room.restore(checkpoint.snapshots[index] as Buffer, 0, read)
    }
    for (const { offset, bytes } of this.entries) {
      for (const room of offset < (checkpoint?.before ?? 0) ? [] : rooms) {
        view.at(bytes, 0)
        room.replay(view, bytes)
      }
    }
  }

  messages(topic: string): StoredMessage[] {
    return this.entries.map(({ bytes }) => decodeRecord(bytes)).filter((stored) => stored.topic === topic)
  }

  /** Bodies in topics a consumer may read. */
  delivered(): string[] {
    const own: string[] = [
      SystemTopic.HALF,
      SystemTopic.OP_HALF,
      SystemTopic.SCHEDULE,
      SystemTopic.TIMER,
      SystemTopic.HELD,
    ]
    return this.entries
      .map(({ bytes }) => decodeRecord(bytes))
      .filter((stored) => !own.includes(stored.topic))
      .map((stored) => stored.body.toString())
  }
}

/** A message as the send handler has it at hand. */
export function message(
  topic: string,
  body: string,
  properties: Record<string, string> = {},
  queueId = 0,
): { fields: RecordFields; scan: PropertyScan } {
  const fields = emptyRecordFields()
  fields.topic = Buffer.from(topic)
  fields.queueId = queueId
  fields.bornTimestamp = 1
  fields.bornHost = testHost
  fields.storeHost = testHost
  fields.body = Buffer.from(body)
  fields.bodyEnd = fields.body.length
  fields.properties = encodeProperties(properties)
  fields.propertiesEnd = fields.properties.length
  const scan = new PropertyScan()
  scan.scan(fields.properties, 0, fields.propertiesEnd)
  return { fields, scan }
}

/** Counts what became of an append. */
export class Completion implements AppendCompletion {
  state: 'waiting' | 'stored' | 'failed' = 'waiting'

  stored(): void {
    this.state = 'stored'
  }

  failed(): void {
    this.state = 'failed'
  }
}

/** Chance from a seed, for tests. */
export function chance(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 0x1_0000_0000) * below)
  }
}
