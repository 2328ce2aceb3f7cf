import { Body, Controller, Inject, Injectable, Logger, Module, Post } from '@nestjs/common'
import type { INestApplication } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { context, propagation, SpanKind, trace } from '@opentelemetry/api'
import type { Span } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { OnMessage, TandemModule, TandemTemplate } from '@tandemmq/nestjs'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase, TestBroker } from '@tandemmq/testing'
import type { TestDatabase } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import createKnex from 'knex'
import type { Knex } from 'knex'
import { afterAll, beforeAll, expect, test } from 'vitest'

const KNEX = Symbol('KNEX')
const tenants: unknown[] = []

@Controller('orders')
class OrdersController {
  constructor(
    @Inject(TandemTemplate) private readonly tandem: TandemTemplate,
    @Inject(KNEX) private readonly knex: Knex,
  ) {}

  @Post()
  async place(@Body('id') id: string): Promise<void> {
    await this.tandem.transaction(async (trx) => {
      await trx('orders').insert({ id })
      this.tandem.enqueue({ topic: 'orders', body: { id } })
    })
    // The same trace, with a transaction of the application's own.
    await this.knex.transaction(async (trx) => this.tandem.enqueue({ topic: 'audit', body: { id } }, trx))
  }
}

@Injectable()
class Listeners {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  @OnMessage({ topic: 'orders', group: 'billing', inbox: true })
  bill(): void {
    tenants.push(propagation.getActiveBaggage()?.getEntry('tenant')?.value)
    this.tandem.enqueue({ topic: 'invoices', body: {} })
  }

  @OnMessage({ topic: 'invoices', group: 'mail' })
  mail(): void {
    tenants.push(propagation.getActiveBaggage()?.getEntry('tenant')?.value)
  }

  @OnMessage({ topic: 'audit', group: 'audit' })
  audit(): void {}
}

const exporter = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
let database: TestDatabase
let knex: Knex
let app: INestApplication

/** What HTTP instrumentation does: a server span around each request, child of what the caller sent. */
function serverSpan(
  request: { headers: object; method: string; url: string },
  response: NodeJS.EventEmitter,
  next: () => void,
) {
  const parent = propagation.extract(context.active(), request.headers)
  const name = `${request.method} ${request.url}`
  const span: Span = trace.getTracer('http').startSpan(name, { kind: SpanKind.SERVER }, parent)
  response.once('finish', () => span.end())
  context.with(trace.setSpan(parent, span), next)
}

beforeAll(async () => {
  Logger.overrideLogger(false)
  trace.setGlobalTracerProvider(provider)
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const propagators = [new W3CTraceContextPropagator(), new W3CBaggagePropagator()]
  propagation.setGlobalPropagator(new CompositePropagator({ propagators }))
  database = await startTestDatabase()
  knex = createKnex({ client: 'pg', connection: database.url })
  await new Outbox({ database: knex, nameServers: 'nowhere:1', group: 'orders' }).migrate()
  await knex.schema.createTable('orders', (table) => table.string('id').primary())
  @Module({
    imports: [
      TandemModule.forRoot({
        ...{ nameServers: 'production:9876', group: 'orders', outbox: { knex: KNEX } },
        telemetry: { tracing: true },
      }),
    ],
    controllers: [OrdersController],
    providers: [{ provide: KNEX, useFactory: () => knex }, Listeners],
  })
  class AppModule {}
  const compiled = await useTestBroker(Test.createTestingModule({ imports: [AppModule] })).compile()
  app = compiled.createNestApplication({ logger: false })
  app.use(serverSpan)
  await app.listen(0)
})

afterAll(async () => {
  await app?.close()
  await knex?.destroy()
  await database?.close()
  await provider.shutdown()
  for (const api of [trace, context, propagation]) api.disable()
})

test('a request, its transaction, the message through outbox and broker, its consumers: one trace of the real SDK', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const response = await fetch(`${await app.getUrl()}/orders`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      traceparent: `00-${traceId}-b7ad6b7169203331-01`,
      baggage: 'tenant=acme',
    },
    body: JSON.stringify({ id: 'o-1' }),
  })
  expect(response.status).toBe(201)
  const broker = app.get(TestBroker)
  const handled = (): string[] => exporter.getFinishedSpans().map(({ name }) => name)
  await expect.poll(handled, { timeout: 20_000 }).toEqual(expect.arrayContaining(['process audit', 'process invoices']))
  await broker.settled()

  const spans = exporter.getFinishedSpans()
  expect(spans.map((span) => span.spanContext().traceId)).toEqual(spans.map(() => traceId))
  const nameOf = new Map(spans.map((span) => [span.spanContext().spanId, span.name]))
  nameOf.set('b7ad6b7169203331', 'caller')
  const parentOf = (span: ReadableSpan): string | undefined => nameOf.get(span.parentSpanContext?.spanId ?? '')
  expect(spans.map((span) => `${parentOf(span)} > ${span.name}`).toSorted()).toEqual([
    'POST /orders > enqueue audit',
    'POST /orders > enqueue orders',
    'caller > POST /orders',
    'enqueue audit > process audit',
    'enqueue invoices > process invoices',
    'enqueue orders > process orders',
    'process orders > enqueue invoices',
  ])
  expect(tenants).toEqual(['acme', 'acme'])
})
