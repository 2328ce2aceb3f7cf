import type { Span } from './trace-tree.ts'

/** The part of OTLP's JSON that is read here: https://opentelemetry.io/docs/specs/otlp/ */
export interface TraceExport {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: OtlpSpan[] }[] }[]
}

interface OtlpSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: Attribute[]
  status: { code?: number }
}

interface Attribute {
  key: string
  value: { stringValue?: string }
}

const STATUS_ERROR = 2

/** All spans of one request of an exporter. */
export function spansOf({ resourceSpans }: TraceExport): Span[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = textOf(resource.attributes, 'service.name')
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => spanOf(span, service)))
  })
}

function spanOf(span: OtlpSpan, service: string): Span {
  const tag = textOf(span.attributes, 'messaging.rocketmq.message.tag')
  const group = textOf(span.attributes, 'messaging.consumer.group.name')
  return {
    traceId: span.traceId,
    id: span.spanId,
    parentId: span.parentSpanId === '' ? undefined : span.parentSpanId,
    service,
    name: [span.name, tag, group && `[${group}]`].filter(Boolean).join(' '),
    startedAt: Number(span.startTimeUnixNano) / 1e6,
    endedAt: Number(span.endTimeUnixNano) / 1e6,
    isError: span.status.code === STATUS_ERROR,
  }
}

function textOf(attributes: readonly Attribute[], key: string): string {
  return attributes.find((one) => one.key === key)?.value.stringValue ?? ''
}
