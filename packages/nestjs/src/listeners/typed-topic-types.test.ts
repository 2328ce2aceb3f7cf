import { Injectable } from '@nestjs/common'
import { Ctx, Payload } from '@nestjs/microservices'
import { Producer } from '@tandemmq/client'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { TestBroker } from '@tandemmq/testing'
import { of } from 'rxjs'
import type { Observable } from 'rxjs'
import { expect, test } from 'vitest'
import {
  defineTopic,
  MessageListener,
  OnMessage,
  ReconsumeLater,
  RejectMessage,
  TandemEvent,
  TandemRequest,
} from '../index.ts'
import type { TandemBatchContext, TandemContext, TandemListeners, TandemTemplate, Topic } from '../index.ts'

// What must not compile carries @ts-expect-error, so the type check fails where one of these mistakes compiles.

interface Order {
  id: string
  amount: number
}

interface Payment {
  id: string
  paidAt: string
}

/** As a library's schema declares itself: a currency is optional for who sends and there for who listens. */
const orderSchema: StandardSchemaV1<Order & { currency?: string }, Order & { currency: string }> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => ({ value: { currency: 'EUR', ...(value as Order) } }),
  },
}
const levelSchema: StandardSchemaV1<{ level: number }> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as { level: number } }) },
}

const orders = defineTopic('orders', orderSchema)
const payments = defineTopic<Payment>('payments')
const stockLevel = defineTopic('stock.level', orderSchema, { reply: levelSchema })
const stockLeft = defineTopic<{ sku: string }, { left: number }>('stock.left')
const group = 'types'
const order: Order = { id: 'o-1', amount: 5 }

/** Compiled, never run. */
export async function senders(tandem: TandemTemplate, broker: TestBroker, producer: Producer): Promise<void> {
  await tandem.send(orders, order, { tag: 'created', keys: [order.id] }, { timeoutMs: 100 })
  await tandem.send(orders, { ...order, currency: 'EUR' })
  tandem.enqueue(orders, order)
  tandem.sendOneway(payments, { id: 'p-1', paidAt: 'now' })
  await producer.send(orders.message(order, { orderBy: order.id }))
  await tandem.sendAll([orders.message(order), payments.message({ id: 'p-1', paidAt: 'now' })])
  await broker.deliver(orders, order)
  const amount: number | undefined = broker.sent(orders)[0]?.body.amount
  const { level }: { level: number } = await tandem.request(stockLevel, order, {}, { timeoutMs: amount ?? 100 })
  level satisfies number
  const { left } = await tandem.request(stockLeft, { sku: 'a' })
  left satisfies number

  // Wrong payload.
  // @ts-expect-error the amount is a number
  await tandem.send(orders, { id: 'o-1', amount: '5' })
  // @ts-expect-error the amount is missing
  await tandem.send(orders, { id: 'o-1' })
  // @ts-expect-error there is no such property
  await tandem.send(orders, { id: 'o-1', amount: 5, colour: 'red' })
  // @ts-expect-error no payload at all
  await tandem.send(orders)
  // @ts-expect-error the amount is a number, also in a transaction
  tandem.enqueue(orders, { id: 'o-1', amount: '5' })
  // @ts-expect-error the amount is a number, also without waiting
  tandem.sendOneway(orders, { id: 'o-1', amount: '5' })
  // @ts-expect-error the amount is a number, also without Nest
  await producer.send(orders.message({ id: 'o-1', amount: '5' }))
  // @ts-expect-error the amount is a number, also in a test
  await broker.deliver(orders, { id: 'o-1', amount: '5' })
  // @ts-expect-error a delay is a number of ms
  await tandem.send(orders, order, { delayMs: '30s' })

  // Wrong topic.
  // @ts-expect-error an order is no payment
  await tandem.send(payments, order)
  // @ts-expect-error a name has no type: take the topic, or the form with { topic, body }
  await tandem.send('orders', order)
  // @ts-expect-error what was sent to payments has no amount
  broker.sent(payments)[0]?.body.amount satisfies number | undefined

  // Wrong outcome of a request.
  // @ts-expect-error the reply has a level
  ;(await tandem.request(stockLevel, order)).left satisfies number
  // @ts-expect-error nobody replies to an event
  await tandem.request(orders, order)
}

