import { Inject, Injectable, Logger, Module } from '@nestjs/common'
import { Ctx, Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import type { UseTestBrokerOptions } from '@tandemmq/testing/nest'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MessageListener, OnMessage, RejectMessage, TandemContext, TandemModule, TandemTemplate } from './index.ts'

interface Order {
  id: string
  amount: number
}

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const heard: unknown[][] = []

@Injectable()
class Orders {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  async place(order: Order): Promise<string> {
    const receipt = await this.tandem.send({ topic: 'orders', tag: 'created', keys: [order.id], body: order })
    return receipt.messageId
  }
}

@MessageListener({ topic: 'orders', group: 'billing', tags: ['created'], attemptsMax: 3 })
class Billing {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  async onMessage(@Payload() order: Order, @Ctx() context: TandemContext): Promise<void> {
    heard.push(['billing', order.id, context.getTag(), context.getAttempt()])
    if (order.amount < 0) throw new RejectMessage('negative amount')
    if (order.amount === 0) throw new Error('no amount yet')
    await this.tandem.send({ topic: 'invoices', body: { order: order.id } })
  }
}

@Injectable()
class Stock {
  @OnMessage({ topic: 'orders', group: 'stock', ordered: true })
  reserve(@Payload('id') id: string): void {
    heard.push(['stock', id])
  }
}

@Injectable()
class Levels {
  @OnMessage({ topic: 'stock.level', group: 'levels' })
  async level(@Payload('sku') sku: string): Promise<unknown> {
    return sku === 'none' ? undefined : { sku, level: 7 }
  }
}

@Module({
  imports: [TandemModule.forRootAsync({ useFactory: () => ({ nameServers: 'production:9876', group: 'orders' }) })],
  providers: [Orders, Billing, Stock, Levels],
})
class AppModule {}

const open: TestingModule[] = []

async function boot(
  options?: UseTestBrokerOptions,
): Promise<{ app: TestingModule; broker: TestBroker; orders: Orders }> {
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(silent)
  const app = await useTestBroker(builder, options).compile()
  open.push(app)
  await app.init()
  Logger.overrideLogger(false)
  return { app, broker: app.get(TestBroker), orders: app.get(Orders) }
}

beforeEach(() => {
  heard.length = 0
})

afterEach(async () => {
  for (const app of open.splice(0)) await app.close()
})

test('a message sent by the template reaches the listeners of every group, and what they send arrives', async () => {
  const { broker, orders } = await boot()
  await orders.place({ id: 'o-1', amount: 5 })
  await broker.settled()
  expect(heard.toSorted()).toEqual([
    ['billing', 'o-1', 'created', 1],
    ['stock', 'o-1'],
  ])
  expect(broker.sent('invoices').map(({ body }) => body)).toEqual([{ order: 'o-1' }])
})

test('a tag nobody asked for is not delivered', async () => {
  const { broker } = await boot()
  await broker.deliver('orders', { id: 'o-1', amount: 5 }, { tag: 'deleted' })
  await broker.settled()
  expect(heard).toEqual([['stock', 'o-1']])
})

test('a rejected message is a dead letter at once, with its reason', async () => {
  const { broker, orders } = await boot()
  await orders.place({ id: 'o-1', amount: -1 })
  await broker.settled()
  expect(heard.filter(([who]) => who === 'billing')).toEqual([['billing', 'o-1', 'created', 1]])
  expect(broker.sent('%DLQ%billing')).toMatchObject([
    { body: { id: 'o-1', amount: -1 }, properties: { DLQ_REASON: expect.stringContaining('negative amount') } },
  ])
})

test('a body the listener cannot read is a dead letter at once', async () => {
  const { broker } = await boot()
  await broker.deliver('orders', '{"id":', { tag: 'created' })
  await broker.settled({ timeoutMs: 500 }).catch(() => {})
  expect(broker.sent('%DLQ%billing')).toMatchObject([
    { body: '{"id":', properties: { DLQ_REASON: expect.stringContaining('payload cannot be read') } },
  ])
})

test('a failing listener is tried attemptsMax times, then the message is a dead letter', async () => {
  const { broker, orders } = await boot({ clock: 'virtual' })
  await orders.place({ id: 'o-1', amount: 0 })
  const attempts = () => heard.filter(([who]) => who === 'billing').map(([, , , attempt]) => attempt)
  await broker.settled()
  expect(attempts()).toEqual([1])
  await broker.advance(10_000) // delay level 3, the first retry's
  await broker.settled()
  expect(attempts()).toEqual([1, 2])
  await broker.advance(30_000)
  await broker.settled()
  expect(attempts()).toEqual([1, 2, 3])
  expect(broker.sent('%DLQ%billing')).toHaveLength(1)
})

test('what a listener returns is the reply to a request', async () => {
  const { app } = await boot()
  const ask = (sku: string) => app.get(TandemTemplate).request({ topic: 'stock.level', body: { sku } })
  expect((await ask('a')).json()).toEqual({ sku: 'a', level: 7 })
  expect((await ask('none')).json()).toBeNull()
})

test('after a clean stop nothing finished is delivered again', async () => {
  const first = await boot()
  for (let n = 0; n < 20; n++) await first.orders.place({ id: `o-${n}`, amount: 5 })
  await first.broker.settled()
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(silent)
  const second = await useTestBroker(builder, { broker: first.broker }).compile()
  await second.init()
  await second.close()
  expect(heard).toHaveLength(40)
  await first.orders.place({ id: 'last', amount: 5 })
  await first.broker.settled()
  expect(heard).toHaveLength(42)
})

test('enqueue outside of a transaction is refused, and so is a transaction without a database', async () => {
  const { app } = await boot()
  const tandem = app.get(TandemTemplate)
  expect(() => tandem.enqueue({ topic: 'orders', body: 'x' })).toThrow(
    expect.objectContaining({ code: 'NO_TRANSACTION' }),
  )
  await expect(tandem.transaction(async () => {})).rejects.toMatchObject({ code: 'OPTION_INVALID' })
})

test('a module that is off refuses to send instead of waiting', async () => {
  const app = await Test.createTestingModule({
    imports: [TandemModule.forRoot({ nameServers: '127.0.0.1:1', group: 'app', enabled: false })],
  }).compile()
  open.push(app)
  await app.init()
  await expect(app.get(TandemTemplate).send({ topic: 'orders', body: 'x' })).rejects.toMatchObject({
    code: 'NOT_STARTED',
  })
})

test('a testing module without a TandemModule is refused instead of left on the real broker', async () => {
  await expect(useTestBroker(Test.createTestingModule({ providers: [] })).compile()).rejects.toThrow('TandemConnection')
})

test('the test broker ends with the application', async () => {
  const { app, broker } = await boot()
  await app.close()
  open.splice(0)
  await expect(broker.deliver('orders', 'x')).rejects.toMatchObject({ code: expect.any(String) })
})
