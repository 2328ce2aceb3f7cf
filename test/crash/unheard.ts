import { CalmTimes } from './calm-times.ts'
import type { HistoryEvent } from './history.ts'

/** Time in which a message that was sent in a calm is begun, whatever waits ahead of it. */
const HEARD_NS = 60e9

/** A group gives up what it has tried: in calm times nothing becomes a dead letter that no handler has begun. */
export class Unheard {
  readonly #calm = new CalmTimes()
  readonly #sentAt = new Map<string, number>()
  readonly #begun = new Set<string>()
  readonly #dead = new Map<string, { group: string; id: string; reason: string }>()

  take(event: HistoryEvent): void {
    this.#calm.take(event)
    if (event.event === 'send.start') this.#sentAt.set(event.id, event.t)
    else if (event.event === 'handle.start') this.#begun.add(`${event.group} ${event.id}`)
    else if (event.event === 'dead') this.#dead.set(`${event.group} ${event.id}`, event)
  }

  violations(): { rule: 'Unheard'; text: string; ids: string[] }[] {
    const found: { rule: 'Unheard'; text: string; ids: string[] }[] = []
    for (const [key, { group, id, reason }] of this.#dead) {
      const sentAt = this.#sentAt.get(id)
      if (this.#begun.has(key) || sentAt === undefined) continue
      if (!this.#calm.isCalm(group, sentAt, sentAt + HEARD_NS)) continue
      const text = `${id} is a dead letter of ${group}, which never began it: ${reason}`
      found.push({ rule: 'Unheard', text, ids: [id] })
    }
    return found
  }
}
