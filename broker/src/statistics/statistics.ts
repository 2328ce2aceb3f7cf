import type { Clock, Timer } from '@tandemmq/remoting'
import type { Latency } from '../measurements.ts'
import { Deliveries, Traffic, trafficOf } from '../traffic.ts'
import { MovingRate } from './moving-rate.ts'
import { type StatsData, TrafficHistory } from './traffic-history.ts'

const SAMPLE_MS = 5_000
const RATE_WINDOWS_MS = [10_000, 60_000, 600_000] as const

type TopicTraffic = { readonly name: string; readonly put: Traffic }
type GroupTraffic = { readonly name: string; readonly delivered: ReadonlyMap<string, Traffic> }

/** Where traffic is counted, beside what this room counts itself. */
export interface TrafficSources {
  /** By topic: accepted from producers. */
  topics(): Iterable<TopicTraffic>
  topic(name: string): TopicTraffic | undefined
  /** By group, then topic: handed to consumers. */
  groups(): Iterable<GroupTraffic>
  group(name: string): GroupTraffic | undefined
}

/**
 * Rates and totals since the start of the process. Hot paths only count; a timer of 5 s looks at the totals and remembers them.
 * Names, keys and windows are those of BrokerStatsManager.java and StoreStatsService.java.
 */
export class Statistics {
  readonly startedAt: number
  /** Accepted from producers, all topics. */
  readonly put = new Traffic()
  /** Handed to consumers, all groups. */
  readonly deliveries: Deliveries
  /** Sent back by consumers, by `topic@group`. */
  readonly returned = new Map<string, Traffic>()
  readonly #clock: Clock
  readonly #clusterName: string
  readonly #sources: TrafficSources
  readonly #rates: MovingRate
  readonly #extra: () => readonly number[]
  #histories = new Map<Traffic, TrafficHistory>()
  #sampledAt: number
  #day: string
  readonly #mornings = { put: { yesterday: 0, today: 0 }, got: { yesterday: 0, today: 0 } }
  #timer: Timer | undefined

  /** @param options.extra further totals for {@link rates}, from index `extraRate` on */
  constructor(options: {
    clock: Clock
    clusterName: string
    sources: TrafficSources
    extra?: () => readonly number[]
    deliveryAge?: Latency
  }) {
    this.#clock = options.clock
    this.deliveries = new Deliveries(options.deliveryAge)
    this.#clusterName = options.clusterName
    this.#sources = options.sources
    this.#extra = options.extra ?? (() => [])
    const now = options.clock.now()
    this.startedAt = this.#sampledAt = now
    this.#day = dayOf(now)
    const { put, deliveries, got } = this
    this.#rates = new MovingRate(
      () => [put.messages, got.messages, deliveries.found, deliveries.missed, ...this.#extra()],
      now,
    )
  }

  get got(): Traffic {
    return this.deliveries.total
  }

  start(): void {
    this.#timer = this.#clock.setTimer(SAMPLE_MS, () => {
      this.sample()
      this.start()
    })
  }

  close(): void {
    this.#timer?.cancel()
  }

  /** Remembers the totals of this moment; called by itself every 5 s. */
  sample(): void {
    const now = this.#clock.now()
    this.#rates.sample(now)
    const histories = new Map<Traffic, TrafficHistory>()
    // What is gone with its topic or group is not carried over.
    for (const traffic of this.#all()) {
      const history = this.#histories.get(traffic) ?? new TrafficHistory(traffic, this.#sampledAt)
      history.sample(now)
      histories.set(traffic, history)
    }
    this.#histories = histories
    this.#sampledAt = now
    const day = dayOf(now)
    if (day === this.#day) return
    this.#day = day
    for (const kind of ['put', 'got'] as const) {
      const morning = this.#mornings[kind]
      morning.yesterday = morning.today
      morning.today = this[kind].messages
    }
  }

  /** Totals when yesterday and today began, by the time zone of the machine; 0 for a day that began before the process. */
  morning(kind: 'put' | 'got'): { yesterday: number; today: number } {
    return this.#mornings[kind]
  }

  /** Per second over the last 10 s, minute and 10 minutes, or since the start while that is shorter. */
  rates(kind: 'put' | 'got' | 'found' | 'missed' | { extra: number }): number[] {
    const index = typeof kind === 'string' ? ['put', 'got', 'found', 'missed'].indexOf(kind) : 4 + kind.extra
    const now = this.#clock.now()
    return RATE_WINDOWS_MS.map((windowMs) => this.#rates.rate(index, windowMs, now))
  }

  /** What {@link view} knows. */
  get names(): readonly string[] {
    return Object.keys(this.#finders)
  }

  /** @returns undefined for a name that is not counted or a key that had no traffic */
  view(statsName: string, statsKey: string): StatsData | undefined {
    const find = this.#finders[statsName]
    const traffic = find?.(statsKey)
    if (traffic === undefined || traffic.calls === 0) return undefined
    const history = this.#histories.get(traffic) ?? new TrafficHistory(traffic, this.#sampledAt)
    return history.data(statsName.endsWith('_SIZE') ? 'bytes' : 'messages', this.#clock.now())
  }

  /** Rate of {@link view} over the last minute; 0 for what is not counted or had no traffic. */
  perSecond(statsName: string, statsKey: string): number {
    return this.view(statsName, statsKey)?.statsMinute.tps ?? 0
  }

  /** Counts a message that a consumer sent back. */
  countReturn(topic: string, group: string): void {
    trafficOf(this.returned, `${topic}@${group}`).count(1, 0)
  }

  readonly #topicPut = (key: string): Traffic | undefined => this.#sources.topic(key)?.put

  readonly #groupGot = (key: string): Traffic | undefined => {
    const at = key.indexOf('@')
    return this.#sources.group(key.slice(at + 1))?.delivered.get(key.slice(0, at))
  }

  readonly #finders: Record<string, ((key: string) => Traffic | undefined) | undefined> = {
    __proto__: null as never,
    TOPIC_PUT_NUMS: this.#topicPut,
    TOPIC_PUT_SIZE: this.#topicPut,
    GROUP_GET_NUMS: this.#groupGot,
    GROUP_GET_SIZE: this.#groupGot,
    SNDBCK_PUT_NUMS: (key) => this.returned.get(key),
    BROKER_PUT_NUMS: (key) => (key === this.#clusterName ? this.put : undefined),
    BROKER_GET_NUMS: (key) => (key === this.#clusterName ? this.got : undefined),
  };

  *#all(): Iterable<Traffic> {
    yield this.put
    yield this.got
    yield* this.returned.values()
    for (const { put } of this.#sources.topics()) if (put.calls > 0) yield put
    for (const { delivered } of this.#sources.groups()) yield* delivered.values()
  }
}

function dayOf(now: number): string {
  const date = new Date(now)
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`
}
