import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { types } from 'node:util'
import { Controller, Inject, Injectable, Logger, Module } from '@nestjs/common'
import type { INestApplication, Type } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Ctx, Payload } from '@nestjs/microservices'
import { createObserveModule } from '@nestjs/observe'
import type { SkipSpansContext } from '@nestjs/observe'
import { Admin } from '@tandemmq/client'
import {
  connectTandem,
  OnMessage,
  RejectMessage,
  TandemConnection,
  TandemContext,
  TandemEvent,
  TandemHealthIndicator,
  TandemListeners,
  TandemModule,
  TandemRequest,
  TandemTemplate,
} from '@tandemmq/nestjs'
import { startTestBroker } from '@tandemmq/testing'
import type { TestBroker } from '@tandemmq/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'

// Every provider of the application is behind a Proxy of @nestjs/observe here, those of TandemModule too.

const heard: string[] = []

@Injectable()
class Stock {
  level(sku: string): number {
    return sku.length
  }
}

@Controller()
class StockController {
  constructor(@Inject(Stock) private readonly stock: Stock) {}

  @TandemEvent('orders', { group: 'stock' })
  reserve(@Payload('sku') sku: string, @Ctx() context: TandemContext): void {
    if (sku === '') throw new RejectMessage('nothing to reserve')
    heard.push(`reserve ${this.stock.level(sku)} ${context.getGroup()}`)
  }

  @TandemRequest('stock.level', { group: 'levels' })
  level(@Payload('sku') sku: string): number {
    return this.stock.level(sku)
  }
}

@Injectable()
class Billing {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  @OnMessage({ topic: 'orders', group: 'billing' })
  async bill(@Payload('sku') sku: string): Promise<void> {
    await this.tandem.send({ topic: 'invoices', body: sku })
  }
}

const finished: SkipSpansContext[] = []
let collector: Server
let batches = 0
let broker: TestBroker
let app: INestApplication

beforeAll(async () => {
  Logger.overrideLogger(false)
  broker = await startTestBroker()
  collector = createServer((request, response) => {
    batches++
    request.resume().on('end', () => response.end('{}'))
  })
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
  const { port } = collector.address() as AddressInfo
  const { ObserveModule, ObserveInstrument } = createObserveModule()
  const listeners = { startFrom: 'first' as const, consumer: { commitIntervalMs: 5, rebalanceIntervalMs: 20 } }
  @Module({
    imports: [
      ObserveModule.forRoot({
        ...{ appKey: 'key', appSecret: 'secret', serviceId: 'shop', endpoint: `http://127.0.0.1:${port}` },
        ...{ flushInterval: 50, runtimeMetrics: false },
        skipSpans: (operation) => {
          finished.push(operation)
          return false
        },
      }),
      TandemModule.forRoot({ nameServers: broker.address, group: 'shop', listeners }),
    ],
    controllers: [StockController],
    providers: [Stock, Billing],
  })
  class AppModule {}
  app = await NestFactory.create(AppModule, {
    ...(ObserveInstrument && { instrument: ObserveInstrument }),
    logger: false,
    abortOnError: false,
  })
  connectTandem(app)
  await app.init()
  await app.startAllMicroservices()
})

afterAll(async () => {
  await app?.close()
  await broker?.close()
  collector?.closeAllConnections()
  await new Promise((resolve) => collector?.close(resolve))
})

test('observe sees each message of a controller as an operation of our protocol, with how it ended', async () => {
  await broker.deliver('orders', { sku: 'abc' })
  await broker.deliver('orders', { sku: '' })
  const tandem = app.get(TandemTemplate)
  expect((await tandem.request({ topic: 'stock.level', body: { sku: 'abcd' } })).json()).toBe(4)
  await broker.settled()
  expect(heard).toEqual(['reserve 3 stock'])
  expect(broker.sent('%DLQ%stock')).toHaveLength(1)
  await expect.poll(() => finished.length).toBe(3)
  const seen = finished.map(({ protocol, operationId, errorClass }) => [protocol, operationId, errorClass])
  expect(seen.toSorted((one, other) => String(one).localeCompare(String(other)))).toEqual([
    ['tandemmq', 'orders', undefined],
    ['tandemmq', 'orders', 'RejectMessage'],
    ['tandemmq', 'stock.level', undefined],
  ])
  await expect.poll(() => batches).toBeGreaterThan(0)
})

test('listeners, template, health and pause work behind its proxies', async () => {
  const ours = [TandemTemplate, TandemListeners, TandemHealthIndicator, TandemConnection]
  expect(ours.map((one) => types.isProxy(app.get(one as Type)))).toEqual(ours.map(() => true))
  await app.get(TandemTemplate).send({ topic: 'orders', body: { sku: 'xyz' } })
  await broker.settled()
  expect(broker.sent('invoices').map(({ body }) => body)).toContain('xyz')
  const { tandem } = await app.get(TandemHealthIndicator).isHealthy('tandem', { lagMax: 0 })
  expect(tandem).toMatchObject({ status: 'up', groups: { billing: { lag: 0 }, stock: { lag: 0 } } })
  await app.get(TandemListeners).pause('billing')
  expect(app.get(TandemListeners).groups()).toMatchObject([{ group: 'billing', isPaused: true }])
  await app.get(TandemListeners).resume('billing')
})

test('an application behind its proxies leaves no client behind when it is closed', async () => {
  await app.close()
  const admin = new Admin({ nameServers: broker.address })
  await admin.start()
  const members = async (group: string): Promise<number> => (await admin.consumerConnections(group)).members.length
  expect([await members('billing'), await members('stock'), await members('levels')]).toEqual([0, 0, 0])
  await admin.close()
})
