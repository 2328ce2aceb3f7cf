import { AsyncLocalStorage } from 'node:async_hooks'
import { BadRequestException, Catch, Controller, Logger, Module } from '@nestjs/common'
import type { CallHandler, ExecutionContext, INestMicroservice } from '@nestjs/common'
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core'
import { Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { Observable, tap, throwError } from 'rxjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connectTandem, RejectMessage, TandemContext, TandemEvent, TandemModule } from '../index.ts'
import { TransportWorld } from './transport-test-kit.ts'

const heard: unknown[] = []
const requests = new AsyncLocalStorage<string>()

const guard = {
  canActivate(context: ExecutionContext): boolean {
    const rpc = context.switchToRpc()
    heard.push(['guard', context.getType(), rpc.getContext() instanceof TandemContext, rpc.getData()])
    return true
  },
}
const interceptor = {
  intercept: (_: ExecutionContext, next: CallHandler) => next.handle().pipe(tap(() => heard.push('intercepted'))),
}
const pipe = {
  transform(id: unknown): unknown {
    if (id === 'bad') throw new BadRequestException('a bad id')
    heard.push(['pipe', id])
    return id
  },
}

@Catch(RangeError)
class Never {
  catch() {
    return throwError(() => new RejectMessage('the filter says never'))
  }
}

@Controller()
class Orders {
  @TandemEvent('orders', { group: 'billing' })
  bill(@Payload('id') id: string): string {
    heard.push(['bill', id, requests.getStore()])
    if (id === 'range') throw new RangeError('out of range')
    return id
  }
}

beforeEach(() => {
  heard.length = 0
})

const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

test('enhancers of the whole application run around handlers, in the order of Nest, and decide as any other', async () => {
  await using world = await TransportWorld.start()
  await world.serve({
    controllers: [Orders],
    providers: [
      { provide: APP_GUARD, useValue: guard },
      { provide: APP_INTERCEPTOR, useValue: interceptor },
      { provide: APP_PIPE, useValue: pipe },
      { provide: APP_FILTER, useClass: Never },
    ],
  })
  await world.broker.deliver('orders', { id: 'o-1' })
  await world.broker.settled()
  expect(heard).toEqual([
    ['guard', 'rpc', true, { id: 'o-1' }],
    ['pipe', 'o-1'],
    ['bill', 'o-1', undefined],
    'intercepted',
  ])
  await world.broker.deliver('orders', { id: 'bad' })
  await world.broker.deliver('orders', { id: 'range' })
  await world.broker.settled()
  expect(world.broker.sent('%DLQ%billing').map(({ properties }) => properties['DLQ_REASON'])).toEqual([
    expect.stringContaining('payload refused: a bad id'),
    expect.stringContaining('the filter says never'),
  ])
})

test('a hybrid application lends its global enhancers to the transport', async () => {
  Logger.overrideLogger(false)
  @Module({ imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })], controllers: [Orders] })
  class AppModule {}
  const compiled = await useTestBroker(Test.createTestingModule({ imports: [AppModule] })).compile()
  const app = compiled.createNestApplication({ logger: false })
  endings.push(() => app.close())
  app.useGlobalPipes(pipe)
  connectTandem(app)
  await app.startAllMicroservices()
  await app.init()
  const broker = compiled.get(TestBroker)
  await broker.deliver('orders', { id: 'bad' })
  await broker.deliver('orders', { id: 'o-1' })
  await broker.settled()
  expect(heard.filter((one) => Array.isArray(one) && one[0] === 'bill')).toEqual([['bill', 'o-1', undefined]])
  expect(broker.sent('%DLQ%billing')).toHaveLength(1)
})

type PreRequest = {
  registerPreRequestHook?(hook: (context: unknown, next: () => Observable<unknown>) => unknown): void
}

test('a pre-request hook of Nest 12 sets the context the handler runs in', async () => {
  await using world = await TransportWorld.start()
  let isSupported = false
  const prepare = (app: INestMicroservice): void => {
    const hooked = app as PreRequest
    isSupported = hooked.registerPreRequestHook !== undefined
    hooked.registerPreRequestHook?.(
      (_, next) => new Observable((subscriber) => requests.run('request 7', () => next().subscribe(subscriber))),
    )
  }
  await world.serve({ controllers: [Orders] }, undefined, prepare)
  await world.broker.deliver('orders', { id: 'o-1' })
  await world.broker.settled()
  expect(heard).toEqual([['bill', 'o-1', isSupported ? 'request 7' : undefined]])
  expect(isSupported).toBe(process.env['TANDEM_NEST'] === undefined)
})

test('an interceptor of the method written above the pattern is no pipe: what it throws is retried', async () => {
  await using world = await TransportWorld.start()
  const { UseInterceptors } = await import('@nestjs/common')
  const broken = { intercept: () => throwError(() => new BadRequestException('the interceptor')) }
  @Controller()
  class Wrapped {
    @UseInterceptors(broken)
    @TandemEvent('orders', { group: 'billing' })
    bill(@Payload(pipe) id: unknown): unknown {
      return id
    }
  }
  await world.serve({ controllers: [Wrapped] })
  await world.broker.deliver('orders', { id: 'o-1' })
  await world.broker.settled()
  expect(world.broker.sent('%DLQ%billing')).toEqual([])
})