@Injectable()
export class Fitting {
  @OnMessage({ topic: orders, group })
  async whole(@Payload() given: Order, @Ctx() context: TandemContext): Promise<void> {
    if (given.amount < 0) throw new RejectMessage(context.getTopic())
    if (given.amount === 0) throw new ReconsumeLater({ delayMs: 5_000 })
  }

  @OnMessage({ topic: orders, group })
  converted({ currency }: { currency: string }): void {
    currency satisfies string
  }

  @OnMessage({ topic: orders, group })
  turned(@Ctx() _context: TandemContext, @Payload() _order: Order): void {}

  @OnMessage((get) => ({ topic: orders, group: get<string>('GROUP') }))
  late(_order: Order): void {}

  @OnMessage({ topic: orders, group })
  streamed(_order: Order): Observable<unknown> {
    return of(1)
  }

  @OnMessage({ topic: stockLevel, group })
  async level(_order: Order): Promise<{ level: number }> {
    return { level: 7 }
  }

  @OnMessage({ topic: orders as Topic<never>, group })
  part(@Payload('id') _id: string): void {}

  @OnMessage({ topic: orders, group, batch: { sizeMax: 10 } })
  async many(_orders: Order[], _context: TandemBatchContext): Promise<void> {}

  @OnMessage({ topic: 'orders', group })
  untyped(_order: Payment): string {
    return 'by name nothing is known'
  }
}

@Injectable()
export class Misfitting {
  // @ts-expect-error wrong payload: the amount is a number
  @OnMessage({ topic: orders, group })
  amount(_order: { id: string; amount: string }): void {}

  // @ts-expect-error wrong topic: a payment is no order
  @OnMessage({ topic: payments, group })
  other(_order: Order): void {}

  // @ts-expect-error wrong topic, known late
  @OnMessage((get) => ({ topic: payments, group: get<string>('GROUP') }))
  late(_order: Order): void {}

  // @ts-expect-error wrong payload behind the context
  @OnMessage({ topic: orders, group })
  turned(_context: TandemContext, _order: Payment): void {}

  // @ts-expect-error wrong outcome: returned it would consume the message; it is to be thrown
  @OnMessage({ topic: orders, group })
  returned(_order: Order): ReconsumeLater | undefined {
    return new ReconsumeLater({ delayMs: 5_000 })
  }

  // @ts-expect-error wrong outcome: nobody gets this value
  @OnMessage({ topic: orders, group })
  async value(_order: Order): Promise<string> {
    return 'done'
  }

  // @ts-expect-error wrong outcome: the reply has a level
  @OnMessage({ topic: stockLevel, group })
  async level(_order: Order): Promise<{ left: number }> {
    return { left: 7 }
  }

  // @ts-expect-error wrong outcome: a request must be answered
  @OnMessage({ topic: stockLevel, group })
  async silence(_order: Order): Promise<void> {}

  // @ts-expect-error wrong payload: a batch is an array
  @OnMessage({ topic: orders, group, batch: { sizeMax: 10 } })
  async one(_order: Order): Promise<void> {}

  // @ts-expect-error wrong payload: without a batch it is no array
  @OnMessage({ topic: orders, group })
  async many(_orders: Order[]): Promise<void> {}

  // @ts-expect-error a delay has a name
  later = () => new ReconsumeLater({ delay: 5_000 })
}

@MessageListener({ topic: orders, group })
export class FittingListener {
  onMessage(_order: Order): void {}
}

