/** What a family of samples is and means. */
export interface Metric {
  /** `tandemmq_…`; counters end in `_total`, quantities in their unit (seconds, bytes). */
  readonly name: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels?: readonly string[]
}

/** Of an answer in the text format of Prometheus, version 0.0.4. */
export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Two lines that introduce a family. */
export function familyText({ name, kind, help }: Metric): string {
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${kind}\n`
}

/** @param values of the metric's labels, in their order */
export function sampleText({ name, labels = [] }: Metric, value: number, ...values: string[]): string {
  return `${name}${labelsText(labels, values)} ${numberText(value)}\n`
}

/**
 * A family of one histogram without labels.
 * @param bounds upper bounds of all buckets but the last, seconds
 * @param counts per bucket, not cumulative; one more than bounds
 */
export function histogramText(
  metric: Metric,
  bounds: readonly number[],
  counts: ArrayLike<number>,
  sum: number,
): string {
  let text = familyText(metric)
  let cumulative = 0
  for (let at = 0; at <= bounds.length; at++) {
    cumulative += counts[at] ?? 0
    text += `${metric.name}_bucket{le="${numberText(bounds[at] ?? Number.POSITIVE_INFINITY)}"} ${cumulative}\n`
  }
  return `${text}${metric.name}_sum ${numberText(sum)}\n${metric.name}_count ${cumulative}\n`
}

function labelsText(names: readonly string[], values: readonly string[]): string {
  if (names.length === 0) return ''
  return `{${names.map((name, at) => `${name}="${escaped(values[at] ?? '')}"`).join(',')}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}
