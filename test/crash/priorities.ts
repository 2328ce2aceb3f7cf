import { CalmTimes } from './calm-times.ts'
import type { HistoryEvent } from './history.ts'

/** Time from the acknowledgement until a consumer that is not busy has surely heard of a message. */
const KNOWN_NS = 2e9
/** A burst is worked off within. */
const BURST_NS = 20e9
/** Beginnings out of turn that prove nothing. */
const FEW = 20

interface Ranked {
  readonly priority: number
  okAt: number
  /** First delivery by group. */
  readonly begunAt: Map<string, number>
}

/**
 * Messages with a priority: the highest that waits is next. Now and then a lower one is taken, so that none waits for ever, but of all
 * that begin while a higher one waits there are fewer than of those that begin while a lower one does.
 */
export class Priorities {
  readonly #calm = new CalmTimes()
  readonly #messages = new Map<string, Ranked>()
  readonly #places: { id: string; queueId: number }[] = []

  take(event: HistoryEvent): void {
    this.#calm.take(event)
    if (event.event === 'send.start') {
      const { id, priority } = event
      if (priority !== undefined) this.#messages.set(id, { priority, okAt: 0, begunAt: new Map() })
    } else if (event.event === 'send.ok') {
      const message = this.#messages.get(event.id)
      if (message === undefined) return
      message.okAt = event.t
      this.#places.push({ id: event.id, queueId: event.queueId })
    } else if (event.event === 'handle.start') {
      const message = this.#messages.get(event.id)
      if (message !== undefined && !message.begunAt.has(event.group)) message.begunAt.set(event.group, event.t)
    }
  }

  violations(): { rule: 'Priority'; text: string; ids: string[] }[] {
    const found: { rule: 'Priority'; text: string; ids: string[] }[] = []
    for (const { id, queueId } of this.#places) {
      const { priority } = this.#messages.get(id) as Ranked
      if (queueId === priority) continue
      found.push({ rule: 'Priority', text: `${id} of priority ${priority} lies in queue ${queueId}`, ids: [id] })
    }
    const groups = new Set([...this.#messages.values()].flatMap(({ begunAt }) => [...begunAt.keys()]))
    for (const group of groups) {
      const { inTurn, outOfTurn } = this.#turnsOf(group)
      if (outOfTurn.length <= inTurn / 2 + FEW) continue
      const text = `${group} began ${outOfTurn.length} messages while higher ones waited, and ${inTurn} while lower ones did`
      found.push({ rule: 'Priority', text, ids: outOfTurn.slice(-3) })
    }
    return found
  }

  #turnsOf(group: string): { inTurn: number; outOfTurn: string[] } {
    const known = [...this.#messages].filter(([, { okAt, begunAt }]) => okAt > 0 && begunAt.has(group))
    const outOfTurn: string[] = []
    let inTurn = 0
    for (const [id, { priority, begunAt }] of known) {
      const at = begunAt.get(group) as number
      if (!this.#calm.isCalm(group, at - BURST_NS, at)) continue
      const waiting = known.filter(([, one]) => one.okAt + KNOWN_NS < at && (one.begunAt.get(group) as number) > at)
      if (waiting.some(([, one]) => one.priority > priority)) outOfTurn.push(id)
      else if (waiting.some(([, one]) => one.priority < priority)) inTurn++
    }
    return { inTurn, outOfTurn }
  }
}
