import type { Latency, Measurements } from '../measurements.ts'
import { latencyBounds } from '../measurements.ts'
import { familyText, histogramText, type Metric, sampleText } from './exposition.ts'
import { histograms, labelled } from './labelled-metrics.ts'
import { lagRows, type LagRow, OldestTimes } from './lag.ts'
import { figuresOf, plainMetrics } from './plain-metrics.ts'
import { largest, ROWS_MAX } from './rows.ts'
import type { MetricSources } from './sources.ts'

const DEAD_LETTER = '%DLQ%'

/** Every family an answer may have, in its order. */
export const metricFamilies: readonly Metric[] = [
  ...plainMetrics,
  ...Object.values(histograms),
  ...Object.values(labelled),
]

/** The broker's figures as text for Prometheus. */
export class Metrics {
  readonly #sources: MetricSources
  readonly #loop: Latency
  readonly #oldest: OldestTimes
  readonly #rowsMax: number

  /** @param options.rowsMax see {@link ROWS_MAX} */
  constructor(sources: MetricSources, loop: Latency, options: { rowsMax?: number } = {}) {
    this.#sources = sources
    this.#loop = loop
    this.#oldest = new OldestTimes(sources)
    this.#rowsMax = options.rowsMax ?? ROWS_MAX
  }

  /**
   * The answer in pieces, some of them empty: each is the work of a few microseconds, so the caller may pause after any of them.
   * What the broker does meanwhile shows in the pieces after it.
   */
  *pieces(): Generator<string> {
    const figures = figuresOf(this.#sources)
    for (const metric of plainMetrics) {
      const value = metric.value(figures)
      if (value !== undefined) yield familyText(metric) + sampleText(metric, value)
    }
    const { measured } = this.#sources
    yield this.#histogram(histograms.send, measured.send)
    yield this.#histogram(histograms.sync, measured.sync)
    yield this.#histogram(histograms.delivery, measured.delivery)
    yield this.#histogram(histograms.loop, this.#loop)
    yield this.#refused(measured)
    yield this.#closed(figures.remoting.stats.closedBy)
    yield* this.#openTransactions()
    const cut = { group_topics: 0, groups: 0, topics: 0 }
    cut.group_topics = yield* this.#lags()
    cut.groups = yield* this.#groups()
    cut.topics = yield* this.#topics()
    yield familyText(labelled.cut)
    for (const [rows, left] of Object.entries(cut)) yield sampleText(labelled.cut, left, rows)
  }

  #histogram(metric: Metric, { counts, sumMs }: Latency): string {
    return histogramText(metric, latencyBounds, counts, sumMs / 1000)
  }

  #refused({ refused }: Measurements): string {
    const samples = [...refused].map(([code, count]) => sampleText(labelled.refused, count, code))
    return familyText(labelled.refused) + samples.join('')
  }

  #closed(closedBy: Readonly<Record<string, number>>): string {
    const samples = Object.entries(closedBy).map(([reason, count]) => sampleText(labelled.closed, count, reason))
    return familyText(labelled.closed) + samples.join('')
  }

  *#openTransactions(): Generator<string> {
    const all = this.#sources.transactions.openHalves()
    let step = all.next()
    for (; step.done !== true; step = all.next()) yield ''
    yield familyText(labelled.open)
    for (const { state, count } of step.value) yield sampleText(labelled.open, count, state)
    yield familyText(labelled.openAge)
    for (const { state, oldestMs } of step.value)
      yield sampleText(labelled.openAge, Math.max(0, oldestMs) / 1000, state)
  }

  *#lags(): Generator<string, number> {
    const all = lagRows(this.#sources)
    let step = all.next()
    for (; step.done !== true; step = all.next()) yield ''
    const { rows, left } = largest(step.value, this.#rowsMax)
    yield* family(labelled.lag, rows, ({ messages }) => messages)
    this.#oldest.begin()
    const now = this.#sources.clock.now()
    yield* family(labelled.lagAge, rows, ({ oldest }) => {
      if (oldest === Number.POSITIVE_INFINITY) return 0
      const storedAt = this.#oldest.of(oldest)
      return storedAt === undefined ? undefined : Math.max(0, now - storedAt) / 1000
    })
    yield* family(labelled.leased, rows, ({ leased }) => leased)
    yield* family(labelled.delivered, rows, ({ delivered }) => delivered)
    yield* family(labelled.lost, rows, ({ lost }) => lost)
    return left
  }

  *#groups(): Generator<string, number> {
    const { groups, topics } = this.#sources
    const online = new Set(groups.online())
    const found: { group: string; members: number; conflicts: number; deadLetters: number; weight: number }[] = []
    for (const { name: group } of groups.list()) {
      const members = online.has(group) ? groups.members(group).length : 0
      // Members that agree with themselves need no comparing.
      const conflicts = members > 1 ? groups.conflicts(group).length : 0
      const dead = topics.find(`${DEAD_LETTER}${group}`)
      const deadLetters = dead?.queues.reduce((sum, { minOffset, maxOffset }) => sum + maxOffset - minOffset, 0) ?? 0
      found.push({ group, members, conflicts, deadLetters, weight: deadLetters + members })
      yield ''
    }
    const { rows, left } = largest(found, this.#rowsMax)
    for (const [metric, value] of [
      [labelled.members, 'members'],
      [labelled.conflicts, 'conflicts'],
      [labelled.deadLetters, 'deadLetters'],
    ] as const) {
      yield familyText(metric)
      for (const row of rows) yield sampleText(metric, row[value], row.group)
    }
    return left
  }

  *#topics(): Generator<string, number> {
    const found: { topic: string; messages: number; bytes: number; stored: number; weight: number }[] = []
    for (const { name: topic, put, queues } of this.#sources.topics.list()) {
      let stored = 0
      for (const [at, queue] of queues.entries()) {
        stored += queue.maxOffset - queue.minOffset
        if (at % 64 === 63) yield ''
      }
      const { messages, bytes } = put
      found.push({ topic, messages, bytes, stored, weight: messages + stored })
      yield ''
    }
    const { rows, left } = largest(found, this.#rowsMax)
    for (const [metric, value] of [
      [labelled.received, 'messages'],
      [labelled.receivedBytes, 'bytes'],
      [labelled.stored, 'stored'],
    ] as const) {
      yield familyText(metric)
      for (const row of rows) yield sampleText(metric, row[value], row.topic)
    }
    return left
  }
}

function* family(
  metric: Metric,
  rows: readonly LagRow[],
  value: (row: LagRow) => number | undefined,
): Generator<string> {
  yield familyText(metric)
  for (const row of rows) {
    const sample = value(row)
    yield sample === undefined ? '' : sampleText(metric, sample, row.group, row.topic)
  }
}
