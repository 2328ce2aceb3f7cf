import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node'

/**
 * OpenTelemetry as in any Node service. OTEL_SERVICE_NAME names it, OTEL_EXPORTER_OTLP_ENDPOINT says who collects: the demo,
 * or Jaeger. TandemMQ needs none of this but `telemetry: { tracing: true }`; it finds the provider by itself.
 */
export const tracerProvider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': process.env['OTEL_SERVICE_NAME'] ?? 'order-flow' }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
})

tracerProvider.register()