// @ts-expect-error wrong topic: a payment is no order
@MessageListener({ topic: payments, group })
export class MisfittingListener {
  onMessage(_order: Order): void {}
}

// @ts-expect-error a listener has a method onMessage
@MessageListener({ topic: orders, group })
export class SilentListener {
  handle(_order: Order): void {}
}

// @ts-expect-error wrong outcome: nobody gets this value
@MessageListener({ topic: orders, group })
export class TalkingListener {
  onMessage(_order: Order): string {
    return 'done'
  }
}

export class FittingController {
  @TandemEvent(orders, { group })
  async whole(@Payload() given: Order, @Ctx() context: TandemContext): Promise<void> {
    if (given.amount < 0) throw new RejectMessage(context.getTopic())
  }

  @TandemEvent(orders, { group })
  converted({ currency }: { currency: string }): void {
    currency satisfies string
  }

  @TandemEvent(orders, { group })
  streamed(_order: Order): Observable<unknown> {
    return of(1)
  }

  @TandemRequest(stockLevel, { group })
  async level(_order: Order): Promise<{ level: number }> {
    return { level: 7 }
  }

  @TandemRequest(stockLevel, { group })
  levels(_order: Order): Observable<{ level: number }> {
    return of({ level: 7 }, { level: 8 })
  }

  @TandemEvent(orders as Topic<never, never, void>, { group })
  part(@Payload('id') _id: string): void {}

  @TandemEvent('orders', { group })
  untyped(_order: Payment): string {
    return 'by name nothing is known'
  }
}

export class MisfittingController {
  // @ts-expect-error wrong payload: the amount is a number
  @TandemEvent(orders, { group })
  amount(_order: { id: string; amount: string }): void {}

  // @ts-expect-error wrong topic: a payment is no order
  @TandemEvent(payments, { group })
  other(_order: Order): void {}

  // @ts-expect-error wrong outcome: returned it would consume the message; it is to be thrown
  @TandemEvent(orders, { group })
  returned(_order: Order): ReconsumeLater {
    return new ReconsumeLater({ delayMs: 5_000 })
  }

  // @ts-expect-error wrong topic: who asks for the level would wait in vain
  @TandemEvent(stockLevel, { group })
  unanswered(_order: Order): void {}

  // @ts-expect-error wrong outcome: the reply has a level
  @TandemRequest(stockLevel, { group })
  left(_order: Order): { left: number } {
    return { left: 7 }
  }

  // @ts-expect-error wrong topic: nobody asks for an answer to an event
  @TandemRequest(orders, { group })
  event(_order: Order): void {}
}

/** Compiled, never run. */
export async function adders(listeners: TandemListeners): Promise<void> {
  await listeners.add({ topic: orders, group }, ({ currency }, context) => {
    currency satisfies string
    context satisfies TandemContext
  })
  await listeners.add({ topic: stockLevel, group }, async () => ({ level: 7 }))
  const batch = { sizeMax: 10 }
  await listeners.add({ topic: orders, group, batch }, async (many, context) => {
    many satisfies Order[]
    context satisfies TandemBatchContext
  })
  await listeners.add({ topic: 'orders', group }, (payload) => payload)

  // @ts-expect-error wrong payload: the amount is a number
  await listeners.add({ topic: orders, group }, (_order: { id: string; amount: string }) => {})
  // @ts-expect-error wrong topic: a payment is no order
  await listeners.add({ topic: payments, group }, (_order: Order) => {})
  // @ts-expect-error wrong payload: a batch is an array
  await listeners.add({ topic: orders, group, batch }, (_order: Order) => {})
  // @ts-expect-error wrong outcome: nobody gets this value
  await listeners.add({ topic: orders, group }, () => 'done')
  // @ts-expect-error wrong outcome: the reply has a level
  await listeners.add({ topic: stockLevel, group }, () => ({ left: 7 }))
}

test('a topic without a schema has its type only', () => {
  expect(payments.schema).toBeUndefined()
})
