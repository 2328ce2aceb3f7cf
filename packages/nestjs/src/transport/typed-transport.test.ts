import { Controller, Logger, Module } from '@nestjs/common'
import { Ctx, Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import type { SchemaResult, StandardSchema } from '@tandemmq/client'
import { TestBroker } from '@tandemmq/testing'
import { testBrokerToken, useTestBroker } from '@tandemmq/testing/nest'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  connectTandem,
  defineTopic,
  OnMessage,
  TandemContext,
  TandemEvent,
  TandemListeners,
  TandemModule,
  TandemRequest,
  TandemTemplate,
} from '../index.ts'
import { TransportWorld } from './transport-test-kit.ts'

interface Order {
  id: string
  amount: number
}

type Placed = Order & { currency: string }

// Answers later, as a schema that asks a database would.
const orderSchema: StandardSchema<Order, Placed> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: async (value): Promise<SchemaResult<Placed>> =>
      typeof (value as Order).amount === 'number'
        ? { value: { ...(value as Order), currency: 'EUR' } }
        : { issues: [{ message: 'expected a number', path: ['amount'] }] },
  },
}
const orders = defineTopic('orders', orderSchema)
const level = defineTopic('stock.level', orderSchema, {
  reply: { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as { level: number } }) } },
})
const wrong = { id: 'o-2', amount: 'much' }
const heard: unknown[] = []
const open: { close(): Promise<unknown> }[] = []

@Controller()
class Stock {
  @TandemEvent(orders, { group: 'stock', tags: ['created'] })
  reserve(@Payload() order: Placed, @Ctx() context: TandemContext): void {
    heard.push([order, context.getTag()])
  }

  @TandemRequest(level, { group: 'levels' })
  level(@Payload() order: Placed): { level: number } {
    heard.push(order.id)
    return { level: order.amount }
  }

  @TandemEvent('orders', { group: 'audited', connection: 'audit' })
  audit(@Payload('id') id: string): void {
    heard.push(`audit ${id}`)
  }
}

beforeEach(() => {
  heard.length = 0
})
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close()
})

test('a handler of a typed topic gets what its schema made, a payload that does not fit is a dead letter with its issues', async () => {
  await using world = await TransportWorld.start()
  const deserializer = {
    deserialize: (value: unknown) => ({ pattern: '', data: (value as { inside?: unknown }).inside ?? value }),
  }
  await world.serve({ controllers: [Stock] }, world.server({ deserializer }))
  await world.broker.deliver(orders, { id: 'o-1', amount: 5 }, { tag: 'created' })
  await world.broker.deliver('orders', { inside: { id: 'o-3', amount: 7 } }, { tag: 'created' })
  await world.broker.deliver('orders', wrong, { tag: 'created' })
  await world.broker.settled()
  expect(heard).toHaveLength(2)
  expect(heard).toEqual(
    expect.arrayContaining([
      [{ id: 'o-1', amount: 5, currency: 'EUR' }, 'created'],
      [{ id: 'o-3', amount: 7, currency: 'EUR' }, 'created'],
    ]),
  )
  const dead = world.broker.sent('%DLQ%stock')
  expect(dead.map(({ body, properties }) => [body, properties['DLQ_REASON']])).toEqual([
    [wrong, expect.stringContaining('amount: expected a number')],
  ])
})

async function application(): Promise<{
  tandem: TandemTemplate
  main: TestBroker
  audit: TestBroker
  listeners: TandemListeners
}> {
  class Listener {
    // The same group on another connection is another group.
    @OnMessage({ topic: 'elsewhere', group: 'audited' })
    elsewhere(): void {}
  }
  @Module({
    imports: [
      TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' }),
      TandemModule.forRoot({ nameServers: 'archive:9876', group: 'app', name: 'audit' }),
    ],
    controllers: [Stock],
    providers: [Listener],
  })
  class AppModule {}
  Logger.overrideLogger(false)
  const builder = useTestBroker(useTestBroker(Test.createTestingModule({ imports: [AppModule] })), 'audit')
  const compiled = await builder.setLogger(false as never).compile()
  const app = compiled.createNestApplication({ logger: false })
  open.push(app)
  connectTandem(app)
  connectTandem(app, { name: 'audit' })
  await app.init()
  await app.startAllMicroservices()
  return {
    tandem: compiled.get(TandemTemplate),
    main: compiled.get(TestBroker),
    audit: compiled.get(testBrokerToken('audit')),
    listeners: compiled.get(TandemListeners),
  }
}

test('a request to a handler of a typed topic is answered, one that does not fit is answered with why', async () => {
  const { tandem, main } = await application()
  expect(await tandem.request(level, { id: 'o-1', amount: 7 })).toEqual({ level: 7 })
  const refused = tandem.request({ topic: 'stock.level', body: wrong })
  await expect(refused).rejects.toThrow(/REQUEST_FAILED.*amount: expected a number/)
  await main.settled()
  expect(heard).toEqual(['o-1'])
  expect(main.sent('%DLQ%levels')).toHaveLength(1)
})

test('connectTandem with a name carries the handlers of that connection, over that connection', async () => {
  const { main, audit } = await application()
  await audit.deliver('orders', { id: 'a-1' })
  await main.deliver('orders', { id: 'm-1', amount: 1 }, { tag: 'other' })
  await audit.settled()
  await main.settled()
  expect(heard).toEqual(['audit a-1'])
})

test('a function added for a typed topic gets what its schema made, also in batches', async () => {
  const { tandem, main, listeners } = await application()
  await listeners.add({ topic: orders, group: 'added' }, (order, context) => {
    heard.push([order.currency, context.getGroup()])
  })
  const batch = { sizeMax: 2, waitMs: 5 }
  await listeners.add({ topic: orders, group: 'many', batch }, (all) => void heard.push(all.map(({ id }) => id)))
  await listeners.add({ topic: level, group: 'replies' }, async ({ amount }) => ({ level: amount }))
  await tandem.send(orders, { id: 'o-1', amount: 5 })
  await main.deliver('orders', wrong)
  await main.settled()
  expect(heard).toHaveLength(2)
  expect(heard).toEqual(expect.arrayContaining([['EUR', 'added'], ['o-1']]))
  expect([main.sent('%DLQ%added').length, main.sent('%DLQ%many').length]).toEqual([1, 1])
})
