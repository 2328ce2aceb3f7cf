import { PropertyName, type StoredMessage } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import type { KeyedTimers } from './keyed-timers.ts'
import type { ParkedRecords } from './parked-records.ts'
import { TimerState } from './timer-state.ts'
import type { TimerTable } from './timer-table.ts'
import type { PendingTimer, TimerPage, TimerQuery } from './types.ts'

/** Records read for one page. */
const LIMIT_MAX = 1_000

interface ListOptions {
  table: TimerTable
  records: ParkedRecords
  keyed: KeyedTimers
  deletedBefore: (topic: string) => number
}

/** What waits, for operators: pages in order of due time. */
export class TimerList {
  readonly #options: ListOptions

  constructor(options: ListOptions) {
    this.#options = options
  }

  /** @throws {BrokerError} INVALID_PARAMETER for a cursor that is none, or a key without a topic */
  async page(query: TimerQuery): Promise<TimerPage> {
    const { table } = this.#options
    const { topic, key, from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY } = query
    const limit = Math.min(Math.max(query.limit ?? LIMIT_MAX, 1), LIMIT_MAX)
    const total = table.unsettled
    if (key !== undefined) return { timers: await this.#withKey(topic, key, { from, to }), total }
    const ids = table.page({ after: cursorOf(query.after), from, to, limit })
    const timers: PendingTimer[] = []
    for (const id of ids) {
      const timer = this.#timer(id)
      if (timer !== undefined && (topic === undefined || timer.topic === topic)) timers.push(timer)
    }
    const last = ids.at(-1)
    if (last === undefined || ids.length < limit) return { timers, total }
    return { timers, total, next: `${table.dueAt(last)}:${table.physicalOffset(last)}` }
  }

  async #withKey(topic: string | undefined, key: string, range: { from: number; to: number }): Promise<PendingTimer[]> {
    if (topic === undefined) throw new BrokerError('INVALID_PARAMETER', 'a key belongs to a topic: name it')
    const { keyed, records, table } = this.#options
    const timers: PendingTimer[] = []
    for (const physicalOffset of await keyed.find(topic, key)) {
      const uniqueKey = records.describe(physicalOffset)?.properties[PropertyName.UNIQ_KEY] ?? ''
      const fingerprint = records.fingerprintOf(Buffer.from(topic), Buffer.from(uniqueKey))
      let found = -1
      for (let id = table.first(fingerprint); id >= 0; id = table.next()) {
        if (table.physicalOffset(id) === physicalOffset) found = id
      }
      const timer = found < 0 ? undefined : this.#timer(found)
      if (timer !== undefined && timer.deliverAt >= range.from && timer.deliverAt <= range.to) timers.push(timer)
    }
    return timers.toSorted((a, b) => a.deliverAt - b.deliverAt).slice(0, LIMIT_MAX)
  }

  /** Undefined when it was settled or is gone. */
  #timer(id: number): PendingTimer | undefined {
    const { records, table, deletedBefore } = this.#options
    const state = table.state(id)
    if (state < TimerState.pending || state > TimerState.changing) return undefined
    const record = records.describe(table.physicalOffset(id))
    return record === undefined ? undefined : timerOf(record, table.dueAt(id), deletedBefore)
  }
}

function timerOf(record: StoredMessage, deliverAt: number, deletedBefore: (topic: string) => number): PendingTimer {
  const { properties } = record
  const topic = properties[PropertyName.REAL_TOPIC] ?? ''
  const physicalOffset = Number(record.physicalOffset)
  return {
    topic,
    queueId: Number(properties[PropertyName.REAL_QID] ?? 0),
    messageId: properties[PropertyName.UNIQ_KEY] ?? '',
    keys: properties[PropertyName.KEYS] ?? '',
    tag: properties[PropertyName.TAGS] ?? '',
    deliverAt,
    storedAt: record.storeTimestamp,
    bodyBytes: record.body.length,
    physicalOffset,
    offsetMessageId: record.offsetMessageId,
    isOrphan: physicalOffset < deletedBefore(topic),
  }
}

function cursorOf(after: string | undefined): { dueAt: number; physicalOffset: number } {
  if (after === undefined) return { dueAt: Number.NEGATIVE_INFINITY, physicalOffset: -1 }
  const [, dueAt, physicalOffset] = /^(\d{1,16}):(\d{1,16})$/.exec(after) ?? []
  if (dueAt === undefined) throw new BrokerError('INVALID_PARAMETER', `"${after.slice(0, 40)}" is no cursor of a page`)
  return { dueAt: Number(dueAt), physicalOffset: Number(physicalOffset) }
}
