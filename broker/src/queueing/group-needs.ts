import type { Clock } from '@tandemmq/remoting'
import type { ConsumerGroups } from './consumer-groups.ts'
import type { Offsets, QueueLookup } from './offsets.ts'

/** Messages that were removed before a group had consumed them. */
export interface LostToGroup {
  group: string
  topic: string
  queueId: number
  messages: number
}

/**
 * What consumer groups still have to read, for retention. A group counts while it has members, and for `liveMs` after its last
 * commit; after a start of the broker every group counts as if it had committed just then.
 */
export class GroupNeeds {
  readonly #clock: Clock
  readonly #groups: Pick<ConsumerGroups, 'online'>
  readonly #offsets: Offsets
  readonly #lookup: QueueLookup
  #liveMs: number
  readonly #startedAt: number

  constructor(options: {
    clock: Clock
    groups: Pick<ConsumerGroups, 'online'>
    offsets: Offsets
    lookup: QueueLookup
    liveMs: number
  }) {
    this.#clock = options.clock
    this.#groups = options.groups
    this.#offsets = options.offsets
    this.#lookup = options.lookup
    this.#liveMs = options.liveMs
    this.#startedAt = options.clock.monotonic()
  }

  /** Changes the constructor's `liveMs`. */
  set liveMs(liveMs: number) {
    this.#liveMs = liveMs
  }

  /** Log offset of the first record a live group has not consumed; Infinity when there is none. */
  earliest(): number {
    const online = new Set(this.#groups.online())
    const now = this.#clock.monotonic()
    let earliest = Number.POSITIVE_INFINITY
    for (const { group, topic, queueId, committed, committedAt } of this.#offsets.all()) {
      if (!online.has(group) && now - Math.max(committedAt, this.#startedAt) > this.#liveMs) continue
      const queue = this.#lookup(topic, queueId)
      if (queue === undefined) continue
      let offset = Math.max(committed, queue.minOffset)
      while (offset < queue.maxOffset && queue.size(offset) === 0) offset++
      if (offset < queue.maxOffset) earliest = Math.min(earliest, queue.physicalOffset(offset))
    }
    return earliest
  }

  /** Every group, live or not, whose next message is gone. */
  lost(): LostToGroup[] {
    const lost: LostToGroup[] = []
    for (const { group, topic, queueId, committed } of this.#offsets.all()) {
      const messages = (this.#lookup(topic, queueId)?.minOffset ?? 0) - committed
      if (messages > 0) lost.push({ group, topic, queueId, messages })
    }
    return lost
  }
}
