import { Injectable, Logger, Module } from '@nestjs/common'
import type { PipeTransform } from '@nestjs/common'
import { Ctx, Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import type { SchemaResult, StandardSchema } from '@tandemmq/client'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defineTopic, MessageListener, OnMessage, TandemContext, TandemModule, TandemTemplate } from '../index.ts'

interface Order {
  id: string
  amount: number
}

type Placed = Order & { currency: string }

const schemaOf = <In, Out>(validate: (value: unknown) => SchemaResult<Out>): StandardSchema<In, Out> => ({
  '~standard': { version: 1, vendor: 'test', validate: async (value) => validate(value) },
})
const orderSchema = schemaOf<Order, Placed>((value) =>
  typeof (value as Order).amount === 'number'
    ? { value: { ...(value as Order), currency: 'EUR' } }
    : { issues: [{ message: 'expected a number', path: ['amount'] }] },
)
const levelSchema = schemaOf<{ level: number }, { level: number }>((value) =>
  typeof (value as { level?: unknown }).level === 'number'
    ? { value: value as { level: number } }
    : { issues: [{ message: 'expected a number', path: ['level'] }] },
)

const orders = defineTopic('orders', orderSchema)
const level = defineTopic('stock.level', orderSchema, { reply: levelSchema })
const texts = defineTopic<string>('texts')
const heard: unknown[] = []

class SeesCurrency implements PipeTransform {
  transform(value: unknown): unknown {
    if (typeof value === 'object') heard.push(['pipe', (value as Placed).currency])
    return value
  }
}

@MessageListener({ topic: orders, group: 'billing', tags: ['created'] })
class Billing {
  onMessage(@Payload(SeesCurrency) order: Placed, @Ctx() context: TandemContext): void {
    heard.push([order, context.getTag()])
  }
}

@Injectable()
class Stock {
  @OnMessage((get) => ({ topic: level, group: get<string>('GROUP') }))
  async level(order: Order): Promise<{ level: number }> {
    return order.id === 'lies' ? ({ level: 'many' } as unknown as { level: number }) : { level: order.amount }
  }

  @OnMessage({ topic: texts, group: 'texts' })
  text(text: string): void {
    heard.push(text)
  }
}

@Module({
  imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'orders' })],
  providers: [Billing, Stock, { provide: 'GROUP', useValue: 'stock' }],
})
class AppModule {}

let app: TestingModule
let broker: TestBroker
let tandem: TandemTemplate

beforeEach(async () => {
  Logger.overrideLogger(false)
  heard.length = 0
  app = await useTestBroker(Test.createTestingModule({ imports: [AppModule] })).compile()
  await app.init()
  broker = app.get(TestBroker)
  tandem = app.get(TandemTemplate)
})
afterEach(() => app.close())

const wrong = { id: 'o-2', amount: 'much' } as unknown as Order

test('a payload that fits arrives as the schema made it, before any pipe', async () => {
  await tandem.send(orders, { id: 'o-1', amount: 5 }, { tag: 'created', keys: ['o-1'] })
  await broker.settled()
  expect(heard).toEqual([
    ['pipe', 'EUR'],
    [{ id: 'o-1', amount: 5, currency: 'EUR' }, 'created'],
  ])
  expect(broker.sent(orders)).toMatchObject([{ body: { id: 'o-1', amount: 5 }, tag: 'created', keys: ['o-1'] }])
})

test('a payload that does not fit is refused by the sender, and nothing is sent', async () => {
  await expect(tandem.send(orders, wrong)).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
  await expect(tandem.request(level, wrong)).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
  await expect(broker.deliver(orders, wrong)).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
  expect(broker.sent(orders)).toEqual([])
  expect(broker.sent(level)).toEqual([])
})

test('where nobody waits, a schema that answers later is refused instead of skipped', () => {
  const order = { id: 'o-1', amount: 5 }
  expect(() => tandem.sendOneway(orders, order)).toThrow('[OPTION_INVALID]')
  expect(() => tandem.enqueue(orders, order)).toThrow('[OPTION_INVALID]')
})

test('a payload of another sender that does not fit is a dead letter at once, with the issues as its reason', async () => {
  await broker.deliver('orders', wrong, { tag: 'created' })
  await broker.settled()
  expect(heard).toEqual([])
  const [dead, ...others] = broker.sent('%DLQ%billing')
  expect(others).toEqual([])
  expect(dead?.body).toEqual(wrong)
  expect(dead?.properties['DLQ_REASON']).toContain('amount: expected a number')
})

test('a request is answered with a checked reply', async () => {
  expect(await tandem.request(level, { id: 'o-1', amount: 7 })).toEqual({ level: 7 })
  await expect(tandem.request(level, { id: 'lies', amount: 7 })).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
})

test('a text stays the text it was', async () => {
  await tandem.send(texts, '123')
  tandem.sendOneway(texts, '{}')
  await broker.settled()
  // Two queues: either may come first.
  await expect.poll(() => heard.toSorted()).toEqual(['123', '{}'])
})
