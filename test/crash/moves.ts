import type { HistoryEvent } from './history.ts'

type Start = HistoryEvent & { event: 'handle.start' }

/** A group moved, or deleted with its positions; `until` and `untilWall` are Infinity without an answer. */
interface Move {
  /** Undefined: of every topic. */
  readonly topic: string | undefined
  /** As in the history: -1 the end, 0 the beginning, else an instant. */
  readonly to: number
  readonly from: number
  until: number
  untilWall: number
}

/** What was handed out before a move waits in its consumer for a handler at most so long. */
const IN_HAND_NS = 30e9

/** What operators did to the positions of one group, and what that explains. */
export class Moves {
  readonly #moves: Move[] = []

  take(event: HistoryEvent & { event: 'rewind.start' | 'rewind.ok' | 'forget.start' | 'forget.ok' }): void {
    const { t, wall } = event
    if (event.event === 'rewind.start' || event.event === 'forget.start') {
      const isMove = event.event === 'rewind.start'
      const [topic, to] = isMove ? [event.topic, event.to] : [undefined, 0]
      this.#moves.push({ topic, to, from: t, until: Number.POSITIVE_INFINITY, untilWall: Number.POSITIVE_INFINITY })
      return
    }
    const last = this.#moves.at(-1)
    if (last !== undefined) [last.until, last.untilWall] = [t, wall]
  }

  /** The last time something of the topic may have been passed over, ns; -1 for never. */
  skippedUntil(topic: string): number {
    return this.#moves.findLast((move) => move.topic === topic && move.to !== 0)?.until ?? -1
  }

  /**
   * Whether the message of a delivery may have been passed over while the delivery was on its way or under way: then the group need
   * not finish it.
   */
  mayPass({ topic, t, storedWall }: Start): boolean {
    return this.#moves.some((move) => {
      if (move.topic !== topic || move.to === 0 || t > move.until + IN_HAND_NS) return false
      return move.to < 0 ? storedWall <= move.untilWall : storedWall < move.to
    })
  }

  /** Whether at `t` the group may have been moved past what was stored so early. */
  mayHavePassed(topic: string, storedWall: number, t: number): boolean {
    return this.#moves.some(
      (move) => move.topic === topic && move.to !== 0 && move.from <= t && storedWall <= move.untilWall,
    )
  }

  /** Whether a move began after `t` and before `until`. */
  isBetween(t: number, until: number): boolean {
    return this.#moves.some(({ topic, from }) => topic !== undefined && from > t && from < until)
  }

  /**
   * How many lives a message may have at once. A group moved back gets it from its place again, and a retry of it that was waiting
   * comes all the same: each is finished for itself.
   * @param starts of its deliveries, in order of time
   */
  livesOf(starts: readonly Start[]): number {
    const [first] = starts
    if (first === undefined) return 0
    const begins = starts.filter(({ topic, stored, attempt }) => stored === topic && attempt === 1).length
    const last = (starts.at(-1) as Start).t
    const moves = this.#moves.filter(
      ({ topic, from, until }) =>
        (topic === undefined || topic === first.topic) && from <= last && first.t <= until + IN_HAND_NS,
    )
    return Math.max(1, Math.min(begins, 1 + moves.length))
  }
}
