import { Inject, Injectable, Logger, Module } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { OnMessage, ReconsumeLater, RejectMessage, TandemContext, TandemEvents } from '../index.ts'
import { TandemConnection, TandemHealthIndicator, TandemListeners, TandemModule, TandemTemplate } from '../index.ts'
import type { TandemModuleOptions } from '../index.ts'
import { FakeTelemetry } from './telemetry-test-kit.ts'
import { Telemetry } from './telemetry.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
let act: (payload: { n: number }) => unknown = () => undefined
const open: TestingModule[] = []

@Injectable()
class Work {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  @OnMessage({ topic: 'orders', group: 'billing', attemptsMax: 2 })
  async bill(payload: { n: number }, context: TandemContext): Promise<void> {
    await act(payload)
    await this.tandem.send({ topic: 'invoices', body: { of: context.getMessageId() } })
  }

  @OnMessage({ topic: 'amounts', group: 'totals', batch: { sizeMax: 2 } })
  async sum(payloads: { n: number }[]): Promise<void> {
    await this.tandem.send({ topic: 'sums', body: payloads })
  }

  @OnMessage({ topic: 'level', group: 'stock' })
  level(): number {
    return 7
  }

  @OnMessage({ topic: 'prices', group: 'prices', mode: 'broadcasting' })
  async price(payload: { n: number }): Promise<void> {
    await act(payload)
  }
}

@Module({
  imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })],
  providers: [Work],
})
class AppModule {}

async function boot(module: Partial<TandemModuleOptions>, init = true) {
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(silent)
  const app = await useTestBroker(builder, { module, clock: 'virtual' }).compile()
  open.push(app)
  if (init) await app.init()
  Logger.overrideLogger(false)
  return { app, broker: app.get(TestBroker), tandem: app.get(TandemTemplate) }
}

beforeEach(() => {
  act = () => undefined
})

afterEach(async () => {
  for (const app of open.splice(0)) await app.close()
  vi.doUnmock('@opentelemetry/api')
})

test('a send inside a span, its handling and what the handler sends are one trace, parent by parent', async () => {
  const otel = new FakeTelemetry()
  const { broker, tandem } = await boot({ telemetry: { tracing: otel } })
  await otel.inSpan('POST /orders', () => tandem.send({ topic: 'orders', body: { n: 1 } }))
  await broker.settled()
  const [http] = otel.named('POST /orders')
  const [send] = otel.named('send orders')
  const [handled] = otel.named('process orders')
  const [next] = otel.named('send invoices')
  expect([send, handled, next].map((span) => span?.parentId)).toEqual([http?.spanId, send?.spanId, handled?.spanId])
  expect(new Set(otel.spans.map(({ traceId }) => traceId)).size).toBe(1)
  expect([send?.kind, handled?.kind]).toEqual([3, 4])
  expect(handled?.attributes).toMatchObject({
    'messaging.system': 'rocketmq',
    'messaging.destination.name': 'orders',
    'messaging.consumer.group.name': 'billing',
    'messaging.message.id': send?.attributes['messaging.message.id'],
  })
  expect([send, handled, next].map((span) => span?.isEnded)).toEqual([true, true, true])
})

test('a request and its handling are one trace', async () => {
  const otel = new FakeTelemetry()
  const { tandem } = await boot({ telemetry: { tracing: otel } })
  expect((await tandem.request({ topic: 'level', body: {} })).json()).toBe(7)
  const [request] = otel.named('send level')
  const [handled] = otel.named('process level')
  expect([handled?.parentId, handled?.traceId]).toEqual([request?.spanId, request?.traceId])
})

test('a message without a context begins a trace of its own, whatever span the connection was made in', async () => {
  const otel = new FakeTelemetry()
  const { app, broker } = await boot({ telemetry: { tracing: otel } }, false)
  await otel.inSpan('boot', () => app.init())
  await broker.deliver('orders', { n: 1 })
  await broker.settled()
  expect(otel.named('process orders').map(({ parentId }) => parentId)).toEqual([undefined])
})

test('a failed handling is an error of its span, one that asks for later is none', async () => {
  const otel = new FakeTelemetry()
  const { broker } = await boot({ telemetry: { tracing: otel } })
  act = ({ n }) => {
    throw n === 1 ? new Error('no') : new ReconsumeLater({ delayMs: 1_000 })
  }
  await broker.deliver('orders', { n: 1 })
  await broker.settled()
  await broker.deliver('orders', { n: 2 })
  await broker.settled()
  expect(otel.named('process orders').map(({ errors, isEnded }) => [errors, isEnded])).toEqual([
    [['no'], true],
    [[], true],
  ])
})

