import type { IncomingMessage, ServerResponse } from 'node:http'
import { Injectable, type NestMiddleware } from '@nestjs/common'
import { context, propagation, SpanKind, trace } from '@opentelemetry/api'

/** Express adds the route that answered. */
type RoutedRequest = IncomingMessage & { route?: { path: string } }

/** A span around each HTTP request, part of the caller's trace if it has one. Instrumentation packages do the same and more. */
@Injectable()
export class HttpSpanMiddleware implements NestMiddleware {
  private readonly tracer = trace.getTracer('http')

  use(request: RoutedRequest, response: ServerResponse, next: () => void): void {
    const caller = propagation.extract(context.active(), request.headers)
    const span = this.tracer.startSpan(`${request.method}`, { kind: SpanKind.SERVER }, caller)
    response.once('close', () => {
      span.updateName(`${request.method} ${request.route?.path ?? ''}`.trimEnd())
      span.setAttribute('http.response.status_code', response.statusCode)
      span.end()
    })
    context.with(trace.setSpan(caller, span), next)
  }
}
