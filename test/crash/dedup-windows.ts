import type { HistoryEvent } from './history.ts'
import type { WallJumps } from './wall-jumps.ts'

/** The broker counts in whole ms; a message just at the end of the window may be on either side. */
const RESOLUTION_MS = 2

interface Stored {
  readonly id: string
  readonly wall: number
  readonly t: number
  readonly place: string
}

/** Messages of one dedup key: within the window, by the broker's store time, one is stored. */
export class DedupWindows {
  readonly windowMs: number
  readonly #clock: WallJumps
  readonly #sentAt = new Map<string, number>()
  readonly #keys = new Map<string, string>()
  /** By key, what consumers saw of it. */
  readonly #stored = new Map<string, Map<string, Stored>>()
  /** Place and key of what any reader got. */
  readonly #seen = new Set<string>()
  /** Places an answer named as that of a message with this key. */
  readonly #promised = new Map<string, Map<string, string>>()

  constructor(windowMs: number, clock: WallJumps) {
    this.windowMs = windowMs
    this.#clock = clock
  }

  sent({ id, topic, dedupKey, t }: HistoryEvent & { event: 'send.start' }): void {
    if (dedupKey === undefined) return
    this.#keys.set(id, `${topic} ${dedupKey}`)
    this.#sentAt.set(id, t)
  }

  /** @returns true for a repeat: another message was stored for it, at the place of the answer */
  answered({ id, queueId, offset, duplicate }: HistoryEvent & { event: 'send.ok' }, topic: string): boolean {
    const key = this.#keys.get(id)
    if (key === undefined || duplicate !== true) return false
    const places = this.#promised.get(key) ?? new Map<string, string>()
    this.#promised.set(key, places.set(`${topic}/${queueId}/${offset}`, id))
    return true
  }

  seen({ id, topic, queueId, offset }: HistoryEvent & { event: 'recv' }): void {
    if (this.#keys.has(id)) this.#seen.add(`${topic}/${queueId}/${offset} ${this.#keys.get(id)}`)
  }

  delivered({ id, topic, stored, queueId, offset, storedWall, t }: HistoryEvent & { event: 'handle.start' }): void {
    const key = this.#keys.get(id)
    if (key === undefined || topic !== stored) return
    const messages = this.#stored.get(key) ?? new Map<string, Stored>()
    const place = `${stored}/${queueId}/${offset}`
    this.#stored.set(key, messages.set(place, messages.get(place) ?? { id, wall: storedWall, t, place }))
  }

  violations(): { rule: 'DedupWindow' | 'NoLoss'; text: string; ids: string[] }[] {
    const found: { rule: 'DedupWindow' | 'NoLoss'; text: string; ids: string[] }[] = []
    for (const [key, messages] of this.#stored) {
      const inOrder = [...messages.values()].toSorted((a, b) => a.wall - b.wall)
      for (let at = 1; at < inOrder.length; at++) {
        const [first, second] = [inOrder[at - 1] as Stored, inOrder[at] as Stored]
        const apartMs = second.wall - first.wall
        // Stamps in the log never go back, so a clock that was set back and on again leaves no trace in them.
        const gainedMs = this.#clock.gainedIn(this.#sentAt.get(first.id) ?? 0, second.t) / 1e6
        if (apartMs + gainedMs >= this.windowMs - RESOLUTION_MS) continue
        const text = `${key}: ${first.id} and ${second.id} were stored ${apartMs} ms apart`
        found.push({ rule: 'DedupWindow', text, ids: [first.id, second.id] })
      }
    }
    for (const [key, places] of this.#promised) {
      for (const [place, id] of places) {
        if (this.#seen.has(`${place} ${key}`)) continue
        const text = `${id} was called a repeat of ${place}, where nobody found a message with its key`
        found.push({ rule: 'NoLoss', text, ids: [id] })
      }
    }
    return found
  }
}
