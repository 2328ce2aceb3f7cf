import {
  BadRequestException,
  Catch,
  Controller,
  Inject,
  Injectable,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common'
import type { ArgumentsHost, CallHandler, CanActivate, ExecutionContext, NestInterceptor } from '@nestjs/common'
import { REQUEST } from '@nestjs/core'
import { Ctx, Payload, RpcException } from '@nestjs/microservices'
import * as client from '@tandemmq/client'
import { concat, delay, EMPTY, from, map, of, throwError } from 'rxjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ReconsumeLater, RejectMessage, TandemContext, TandemEvent } from '../index.ts'
import { TransportWorld } from './transport-test-kit.ts'

interface Order {
  id: string
  amount?: number
}

const heard: unknown[][] = []
let act: (order: Order) => unknown = () => undefined
let guardSays = true

const amountPipe = {
  transform(order: Order): Order {
    if (order?.amount !== undefined && order.amount < 0) throw new BadRequestException(['amount must be positive'])
    return order
  },
}

const doorman: CanActivate = { canActivate: () => guardSays }
const passing: NestInterceptor = { intercept: (_: ExecutionContext, next: CallHandler) => next.handle() }
const broken: NestInterceptor = {
  intercept: (_: ExecutionContext, next: CallHandler) =>
    next.handle().pipe(
      map(() => {
        throw new BadRequestException('from an interceptor')
      }),
    ),
}

@Catch(RangeError)
class Forgiving {
  catch(error: RangeError, _host: ArgumentsHost) {
    heard.push(['filter', error.message])
    return of(undefined)
  }
}

@Controller()
class Orders {
  @UseGuards(doorman)
  @UseInterceptors(passing)
  @TandemEvent('orders', { group: 'billing', attemptsMax: 2 })
  @UseFilters(Forgiving)
  bill(@Payload(amountPipe) order: Order, @Ctx() context: TandemContext): unknown {
    heard.push(['bill', order.id, context.getReconsumeTimes()])
    return act(order)
  }

  @TandemEvent('wrapped', { group: 'wrapped', attemptsMax: 2 })
  @UseInterceptors(broken)
  wrapped(): void {
    heard.push(['wrapped'])
  }
}

let world: TransportWorld
beforeEach(async () => {
  heard.length = 0
  act = () => undefined
  guardSays = true
  world = await TransportWorld.start({ clock: 'virtual' })
})
afterEach(() => world[Symbol.asyncDispose]())

const deadLetters = (group = 'billing') =>
  world.broker.sent(`%DLQ%${group}`).map(({ properties }) => properties['DLQ_REASON'])
/** Lets the retry fall due. */
const later = async (ms: number): Promise<void> => {
  await world.broker.advance(ms)
  await world.broker.settled()
}
const deliver = async (body: unknown = { id: 'o-1' }, topic = 'orders'): Promise<void> => {
  await world.broker.deliver(topic, body)
  await world.broker.settled()
}

test.each([
  ['a value', () => 17],
  ['a promise', async () => 17],
  ['nothing', () => undefined],
  ['an Observable', () => of(1, 2)],
  ['an Observable without a value', () => EMPTY],
])('a handler that returns %s has consumed the message', async (_, result) => {
  act = result
  await world.serve({ controllers: [Orders] })
  await deliver()
  await later(60_000)
  expect(heard).toEqual([['bill', 'o-1', 0]])
  expect(deadLetters()).toEqual([])
})

test('a handler that throws has the message delivered again and at last as a dead letter, logged with all one needs', async () => {
  act = () => {
    throw new Error('no stock')
  }
  await world.serve({ controllers: [Orders] })
  await deliver()
  await later(10_000)
  expect(heard).toEqual([
    ['bill', 'o-1', 0],
    ['bill', 'o-1', 1],
  ])
  expect(deadLetters()).toEqual([expect.stringContaining('no stock')])
  expect(world.logged).toContainEqual(
    expect.stringMatching(/Orders\.bill: message \w+ of topic orders, group billing, attempt 2 failed: no stock/),
  )
})

test('a failure of an Observable after it emitted is a failure', async () => {
  act = () =>
    concat(
      of(1),
      throwError(() => new RpcException({ status: 'error', message: 'half way' })),
    )
  await world.serve({ controllers: [Orders] })
  await deliver()
  await later(10_000)
  expect(heard).toHaveLength(2)
  expect(deadLetters()).toEqual([expect.stringContaining('half way')])
})

test.each([
  ['this package', ReconsumeLater],
  ['the client', client.ReconsumeLater],
])('ReconsumeLater of %s has the message delivered again after its time', async (_, Later) => {
  act = () => {
    if (heard.length < 2) throw new Later({ delayMs: 123_000 })
  }
  await world.serve({ controllers: [Orders] })
  await deliver()
  await later(122_000)
  expect(heard).toHaveLength(1)
  await later(1_500)
  expect(heard).toEqual([
    ['bill', 'o-1', 0],
    ['bill', 'o-1', 1],
  ])
})

test.each([
  ['this package', RejectMessage],
  ['the client', client.RejectMessage],
])('RejectMessage of %s makes the message a dead letter at once', async (_, Reject) => {
  act = async () => {
    throw new Reject('no amount')
  }
  await world.serve({ controllers: [Orders] })
  await deliver()
  expect(heard).toHaveLength(1)
  expect(deadLetters()).toEqual([expect.stringContaining('no amount')])
})

test('a payload a pipe refuses, and a body that cannot be read, are dead letters at once without calling the method', async () => {
  const { server } = await world.serve({ controllers: [Orders] })
  const failed: unknown[] = []
  server.on('failed', (context, error) => failed.push([context.getTopic(), (error as Error).constructor]))
  await deliver({ id: 'o-1', amount: -1 })
  await deliver('{"id":')
  expect(heard).toEqual([])
  expect(failed).toEqual([
    ['orders', BadRequestException],
    ['orders', client.RejectMessage],
  ])
  expect(deadLetters()).toEqual([
    expect.stringContaining('payload refused: amount must be positive'),
    expect.stringContaining('payload cannot be read'),
  ])
})

test('the same exception from the method is retried, because it is not the payload that was refused', async () => {
  act = () => {
    throw new BadRequestException('amount must be positive')
  }
  await world.serve({ controllers: [Orders] })
  await deliver()
  expect(deadLetters()).toEqual([])
  await later(10_000)
  expect(heard).toHaveLength(2)
})

test('a guard that refuses and an interceptor that throws have the message delivered again', async () => {
  guardSays = false
  await world.serve({ controllers: [Orders] })
  await deliver()
  await deliver({ id: 'w' }, 'wrapped')
  expect([deadLetters(), deadLetters('wrapped')]).toEqual([[], []])
  guardSays = true
  await later(10_000)
  expect(heard.toSorted()).toEqual([['bill', 'o-1', 1], ['wrapped'], ['wrapped']])
})

test('a filter that answers with a value consumes the message', async () => {
  act = () => {
    throw new RangeError('forgiven')
  }
  await world.serve({ controllers: [Orders] })
  await deliver()
  await later(10_000)
  expect(heard).toEqual([
    ['bill', 'o-1', 0],
    ['filter', 'forgiven'],
  ])
  expect(deadLetters()).toEqual([])
})

test('the message is not consumed before the stream of the handler has ended', async () => {
  const steps: string[] = []
  act = () =>
    from(['a', 'b']).pipe(
      delay(30),
      map((step) => steps.push(step)),
    )
  const { server } = await world.serve({ controllers: [Orders] })
  server.on('consumed', () => steps.push('consumed'))
  await deliver()
  expect(steps).toEqual(['a', 'b', 'consumed'])
})

@Injectable({ scope: Scope.REQUEST })
class PerMessage {
  readonly request: { getData(): unknown }

  constructor(@Inject(REQUEST) request: { getData(): unknown }) {
    this.request = request
  }
}

@Controller()
class Scoped {
  private readonly perMessage: PerMessage

  constructor(@Inject(PerMessage) perMessage: PerMessage) {
    this.perMessage = perMessage
  }

  @TandemEvent('orders', { group: 'scoped', attemptsMax: 1 })
  handle(@Payload(amountPipe) order: Order): unknown {
    heard.push(['scoped', this.perMessage.request.getData(), this.perMessage])
    return act(order)
  }
}

test('a request-scoped controller gets providers of its own for every message, and fails like any other', async () => {
  act = ({ id }) => (id === 'o-2' ? throwError(() => new Error('scoped failure')) : undefined)
  await world.serve({ controllers: [Scoped], providers: [PerMessage] })
  await deliver({ id: 'o-1' })
  await deliver({ id: 'o-2' })
  await deliver({ id: 'o-3', amount: -1 })
  expect(heard.map(([, data]) => data)).toEqual([{ id: 'o-1' }, { id: 'o-2' }])
  expect(heard[0]?.[2]).not.toBe(heard[1]?.[2])
  expect(deadLetters('scoped').map((reason) => /scoped failure|payload refused/.exec(reason ?? '')?.[0])).toEqual([
    'scoped failure',
    'payload refused',
  ])
})
