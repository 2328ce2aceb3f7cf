import type { ChaosEvent, Rule, Violation } from './event.ts'

interface Step {
  id: string
  offset: number
  begunAt: number
  endedAt: number
}

/**
 * In a group that keeps order, the messages of one key begin in the order of their offsets, and none begins before the one ahead
 * of it has ended for the first time: its handler returned, or it was given up. Repeats of earlier ones may come later.
 */
export class Order implements Rule {
  readonly #ordered = new Set<string>()
  readonly #attemptsMax = new Map<string, number>()
  readonly #keys = new Map<string, string>()
  /** By group, queue and key; then by message. */
  readonly #lines = new Map<string, Map<string, Step>>()
  readonly #ops = new Map<string, { step: Step; isLast: boolean }>()

  take(event: ChaosEvent): void {
    switch (event.event) {
      case 'join':
        if (event.mode === 'ordered' || event.mode === 'lease-ordered') this.#ordered.add(event.group)
        this.#attemptsMax.set(event.group, event.attemptsMax)
        return
      case 'send.start':
        if (event.key !== undefined) this.#keys.set(event.id, event.key)
        return
      case 'recv': {
        const key = this.#keys.get(event.id)
        // A copy in a retry topic has lost its place; that of its original counts.
        if (key === undefined || !this.#ordered.has(event.group) || event.topic.startsWith('%')) return
        const line = this.#line(`${event.group} ${event.topic}/${event.queueId} ${key}`)
        const step = line.get(event.id) ?? {
          id: event.id,
          offset: event.offset,
          begunAt: event.t,
          endedAt: Number.POSITIVE_INFINITY,
        }
        line.set(event.id, step)
        this.#ops.set(event.op, { step, isLast: event.attempt >= (this.#attemptsMax.get(event.group) ?? 0) })
        return
      }
      case 'done':
      case 'reject':
      case 'nack': {
        const op = this.#ops.get(event.op)
        if (op === undefined) return
        this.#ops.delete(event.op)
        if (event.event !== 'nack' || op.isLast) op.step.endedAt = Math.min(op.step.endedAt, event.t)
      }
    }
  }

  violations(): Violation[] {
    const found: Violation[] = []
    for (const [name, line] of this.#lines) {
      let ahead: Step | undefined
      for (const step of [...line.values()].toSorted((a, b) => a.offset - b.offset)) {
        if (ahead !== undefined && step.begunAt < ahead.endedAt) {
          const how = step.begunAt < ahead.begunAt ? 'had begun' : 'had ended'
          found.push({
            rule: 'Order',
            text: `${step.id} began before ${ahead.id}, which lies ahead of it, ${how} (${name})`,
            t: step.begunAt,
            words: [step.id, ahead.id],
          })
        }
        ahead = step
      }
    }
    return found
  }

  figures(): Record<string, number> {
    let steps = 0
    for (const line of this.#lines.values()) steps += line.size
    return { 'deliveries in order': steps, 'order violations': this.violations().length }
  }

  #line(name: string): Map<string, Step> {
    let line = this.#lines.get(name)
    if (line === undefined) this.#lines.set(name, (line = new Map()))
    return line
  }
}
