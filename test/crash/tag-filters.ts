import type { HistoryEvent } from './history.ts'

/** Groups that subscribe to some tags get all messages of those, and none of the others. */
export class TagFilters {
  readonly #wanted = new Map<string, readonly string[]>()
  readonly #tags = new Map<string, string>()
  readonly #delivered = new Map<string, Set<string>>()

  take(event: HistoryEvent): void {
    if (event.event === 'join') {
      if (event.tags !== undefined) this.#wanted.set(event.group, event.tags)
    } else if (event.event === 'send.start') {
      if (event.tag !== undefined) this.#tags.set(event.id, event.tag)
    } else if (event.event === 'recv' || event.event === 'handle.start') {
      const { group, id } = event
      const ids = this.#delivered.get(group) ?? new Set()
      this.#delivered.set(group, ids.add(id))
    }
  }

  isFor(group: string, id: string): boolean {
    const wanted = this.#wanted.get(group)
    return wanted === undefined || wanted.includes(this.#tags.get(id) ?? '')
  }

  violations(): { rule: 'TagFilter'; text: string; ids: string[] }[] {
    const found: { rule: 'TagFilter'; text: string; ids: string[] }[] = []
    for (const [group, ids] of this.#delivered) {
      for (const id of ids) {
        if (this.isFor(group, id)) continue
        const text = `${group} wants ${this.#wanted.get(group)?.join(', ')} and got ${id}, tagged ${this.#tags.get(id)}`
        found.push({ rule: 'TagFilter', text, ids: [id] })
      }
    }
    return found
  }
}