test('a batch is linked with its messages, and what is enqueued carries the context of who enqueues it', async () => {
  const otel = new FakeTelemetry()
  const telemetry = new Telemetry({ tracing: otel }, undefined, 'default')
  await telemetry.ready()
  const [one, two] = otel.inSpan('POST', () =>
    ['1', '2'].map((body) => telemetry.enqueued({ topic: 'orders', tag: 'paid', body, properties: { region: 'eu' } })),
  )
  expect(one?.properties).toMatchObject({ region: 'eu', traceparent: expect.any(String) })
  expect(otel.named('enqueue orders').map(({ parentId }) => parentId)).toEqual(
    Array.from({ length: 2 }, () => otel.named('POST')[0]?.spanId),
  )
  expect(otel.named('enqueue orders')[0]?.attributes).toMatchObject({ 'messaging.rocketmq.message.tag': 'paid' })
  const messages = [one, two].map((message) => ({ topic: 'orders', properties: message?.properties }))
  expect(
    telemetry.batch(
      'billing',
      () => messages as never,
      () => 'done',
    ),
  ).toBe('done')
  const [batch] = otel.named('process orders')
  expect(batch?.links).toEqual(otel.named('enqueue orders').map(({ spanId }) => spanId))
})

test('what a batch listener sends belongs to the span of the batch, which is linked with the sends', async () => {
  const otel = new FakeTelemetry()
  const { broker, tandem } = await boot({ telemetry: { tracing: otel } })
  await tandem.sendAll([1, 2].map((n) => ({ topic: 'amounts', body: { n } })))
  await broker.settled()
  const sends = otel.named('send amounts').map(({ spanId }) => spanId)
  const batch = otel.named('process amounts').find(({ links }) => links.length > 0)
  expect(batch?.links.toSorted()).toEqual(sends.toSorted())
  expect(otel.named('send sums').map(({ parentId }) => parentId)).toEqual([batch?.spanId])
})

test('without telemetry a message keeps its properties and nothing is added to them', async () => {
  const { broker, tandem } = await boot({})
  await tandem.send({ topic: 'orders', body: { n: 1 } })
  await broker.settled()
  expect(broker.sent('orders')[0]?.properties).not.toHaveProperty('traceparent')
})

test('tracing without the package fails the boot and names it', async () => {
  vi.doMock('@opentelemetry/api', () => {
    throw new Error('not installed')
  })
  const { app } = await boot({ telemetry: { tracing: true } }, false)
  await expect(app.init()).rejects.toThrow('@opentelemetry/api')
  // Nest 11 repeats what failed the boot.
  await app.close().catch(() => {})
  open.length = 0
})

test('events say what became of each message, on which connection', async () => {
  const { app, broker, tandem } = await boot({ telemetry: { events: true } }, false)
  const events = app.get(TandemEvents)
  const told: unknown[][] = []
  events.on('sent', ({ message, connection }) => told.push(['sent', message.topic, connection]))
  for (const name of ['consumed', 'retried', 'rejected', 'deadLettered'] as const) {
    events.on(name, ({ group, message }) => told.push([name, group, message.attempt]))
  }
  await app.init()
  await tandem.send({ topic: 'orders', body: { n: 1 } })
  await broker.settled()
  expect(told.toSorted()).toEqual([
    ['consumed', 'billing', 1],
    ['sent', 'invoices', 'default'],
    ['sent', 'orders', 'default'],
  ])
  told.length = 0
  act = ({ n }) => {
    throw n === 2 ? new RejectMessage('never') : new Error('not yet')
  }
  await broker.deliver('orders', { n: 2 })
  await broker.settled()
  await broker.deliver('orders', { n: 3 })
  await broker.settled()
  await broker.advance(10_000) // delay level 3, the first retry's
  await broker.settled()
  expect(told).toEqual([
    ['rejected', 'billing', 1],
    ['deadLettered', 'billing', 1],
    ['retried', 'billing', 1],
    ['deadLettered', 'billing', 2],
  ])
})

