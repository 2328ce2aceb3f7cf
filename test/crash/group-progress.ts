import type { HistoryEvent } from './history.ts'

type ProgressEvent = HistoryEvent & { event: 'commit.start' | 'commit.ok' | 'offset.read' }

interface Progress {
  /** Every offset the group ever tried to commit. */
  tried: Set<number>
  highest: number
  acknowledged: { t: number; offset: number }[]
  reads: { t: number; offset: number }[]
}

/**
 * What a crash may take of an acknowledged commit of a group's offset: it is in the file within 100 ms and on the disk about a
 * second later (docs/store-format.md, journal).
 */
const WINDOW_NS = 1_500e6

/** How far the groups said they are, and what the broker said of it afterwards. */
export class GroupProgress {
  readonly #queues = new Map<string, Progress>()
  readonly #faults: number[] = []

  fault(t: number): void {
    this.#faults.push(t)
  }

  take({ event, t, group, topic, queueId, offset }: ProgressEvent): void {
    const name = `${topic}/${queueId} ${group}`
    let progress = this.#queues.get(name)
    if (progress === undefined) {
      progress = { tried: new Set(), highest: -1, acknowledged: [], reads: [] }
      this.#queues.set(name, progress)
    }
    if (event === 'commit.start') {
      progress.tried.add(offset)
      progress.highest = Math.max(progress.highest, offset)
    } else if (event === 'commit.ok') progress.acknowledged.push({ t, offset })
    else progress.reads.push({ t, offset })
  }

  /** @returns the most that every group with an offset in the queue may have consumed of it; -1 without such a group */
  consumed(queue: string): number {
    let least = Infinity
    for (const [name, { highest }] of this.#queues) {
      if (name.startsWith(`${queue} `) && highest >= 0) least = Math.min(least, highest)
    }
    return least === Infinity ? -1 : least
  }

  /** @param isDeleted topics that were deleted at some time: groups forget them */
  violations(isDeleted: (topic: string) => boolean): { rule: 'OffsetsKept'; text: string; ids: string[] }[] {
    const found: { rule: 'OffsetsKept'; text: string; ids: string[] }[] = []
    const faults = this.#faults.toSorted((a, b) => a - b)
    for (const [name, { tried, acknowledged, reads }] of this.#queues) {
      if (isDeleted(name.slice(0, name.indexOf('/')))) continue
      let least = -1
      const wrong = (text: string): void => void found.push({ rule: 'OffsetsKept', text: `${name} ${text}`, ids: [] })
      for (const { t, offset } of reads.toSorted((a, b) => a.t - b.t)) {
        for (const one of acknowledged) {
          const faultAt = faults.find((at) => at >= one.t) ?? Number.POSITIVE_INFINITY
          if (one.t <= t && (faultAt > t || faultAt - one.t > WINDOW_NS)) least = Math.max(least, one.offset)
        }
        if (offset < least) wrong(`fell back from ${least} to ${offset}`)
        if (offset >= 0 && !tried.has(offset)) wrong(`is at ${offset}, which nobody committed`)
        // What was told once must not be taken back by the next crash.
        least = Math.max(least, offset)
      }
    }
    return found
  }
}
