import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { spansOf, type TraceExport } from './otlp.ts'
import type { Span } from './trace-tree.ts'

/** What services send their spans to, in the place of Jaeger: OTLP over HTTP, in JSON. */
export class TraceCollector {
  readonly #spans = new Map<string, Span[]>()
  readonly #server = createServer((request, response) => {
    this.#take(request).then(
      () => response.setHeader('content-type', 'application/json').end('{}'),
      () => response.writeHead(400).end(),
    )
  })
  /** Told of every trace that grows. */
  onSpans: (traceId: string) => void = () => {}

  /** @returns what OTEL_EXPORTER_OTLP_ENDPOINT should be */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Spans of one trace, as far as they have come. */
  trace(traceId: string): Span[] {
    return this.#spans.get(traceId) ?? []
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #take(request: IncomingMessage): Promise<void> {
    for (const span of spansOf(JSON.parse(await text(request)) as TraceExport)) {
      const trace = this.#spans.get(span.traceId) ?? []
      this.#spans.set(span.traceId, [...trace, span])
      this.onSpans(span.traceId)
    }
  }
}
