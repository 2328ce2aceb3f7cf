import 'reflect-metadata'
import { BadRequestException, Inject, Injectable, Logger, Scope, UseGuards, UseInterceptors } from '@nestjs/common'
import type { CallHandler, CanActivate, ExecutionContext, NestInterceptor, PipeTransform } from '@nestjs/common'
import { APP_GUARD, DiscoveryModule, REQUEST } from '@nestjs/core'
import { Ctx, Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { ReconsumeLater, RejectMessage } from '@tandemmq/client'
import type { ConsumedMessage } from '@tandemmq/client'
import { EMPTY, map, of } from 'rxjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MessageListener, OnMessage } from './decorators.ts'
import { ListenerDiscovery } from './listener-discovery.ts'
import { ListenerInvoker } from './listener-invoker.ts'
import { messageHandlerOf } from './outcome.ts'
import { TandemContext } from './tandem-context.ts'

interface Order {
  id: string
  amount: number
}

class AmountPipe implements PipeTransform {
  transform(order: Order): Order {
    if (!(order.amount > 0)) throw new BadRequestException(['amount must be positive'])
    return { ...order, amount: order.amount * 100 }
  }
}

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const seen: unknown[] = []
let guardSays = true

@Injectable()
class Doorman implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    seen.push(['guard', context.getType(), context.switchToRpc().getData()])
    return guardSays
  }
}

@Injectable()
class Wrapper implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(map((value) => ({ wrapped: value })))
  }
}

class BrokenWrapper implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(
      map(() => {
        throw new BadRequestException('interceptor')
      }),
    )
  }
}

let act: (order: Order) => unknown = () => undefined

@MessageListener({ topic: 'orders', group: 'billing' })
class Billing {
  onMessage(@Payload(AmountPipe) order: Order, @Ctx() context: TandemContext): unknown {
    seen.push(['billing', order, context.getMessageId(), context.getAttempt()])
    return act(order)
  }
}

@Injectable()
class Stock {
  @OnMessage({ topic: 'orders', group: 'stock' })
  plain(order: Order, context: TandemContext): unknown {
    seen.push(['stock', order, context.getGroup()])
    return act(order)
  }

  @OnMessage({ topic: 'orders', group: 'keyed' })
  keyed(@Payload('id') id: string): void {
    seen.push(['keyed', id])
  }

  @UseGuards(Doorman)
  @OnMessage({ topic: 'orders', group: 'guarded' })
  guarded(order: Order): void {
    seen.push(['guarded', order])
  }

  @UseInterceptors(Wrapper)
  @OnMessage({ topic: 'orders', group: 'wrapped' })
  wrapped(): unknown {
    return act({ id: '', amount: 0 })
  }

  @UseInterceptors(BrokenWrapper)
  @OnMessage({ topic: 'orders', group: 'broken' })
  broken(): void {}
}

@Injectable({ scope: Scope.REQUEST })
class PerMessage {
  readonly request: { getData(): unknown }

  constructor(@Inject(REQUEST) request: { getData(): unknown }) {
    this.request = request
  }
}

@MessageListener({ topic: 'orders', group: 'scoped' })
class Scoped {
  private readonly perMessage: PerMessage

  constructor(@Inject(PerMessage) perMessage: PerMessage) {
    this.perMessage = perMessage
  }

  onMessage(): void {
    seen.push(['scoped', this.perMessage.request.getData(), this.perMessage])
  }
}

let module: TestingModule

beforeEach(async () => {
  seen.length = 0
  guardSays = true
  act = () => undefined
  module = await Test.createTestingModule({
    imports: [DiscoveryModule],
    providers: [
      ListenerDiscovery,
      ListenerInvoker,
      Billing,
      Stock,
      PerMessage,
      Scoped,
      { provide: 'again', useExisting: Billing },
    ],
  })
    .setLogger(silent)
    .compile()
  Logger.overrideLogger(false)
})

afterEach(() => module.close())

const message = (body: unknown): ConsumedMessage => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const fields = { topic: 'orders', messageId: 'M1', attempt: 2, tag: '', keys: [], properties: {} }
  return { ...fields, body: Buffer.from(text), text: () => text } as unknown as ConsumedMessage
}

async function deliver(group: string, body: unknown = { id: 'o-1', amount: 5 }): Promise<unknown> {
  const found = module
    .get(ListenerDiscovery)
    .find()
    .filter(({ options }) => options.group === group)
  expect(found).toHaveLength(1)
  const [listener] = found
  if (listener === undefined) throw new Error(group)
  const invoker = module.get(ListenerInvoker)
  const handler = messageHandlerOf({
    name: listener.name,
    options: listener.options,
    invoke: invoker.invocationOf(listener),
    isPayloadRefusal: invoker.isPayloadRefusal.bind(invoker),
    reply: async () => {
      throw new Error('nobody asked')
    },
  })
  return handler(message(body), { signal: new AbortController().signal } as never)
}

