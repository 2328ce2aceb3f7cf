import type { GroupProgress } from './group-progress.ts'
import type { HistoryEvent } from './history.ts'

/** What must be known of a message to say whether it may be gone. */
export interface Removable {
  readonly topic: string
  readonly kind: string
  readonly startedAt: number
  readonly okAt: number
  readonly lastReceivedAt: number
  /** `topic/queue/offset` */
  readonly place: string | undefined
}

/** From the request to the answer; Infinity while there was none. */
interface Deletion {
  from: number
  to: number
}

/** A client asks again after its request timeout, the shortest of which this is. */
const REPEAT_NS = 1e9

/** Messages that are gone for a reason: their topic was deleted, or retention removed what every group had consumed. */
export class Removals {
  readonly #progress: GroupProgress
  readonly #deletions = new Map<string, Deletion[]>()
  readonly #starts = new Map<string, number>()

  constructor(progress: GroupProgress) {
    this.#progress = progress
  }

  takeDeletion({ event, topic, t }: HistoryEvent & { event: 'delete.start' | 'delete.ok' }): void {
    const deletions = this.#deletions.get(topic) ?? []
    this.#deletions.set(topic, deletions)
    const last = deletions.at(-1)
    if (event === 'delete.start') deletions.push({ from: t, to: Number.POSITIVE_INFINITY })
    else if (last !== undefined) last.to = t
  }

  /** The queue begins at `minOffset` now. */
  takeStart(topic: string, queueId: number, minOffset: number): void {
    this.#starts.set(`${topic}/${queueId}`, minOffset)
  }

  wasDeleted(topic: string): boolean {
    return this.#deletions.has(topic)
  }

  /** Nobody has to get it any more. */
  mayBeGone(message: Removable): boolean {
    return this.#deletionOf(message) !== undefined || this.#isBeforeStart(message.place)
  }

  /**
   * A send that was asked again may have a request under way when its topic is deleted, and that one reaches the topic made anew:
   * the broker knows the keys of deleted messages no more, and takes it for new.
   */
  mayBeRepeat({ topic, startedAt, okAt }: Removable, t: number): boolean {
    const isAskedAgain = okAt === 0 || okAt - startedAt >= REPEAT_NS
    return isAskedAgain && (this.#deletions.get(topic) ?? []).some(({ from, to }) => startedAt <= to && from <= t)
  }

  /** @returns what is wrong with the removal of this message, or with its presence */
  judge(id: string, message: Removable): { rule: 'Deleted' | 'Retention'; text: string } | undefined {
    const { place } = message
    const deletion = this.#deletionOf(message)
    if (deletion !== undefined) {
      // What waits elsewhere, parked or half, goes to whatever has the name when its time comes.
      const isParked = message.kind === 'delayed' || message.kind === 'half'
      // A send without an answer may reach the topic that has the name afterwards.
      const wasThere = message.okAt > 0 && message.okAt < deletion.from
      const isBack = !isParked && wasThere && message.lastReceivedAt > deletion.to
      return isBack
        ? { rule: 'Deleted', text: `${id} arrived after its topic ${message.topic} was deleted` }
        : undefined
    }
    if (place === undefined || !this.#isBeforeStart(place)) return undefined
    const { queue, offset } = split(place)
    const consumed = this.#progress.consumed(queue)
    if (consumed > offset) return undefined
    return { rule: 'Retention', text: `${id} at ${place} was removed, and the groups are at ${consumed}` }
  }

  /** The deletion that took the message, or may have. */
  #deletionOf({ topic, startedAt }: Removable): Deletion | undefined {
    return this.#deletions.get(topic)?.find(({ to }) => startedAt <= to)
  }

  #isBeforeStart(place: string | undefined): boolean {
    if (place === undefined) return false
    const { queue, offset } = split(place)
    return offset < (this.#starts.get(queue) ?? 0)
  }
}

function split(place: string): { queue: string; offset: number } {
  const at = place.lastIndexOf('/')
  return { queue: place.slice(0, at), offset: Number(place.slice(at + 1)) }
}