test('asking for later at the last attempt is told as the dead letter it becomes, a failure where nothing comes again as dropped', async () => {
  const { app, broker } = await boot({ telemetry: { events: true } }, false)
  const told: unknown[][] = []
  for (const name of ['retried', 'deadLettered', 'dropped'] as const) {
    app.get(TandemEvents).on(name, ({ group, message }) => told.push([name, group, message.attempt]))
  }
  await app.init()
  act = () => {
    throw new ReconsumeLater({ delayMs: 1_000 })
  }
  await broker.deliver('orders', { n: 1 })
  await broker.settled()
  await broker.advance(1_000)
  await broker.settled()
  expect(broker.sent('%DLQ%billing')).toHaveLength(1)
  await broker.deliver('prices', { n: 1 })
  await expect
    .poll(() => told, { timeout: 10_000 })
    .toEqual([
      ['retried', 'billing', 1],
      ['deadLettered', 'billing', 2],
      ['dropped', 'prices', 1],
    ])
})

test('events say how far behind each group is, also a paused one, and stop before the application ends', async () => {
  const { app, broker } = await boot({ telemetry: { events: true, gaugeIntervalMs: 5 } }, false)
  const lags = new Map<string, number>()
  app.get(TandemEvents).on('lag', ({ connection, group, lag }) => lags.set(`${connection} ${group}`, lag))
  await app.init()
  const names = ['billing', 'prices', 'stock', 'totals'].map((group) => `default ${group}`)
  await expect
    .poll(() => [...lags].toSorted(), { timeout: 10_000 })
    .toEqual(names.flatMap((name) => (name.includes('prices') ? [] : [[name, 0]])))
  await broker.deliver('orders', { n: 0 })
  await broker.settled()
  await app.get(TandemListeners).pause('billing')
  for (const n of [1, 2, 3]) await broker.deliver('orders', { n })
  await expect.poll(() => lags.get('default billing'), { timeout: 10_000 }).toBe(3)
  await app.get(TandemListeners).resume('billing')
  await expect.poll(() => lags.get('default billing'), { timeout: 10_000 }).toBe(0)
  await app.close()
  open.length = 0
  lags.clear()
  const looked = vi.spyOn(app.get(TandemConnection), 'state')
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect([lags.size, looked.mock.calls.length]).toEqual([0, 0])
})

test('a listener of lag that throws is logged, and is told the next one', async () => {
  const { app } = await boot({ telemetry: { events: true, gaugeIntervalMs: 5 } }, false)
  let told = 0
  app.get(TandemEvents).on('lag', () => {
    told++
    throw new Error('not ready')
  })
  await app.init()
  await expect.poll(() => told, { timeout: 10_000 }).toBeGreaterThan(2)
})

test('a health check sees groups that listen, are paused, lag behind, and a broker that is gone', async () => {
  const { app, broker } = await boot({})
  const health = app.get(TandemHealthIndicator)
  await broker.deliver('orders', { n: 1 })
  await broker.settled()
  const { mq: well } = await health.isHealthy('mq', { lagMax: 0 })
  expect(well).toMatchObject({ status: 'up', problems: [], connected: true })
  expect(well.groups['billing']).toMatchObject({
    state: 'listening',
    connected: true,
    lag: 0,
    queues: expect.any(Number),
  })
  expect(well.groups['billing']?.silentMs).toBeLessThan(60_000)
  const strict = async (): Promise<string[]> => (await health.isHealthy('mq', { silenceMsMax: -1 })).mq.problems
  expect(await strict()).toEqual([expect.stringContaining('group billing has heard of no broker for')])
  await app.get(TandemListeners).pause('billing')
  expect((await health.isHealthy('mq')).mq).toMatchObject({ status: 'up', groups: { billing: { state: 'paused' } } })
  expect(await strict()).toEqual([])
  await broker.deliver('orders', { n: 2 })
  expect((await health.isHealthy('mq', { lagMax: 0 })).mq.groups['billing']?.lag).toBe(1)
  await app.get(TandemListeners).resume('billing')
  await broker.close()
  const gone = async (): Promise<string[]> => (await health.isHealthy('mq')).mq.problems
  await expect.poll(gone, { timeout: 10_000 }).toContain('group billing has no connection to a broker')
  expect((await health.isHealthy('mq')).mq.status).toBe('down')
})

test('a process that is ending is not healthy, one that is switched off is', async () => {
  const { app } = await boot({})
  app.get(TandemListeners).onModuleDestroy()
  expect((await app.get(TandemHealthIndicator).isHealthy('mq')).mq).toMatchObject({
    status: 'down',
    problems: expect.arrayContaining(['the application is shutting down']),
  })
  const off = await boot({ enabled: false })
  expect((await off.app.get(TandemHealthIndicator).isHealthy('mq')).mq.status).toBe('up')
})
