import { RecordView } from '@tandemmq/protocol'
import type { MetricSources } from './sources.ts'

/** One group in one topic. */
export interface LagRow {
  readonly group: string
  readonly topic: string
  readonly messages: number
  /** Log offset of the oldest message not consumed; Infinity without any. */
  readonly oldest: number
  readonly leased: number
  readonly delivered: number
  /** Removed by retention before the group had consumed them. */
  readonly lost: number
  readonly weight: number
}

/**
 * How far every group is behind in every topic it has a position in. Looking at a queue is a few loads from memory; the generator
 * pauses after each, so that whoever runs it can stop when its time is over.
 */
export function* lagRows(sources: MetricSources): Generator<undefined, LagRow[]> {
  const { groups, topics, offsets, leases, passedOver } = sources
  const rows: LagRow[] = []
  for (const { name: group, delivered } of groups.list()) {
    for (const name of offsets.topicsOf(group)) {
      const topic = topics.find(name)
      if (topic === undefined) continue
      let messages = 0
      let leased = 0
      let lost = 0
      let oldest = Number.POSITIVE_INFINITY
      for (const [queueId, queue] of topic.queues.slice(0, topic.readQueues).entries()) {
        // A queue the group never read is read from its beginning, as the group exists.
        const committed = offsets.committed(group, name, queueId)
        const first = Math.max(committed, queue.minOffset)
        if (committed >= 0) lost += first - committed
        const next = passedOver(queue, group, first)
        leased += leases.leased(group, name, queueId)
        if (next < queue.maxOffset) {
          messages += queue.maxOffset - next
          oldest = Math.min(oldest, queue.physicalOffset(next))
        }
        yield
      }
      const handed = delivered.get(name)?.messages ?? 0
      rows.push({ group, topic: name, messages, oldest, leased, delivered: handed, lost, weight: messages + lost })
    }
  }
  return rows
}

/** Store times of the oldest messages. A group that stands still is not read for again. */
export class OldestTimes {
  readonly #sources: Pick<MetricSources, 'store'>
  readonly #view = new RecordView()
  #known = new Map<number, number>()
  #asked = new Map<number, number>()

  constructor(sources: Pick<MetricSources, 'store'>) {
    this.#sources = sources
  }

  /** A new answer begins: what the last one did not ask for is forgotten. */
  begin(): void {
    this.#known = this.#asked
    this.#asked = new Map()
  }

  /** @returns undefined when the record is gone or cannot be read */
  of(physicalOffset: number): number | undefined {
    const time = this.#known.get(physicalOffset) ?? this.#asked.get(physicalOffset) ?? this.#read(physicalOffset)
    if (time !== undefined) this.#asked.set(physicalOffset, time)
    return time
  }

  #read(physicalOffset: number): number | undefined {
    try {
      const record = this.#sources.store.read(physicalOffset, true)
      return record !== undefined && this.#view.at(record, 0) ? this.#view.storeTimestamp : undefined
    } catch {
      // Damage is told where the record is served.
      return undefined
    }
  }
}
