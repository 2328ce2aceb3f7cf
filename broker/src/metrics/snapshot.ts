import type { Latency } from '../measurements.ts'
import { histograms } from './labelled-metrics.ts'
import { figuresOf, plainMetrics } from './plain-metrics.ts'
import type { MetricSources } from './sources.ts'

/** One number or duration of a broker, under the name it has in the metrics. */
export interface Figure {
  readonly name: string
  readonly help: string
  /** Of a duration: how many were measured. */
  readonly value: number
  /** Of a duration, in seconds: half of all were not longer, 99 of 100 were not longer; 0 without any. */
  readonly p50?: number
  readonly p99?: number
}

/** Everything that is not by group or topic: what BROKER_STATS answers. */
export function snapshot(sources: MetricSources): Figure[] {
  const figures = figuresOf(sources)
  const plain = plainMetrics.flatMap(({ name, help, value }) => {
    const now = value(figures)
    return now === undefined ? [] : [{ name, help, value: now }]
  })
  const { send, sync, delivery } = sources.measured
  return [
    ...plain,
    figureOf(histograms.send, send),
    figureOf(histograms.sync, sync),
    figureOf(histograms.delivery, delivery),
  ]
}

function figureOf({ name, help }: { name: string; help: string }, latency: Latency): Figure {
  const seconds = (share: number): number => {
    const ms = latency.quantile(share)
    // JSON has no Infinity: the last bucket has no upper bound, the one before it ends at 16.384 s.
    return Number.isFinite(ms) ? ms / 1000 : 32.768
  }
  return { name, help, value: latency.count, p50: seconds(0.5), p99: seconds(0.99) }
}
