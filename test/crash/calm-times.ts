import type { HistoryEvent } from './history.ts'

/** After the last fault: lost connections are noticed, queues find their owners, leases and locks of the dead run out. */
const SETTLE_NS = 100e9
/** After a member came or went, or an operator moved the group. */
const GROUP_SETTLE_NS = 30e9
/** After a topic was deleted and made anew: each member hears of its queues at its own refresh (30 s), and shares then (20 s). */
const TOPIC_SETTLE_NS = 60e9
const OF_ALL = ''

/** When nothing disturbs a group: then a message comes once, and to one member. */
export class CalmTimes {
  /** Begin and end of each disturbance with what it takes to settle, in order of their begins; by group or topic. */
  readonly #disturbed = new Map<string, { from: number; to: number }[]>()
  #isHealed = true

  take(event: HistoryEvent): void {
    const { event: kind, t } = event
    if (kind === 'fault') {
      // From the first fault to the end of all of them.
      if (this.#isHealed) this.#add(OF_ALL, t, Number.POSITIVE_INFINITY)
      this.#isHealed = false
    } else if (kind === 'heal') {
      const last = this.#disturbed.get(OF_ALL)?.at(-1)
      if (last !== undefined) last.to = t + SETTLE_NS
      this.#isHealed = true
    } else if (kind === 'member' || kind === 'rewind.ok' || kind === 'forget.ok') {
      this.#add(event.group, t, t + GROUP_SETTLE_NS)
    } else if (kind === 'rewind.start' || kind === 'forget.start') this.#add(event.group, t, t + GROUP_SETTLE_NS)
    else if (kind === 'delete.start' || kind === 'delete.ok') this.#add(topicKey(event.topic), t, t + TOPIC_SETTLE_NS)
  }

  /** @param topic given: it must not have been deleted either */
  isCalm(group: string, from: number, to: number, topic?: string): boolean {
    const meets = (one: { from: number; to: number }): boolean => one.from <= to && one.to >= from
    const names = [OF_ALL, group, ...(topic === undefined ? [] : [topicKey(topic)])]
    return !names.some((name) => this.#disturbed.get(name)?.some(meets))
  }

  #add(group: string, from: number, to: number): void {
    const times = this.#disturbed.get(group) ?? []
    times.push({ from, to })
    this.#disturbed.set(group, times)
  }
}

function topicKey(topic: string): string {
  return `topic ${topic}`
}
