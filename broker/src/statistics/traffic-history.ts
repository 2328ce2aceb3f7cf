import type { Traffic } from '../traffic.ts'

/** BrokerStatsItem of VIEW_BROKER_STATS_DATA (remoting.md 2E). */
export interface StatsItem {
  /** Mean of one call. */
  avgpt: number
  sum: number
  /** Per second. */
  tps: number
}

export interface StatsData {
  statsDay: StatsItem
  statsHour: StatsItem
  statsMinute: StatsItem
}

type Counted = 'messages' | 'bytes'

interface Sample {
  at: number
  messages: number
  bytes: number
  calls: number
}

/** As the original samples (StatsItemSet.java): windows of 60 to 70 s, 60 to 70 min, 24 to 25 h. */
const windows = [
  { name: 'statsMinute', everyMs: 10_000, samples: 7 },
  { name: 'statsHour', everyMs: 600_000, samples: 7 },
  { name: 'statsDay', everyMs: 3_600_000, samples: 25 },
] as const

/** What one kind of traffic was over the last minute, hour and day. */
export class TrafficHistory {
  readonly #traffic: Traffic
  readonly #samples: readonly Sample[][]

  /** @param since when counting began, at the latest */
  constructor(traffic: Traffic, since: number) {
    this.#traffic = traffic
    this.#samples = windows.map(() => [{ at: since, messages: 0, bytes: 0, calls: 0 }])
  }

  sample(now: number): void {
    const { messages, bytes, calls } = this.#traffic
    for (const [at, { everyMs, samples }] of windows.entries()) {
      const kept = this.#samples[at] as Sample[]
      if (now - (kept.at(-1) as Sample).at < everyMs) continue
      kept.push({ at: now, messages, bytes, calls })
      if (kept.length > samples) kept.shift()
    }
  }

  /** Up to this moment: the original answers up to its last sample, 10 s to an hour ago. */
  data(counted: Counted, now: number): StatsData {
    const [statsMinute, statsHour, statsDay] = this.#samples.map((kept) => this.#item(kept[0] as Sample, counted, now))
    return { statsDay, statsHour, statsMinute } as StatsData
  }

  #item(first: Sample, counted: Counted, now: number): StatsItem {
    const sum = this.#traffic[counted] - first[counted]
    const calls = this.#traffic.calls - first.calls
    const elapsed = now - first.at
    return { avgpt: calls === 0 ? 0 : sum / calls, sum, tps: elapsed <= 0 ? 0 : (sum * 1000) / elapsed }
  }
}
