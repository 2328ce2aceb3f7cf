import type { ChaosEvent, Rule, Violation } from './event.ts'

interface Place {
  queue: string
  offset: number
  id: string
  t: number
}

/**
 * Of messages with one dedup key one is stored within the window, measured by the broker's store time; and every sender of the
 * key is told the place of that one.
 */
export class DedupWindow implements Rule {
  readonly #windowMs: number
  readonly #keys = new Map<string, { topic: string; key: string }>()
  readonly #stored = new Map<string, { places: Map<string, { storedAt: number; id: string; t: number }> }>()
  readonly #told = new Map<string, Place[]>()
  #repeats = 0

  /** @param windowMs of the broker; its default is 600,000 */
  constructor(windowMs = 600_000) {
    this.#windowMs = windowMs
  }

  take(event: ChaosEvent): void {
    if (event.event === 'send.start' && event.dedupKey !== undefined) {
      this.#keys.set(event.id, { topic: event.topic, key: `${event.topic} ${event.dedupKey}` })
    } else if (event.event === 'send.ok') {
      const known = this.#keys.get(event.id)
      if (known === undefined) return
      if (event.duplicate) this.#repeats++
      const told = this.#told.get(known.key) ?? []
      told.push({ queue: `${known.topic}/${event.queueId}`, offset: event.offset, id: event.id, t: event.t })
      this.#told.set(known.key, told)
    } else if (event.event === 'stored' && event.dedupKey !== undefined && event.deadFor === undefined) {
      const key = `${event.topic} ${event.dedupKey}`
      const stored = this.#stored.get(key) ?? { places: new Map() }
      const { storedAt, id, t } = event
      stored.places.set(`${event.topic}/${event.queueId}/${event.offset}`, { storedAt, id, t })
      this.#stored.set(key, stored)
    }
  }

  violations(): Violation[] {
    const found: Violation[] = []
    const tell = (text: string, t: number, words: string[]): void =>
      void found.push({ rule: 'DedupWindow', text, t, words })
    for (const [key, { places }] of this.#stored) {
      const copies = [...places].toSorted(([, a], [, b]) => a.storedAt - b.storedAt)
      for (const [index, [place, copy]] of copies.entries()) {
        const ahead = copies[index - 1]
        if (ahead === undefined || copy.storedAt - ahead[1].storedAt >= this.#windowMs) continue
        const gap = copy.storedAt - ahead[1].storedAt
        tell(`${key} is stored at ${ahead[0]} and, ${gap} ms later, at ${place}`, copy.t, [copy.id, ahead[1].id])
      }
    }
    for (const [key, told] of this.#told) {
      const stored = this.#stored.get(key)?.places
      const names = new Set(told.map(({ queue, offset }) => `${queue}/${offset}`))
      const wrong = [...names].find((name) => stored !== undefined && !stored.has(name))
      const [first] = told
      if (first === undefined) continue
      if (wrong !== undefined) tell(`a sender of ${key} was told ${wrong}, where it is not`, first.t, [first.id])
      else if (stored?.size === 1 && names.size > 1)
        tell(`${key} was told to be at ${[...names].join(' and ')}`, first.t, [first.id])
    }
    return found
  }

  figures(): Record<string, number> {
    return {
      'dedup keys': this.#stored.size,
      'repeats answered with the first': this.#repeats,
      'dedup violations': this.violations().length,
    }
  }
}