test.each([
  ['a value', () => 17],
  ['a promise', async () => 17],
  ['nothing', () => undefined],
  ['an Observable', () => of(1, 2)],
  ['an Observable without a value', () => EMPTY],
])('a listener that returns %s has consumed the message', async (_, result) => {
  act = result
  await deliver('stock')
  await deliver('wrapped')
})

test('a listener that throws fails with the very error it threw', async () => {
  const error = new BadRequestException('from the method, not from a pipe')
  act = () => {
    throw error
  }
  await expect(deliver('billing')).rejects.toBe(error)
  await expect(deliver('stock')).rejects.toBe(error)
  act = () => Promise.reject(error)
  await expect(deliver('billing')).rejects.toBe(error)
})

test('ReconsumeLater and RejectMessage arrive as they were thrown', async () => {
  for (const error of [new ReconsumeLater({ delayMs: 5 }), new RejectMessage('no amount')]) {
    act = () => {
      throw error
    }
    await expect(deliver('billing')).rejects.toBe(error)
  }
})

test('a payload that a pipe refuses is rejected with what the pipe said', async () => {
  const refusal = await deliver('billing', { id: 'o-1', amount: -1 }).catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(RejectMessage)
  expect((refusal as RejectMessage).message).toBe('payload refused: amount must be positive')
  expect((refusal as RejectMessage).cause).toBeInstanceOf(BadRequestException)
  expect(seen).toEqual([])
})

test('a payload that cannot be read is rejected without calling the method', async () => {
  const refusal = await deliver('stock', '{"id":').catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(RejectMessage)
  expect(seen).toEqual([])
})

test('an error of an interceptor is no refusal of the payload', async () => {
  await expect(deliver('broken')).rejects.toBeInstanceOf(BadRequestException)
})

test('a guard that refuses has the message delivered again', async () => {
  guardSays = false
  const error = await deliver('guarded').catch((thrown: unknown) => thrown)
  expect(error).not.toBeInstanceOf(RejectMessage)
  expect(error).toBeInstanceOf(Error)
  expect(seen).toEqual([['guard', 'rpc', { id: 'o-1', amount: 5 }]])
})

test('pipes see the payload and decorators fill the parameters', async () => {
  await deliver('billing')
  await deliver('stock')
  await deliver('keyed')
  expect(seen).toEqual([
    ['billing', { id: 'o-1', amount: 500 }, 'M1', 2],
    ['stock', { id: 'o-1', amount: 5 }, 'stock'],
    ['keyed', 'o-1'],
  ])
})

test('a request-scoped listener gets providers of its own for every message', async () => {
  await deliver('scoped', { id: 'o-1' })
  await deliver('scoped', { id: 'o-2' })
  const [first, second] = seen as [string, unknown, unknown][]
  expect([first?.[1], second?.[1]]).toEqual([{ id: 'o-1' }, { id: 'o-2' }])
  expect(first?.[2]).not.toBe(second?.[2])
})

test('a pipe of the whole application sees the payload of a method without decorators', async () => {
  const app = await Test.createTestingModule({
    imports: [DiscoveryModule],
    providers: [ListenerDiscovery, ListenerInvoker, Stock, { provide: APP_GUARD, useClass: Doorman }],
  })
    .setLogger(silent)
    .compile()
  const created = app.createNestMicroservice({ strategy: { listen: () => {}, close: () => {} } as never })
  created.useGlobalPipes({
    transform: (value: unknown, { type, metatype }) => {
      seen.push(['pipe', type, metatype?.name])
      return value
    },
  })
  await created.init()
  Logger.overrideLogger(false)
  await module.close()
  module = app
  await deliver('stock')
  expect(seen).toContainEqual(['pipe', 'body', 'Object'])
  expect(seen).toContainEqual(['guard', 'rpc', { id: 'o-1', amount: 5 }])
  await created.close()
})

test('the compiler left the parameter types Nest injects by', () => {
  @Injectable()
  class Sample {
    readonly billing: Billing

    constructor(billing: Billing) {
      this.billing = billing
    }
  }
  expect(Reflect.getMetadata('design:paramtypes', Sample)).toEqual([Billing])
  expect(Reflect.getMetadata('design:paramtypes', Billing.prototype, 'onMessage')).toEqual([Object, TandemContext])
})
