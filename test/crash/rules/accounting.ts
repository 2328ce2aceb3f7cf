import type { ChaosEvent, Rule, Violation } from './event.ts'

/**
 * Counts, and what must not be counted at all: a handler that got what nobody sent, another body than was sent, what was certainly
 * refused, or a half message that was not committed; a reply to somebody else's request.
 */
export class Accounting implements Rule {
  readonly #sent = new Map<string, string>()
  readonly #acknowledged = new Set<string>()
  readonly #refused = new Set<string>()
  readonly #halves = new Set<string>()
  readonly #committed = new Set<string>()
  readonly #handed = new Set<string>()
  readonly #phantoms: Violation[] = []
  readonly #found: Violation[] = []
  readonly #arrivedHalves = new Map<string, number>()
  readonly #broadcasting = new Set<string>()
  readonly #stored = new Set<string>()
  #unknown = 0
  #delivered = 0
  #duplicates = 0
  #replies = 0
  #unanswered = 0
  #faults = 0

  take(event: ChaosEvent): void {
    switch (event.event) {
      case 'send.start':
        this.#sent.set(event.id, event.hash)
        if (event.kind === 'half') this.#halves.add(event.id)
        return
      case 'send.ok':
        this.#acknowledged.add(event.id)
        return
      case 'send.unknown':
        this.#unknown++
        return
      case 'send.fail':
        this.#refused.add(event.id)
        return
      case 'local.commit':
        this.#committed.add(event.id)
        return
      case 'join':
        if (event.mode === 'broadcasting') this.#broadcasting.add(event.group)
        return
      case 'request.ok':
        this.#replies++
        if (event.answers !== event.id) {
          const text = `the request ${event.id} was answered with the reply to ${event.answers}`
          this.#found.push({ rule: 'Replies', text, t: event.t, words: [event.id, event.answers] })
        }
        return
      case 'request.fail':
        this.#unanswered++
        return
      case 'fault':
        this.#faults++
        return
      case 'recv': {
        this.#delivered++
        const reader = this.#broadcasting.has(event.group) ? `${event.group} ${event.member}` : event.group
        const delivery = `${reader} ${event.id} ${event.attempt}`
        if (this.#handed.has(delivery)) this.#duplicates++
        this.#handed.add(delivery)
        return this.#known(event)
      }
      case 'stored':
        this.#stored.add(`${event.topic}/${event.queueId}/${event.offset}`)
        this.#known(event)
    }
  }

  violations(): Violation[] {
    const found = [...this.#phantoms, ...this.#found]
    for (const [id, t] of this.#arrivedHalves) {
      if (this.#committed.has(id)) continue
      found.push({ rule: 'TxnAtomic', text: `${id} arrived, and its transaction was not committed`, t, words: [id] })
    }
    for (const id of this.#refused) {
      if (!this.#handed.has(`any ${id}`) || this.#acknowledged.has(id)) continue
      found.push({ rule: 'NoPhantom', text: `${id} was refused for good, and arrived`, t: 0, words: [id] })
    }
    return found
  }

  figures(): Record<string, number> {
    return {
      sent: this.#sent.size,
      ok: this.#acknowledged.size,
      unknown: this.#unknown,
      refused: this.#refused.size,
      stored: this.#stored.size,
      delivered: this.#delivered,
      duplicates: this.#duplicates,
      phantom: this.#phantoms.length,
      replies: this.#replies,
      'requests without reply': this.#unanswered,
      faults: this.#faults,
    }
  }

  #known({ id, hash, t }: ChaosEvent & { event: 'recv' | 'stored' }): void {
    this.#handed.add(`any ${id}`)
    if (this.#halves.has(id) && !this.#arrivedHalves.has(id)) this.#arrivedHalves.set(id, t)
    const sent = this.#sent.get(id)
    if (sent === hash) return
    const text = sent === undefined ? `${id} arrived, and nobody sent it` : `${id} arrived with another body`
    this.#phantoms.push({ rule: 'NoPhantom', text, t, words: [id] })
  }
}
