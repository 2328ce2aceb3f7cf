import { AsyncLocalStorage } from 'node:async_hooks'
import type { OpenTelemetry } from './tracing.ts'

/** A span as an exporter would see it. */
export interface SeenSpan {
  name: string
  kind: number
  traceId: string
  spanId: string
  parentId: string | undefined
  links: string[]
  attributes: Record<string, string | number>
  errors: string[]
  isEnded: boolean
}

interface Place {
  traceId: string
  spanId: string
}

/** The part of `@opentelemetry/api` with an SDK behind it that is used here, in memory; contexts are W3C's. */
export class FakeTelemetry implements OpenTelemetry {
  readonly spans: SeenSpan[] = []
  readonly ROOT_CONTEXT = Object.freeze({})
  private readonly storage = new AsyncLocalStorage<object>()
  private count = 0

  readonly context = {
    active: (): unknown => this.storage.getStore() ?? this.ROOT_CONTEXT,
    with: <R>(context: unknown, work: () => R): R => this.storage.run(context as object, work),
  }

  readonly propagation = {
    inject: (context: unknown, carrier: Record<string, string>): void => {
      const place = placeOf(context)
      if (place !== undefined) carrier['traceparent'] = `00-${place.traceId}-${place.spanId}-01`
    },
    extract: (context: unknown, carrier: Readonly<Record<string, string>>): unknown => {
      const [, traceId, spanId] = carrier['traceparent']?.split('-') ?? []
      return traceId === undefined || spanId === undefined ? context : { place: { traceId, spanId } }
    },
  }

  readonly trace = {
    getTracer: () => ({
      startSpan: (name: string, options: object, context: unknown) => this.start(name, options, context),
    }),
    setSpan: (_context: unknown, span: unknown): unknown => ({ place: (span as { seen: Place }).seen }),
    getSpanContext: (context: unknown): unknown => placeOf(context),
  }

  /** Runs `work` in a span of the application, as an HTTP instrumentation would. */
  inSpan<R>(name: string, work: () => R): R {
    const span = this.start(name, { kind: 1 }, this.context.active())
    return this.context.with(this.trace.setSpan(undefined, span), work)
  }

  named(name: string): SeenSpan[] {
    return this.spans.filter((span) => span.name === name)
  }

  private start(name: string, options: object, context: unknown) {
    const parent = placeOf(context)
    const n = (++this.count).toString(16)
    const {
      kind,
      links = [],
      attributes,
    } = options as { kind: number; links?: { context: Place }[]; attributes?: object }
    const seen: SeenSpan = {
      ...{ name, kind, traceId: parent?.traceId ?? n.padStart(32, '0'), spanId: n.padStart(16, '0') },
      ...{ parentId: parent?.spanId, links: links.map((link) => link.context.spanId), attributes: { ...attributes } },
      ...{ errors: [], isEnded: false },
    }
    this.spans.push(seen)
    return {
      seen,
      setAttribute: (key: string, value: string | number) => (seen.attributes[key] = value),
      recordException: (error: Error) => void seen.errors.push(error.message),
      setStatus: () => undefined,
      end: () => void (seen.isEnded = true),
    }
  }
}

function placeOf(context: unknown): Place | undefined {
  return (context as { place?: Place }).place
}
