import { Controller, Injectable, Logger, Module } from '@nestjs/common'
import type { BeforeApplicationShutdown, OnApplicationShutdown, OnModuleDestroy, OnModuleInit } from '@nestjs/common'
import { BaseRpcContext, ClientsModule, Ctx, EventPattern, Payload, Server } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import { PushConsumer } from '@tandemmq/client'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { from, map } from 'rxjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  connectTandem,
  MessageListener,
  RejectMessage,
  TANDEM_TRANSPORT,
  TandemClient,
  TandemContext,
  TandemEvent,
  TandemModule,
  TandemRequest,
  TandemServer,
  tandemStrategy,
} from '../index.ts'
import { TransportWorld } from './transport-test-kit.ts'

const heard: unknown[][] = []
const steps: string[] = []
let act: () => unknown = () => undefined
let whileStopping: () => Promise<void> = async () => {}

@Controller()
class Stock {
  @TandemEvent('orders', { group: 'stock', tags: ['created'] })
  reserve(@Payload('id') id: string, @Ctx() context: TandemContext): unknown {
    heard.push(['reserve', id, context.getTag(), context.getGroup()])
    return act()
  }

  @TandemEvent('orders', { group: 'stock', tags: ['cancelled', 'expired'] })
  release(@Payload('id') id: string): void {
    heard.push(['release', id])
  }
}

@Controller()
class Billing {
  @TandemEvent('orders', { group: 'billing' })
  bill(@Payload('id') id: string, @Ctx() context: TandemContext): void {
    heard.push(['bill', id, context.getTag(), context.getGroup()])
  }
}

let world: TransportWorld | undefined
const open: { close(): Promise<unknown> }[] = []

beforeEach(() => {
  heard.length = 0
  steps.length = 0
  act = () => undefined
  whileStopping = async () => {}
})
afterEach(async () => {
  for (const app of open.splice(0)) await app.close()
  await world?.[Symbol.asyncDispose]()
  world = undefined
})

async function started(options = {}): Promise<TransportWorld> {
  world = await TransportWorld.start(options)
  return world
}

test('the transport awaits the stream of an event and reports its failures itself', async () => {
  const { broker } = await started()
  const server = (world as TransportWorld).server()
  expect(server.propagatesEventHandlerErrors).toBe(true)
  act = () => from([1, 2]).pipe(map((step) => steps.push(`step ${step}`)))
  server.on('consumed', (context) => steps.push(`consumed ${context.getPattern()}`))
  await (world as TransportWorld).serve({ controllers: [Stock] }, server)
  await broker.deliver('orders', { id: 'o-1' }, { tag: 'created' })
  await broker.settled()
  expect(steps).toEqual(['step 1', 'step 2', 'consumed orders'])
})

test('handlers are told apart by group and tag, so that two groups of one topic each get every message', async () => {
  const { broker } = await started()
  await (world as TransportWorld).serve({ controllers: [Stock, Billing] })
  for (const tag of ['created', 'cancelled', 'other']) await broker.deliver('orders', { id: tag }, { tag })
  await broker.settled()
  expect(heard.toSorted()).toEqual([
    ['bill', 'cancelled', 'cancelled', 'billing'],
    ['bill', 'created', 'created', 'billing'],
    ['bill', 'other', 'other', 'billing'],
    ['release', 'cancelled'],
    ['reserve', 'created', 'created', 'stock'],
  ])
})

test.each([
  [
    'the same tag',
    { tags: ['paid', 'created'] },
    /Strict\.reserve and Twin\.again both handle tag created of topic orders/,
  ],
  ['all tags', {}, /Twin\.again both handle topic orders in group stock/],
  ['an expression', { sql: 'a = 1' }, /both handle topic orders/],
  ['other settings', { tags: ['paid'], ordered: true }, /share group stock but not the same ordered/],
])('two handlers of one group for %s of one topic fail the boot by name', async (_, options, message) => {
  @Controller()
  class Twin {
    @TandemEvent('orders', { group: 'stock', ...options })
    again(): void {}
  }
  @Controller()
  class Strict {
    @TandemEvent('orders', { group: 'stock', tags: ['created'], ordered: false })
    reserve(): void {}
  }
  const server = new TandemServer({ nameServers: 'a:1', group: 'app' })
  const compiled = await Test.createTestingModule({ controllers: [Strict, Twin] }).compile()
  const app = compiled.createNestMicroservice({ strategy: server, logger: false })
  await expect(app.listen()).rejects.toMatchObject({
    code: 'LISTENER_INVALID',
    message: expect.stringMatching(message),
  })
})

test('an outcome exception passes the exception layer of Nest as it is', async () => {
  const { broker } = await started()
  act = () => {
    throw new RejectMessage('sold out')
  }
  const { server } = await (world as TransportWorld).serve({ controllers: [Stock] })
  const failures: unknown[] = []
  server.on('failed', (context, error) => failures.push([context.getMessageId(), error]))
  const { messageId } = await broker.deliver('orders', { id: 'o-1' }, { tag: 'created' })
  await broker.settled()
  expect(failures).toEqual([[messageId, expect.any(RejectMessage)]])
  expect(broker.sent('%DLQ%stock')).toHaveLength(1)
  expect((world as TransportWorld).logged.filter((line) => line.includes('Internal server error'))).toEqual([])
})

test('a handler with a typed context compiles under our decorators, and keeps its name and parameter types', () => {
  const method = Object.getOwnPropertyDescriptor(Stock.prototype, 'reserve')?.value as { name: string; length: number }
  expect([method.name, method.length]).toEqual(['reserve', 2])
  expect(Reflect.getMetadata('design:paramtypes', Stock.prototype, 'reserve')).toEqual([String, TandemContext])
  // @ts-expect-error it is `tags`, and a wrong name must not choose every message silently
  void TandemEvent('orders', { tag: 'created' })
})

test('the client fits customClass although it narrows its status', async () => {
  @Module({
    imports: [
      ClientsModule.register([
        { name: 'STOCK', customClass: TandemClient, options: { nameServers: '127.0.0.1:1', group: 'shop' } },
      ]),
    ],
  })
  class Shop {}
  const app = await Test.createTestingModule({ imports: [Shop] }).compile()
  const client = app.get<TandemClient>('STOCK')
  const status: ('connected' | 'disconnected')[] = []
  client.status.subscribe((now) => status.push(now))
  expect(client).toBeInstanceOf(TandemClient)
  expect(status).toEqual(['disconnected'])
  await app.close()
})

@Injectable()
class Pool implements OnModuleInit, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
  onModuleInit(): void {
    steps.push('init')
  }
  onModuleDestroy(): void {
    steps.push('destroy')
  }
  async beforeApplicationShutdown(): Promise<void> {
    steps.push('before shutdown')
    await whileStopping()
  }
  onApplicationShutdown(): void {
    steps.push('shutdown')
  }
}

@Controller()
class Slow {
  @TandemEvent('slow', { group: 'slow' })
  async handle(): Promise<void> {
    steps.push('begin')
    await act()
    steps.push('end')
  }
}

@Module({ controllers: [Slow], providers: [Pool] })
class Feature {}

@Module({
  imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' }), Feature],
})
class AppModule {}

const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

async function hybrid(module: object = AppModule) {
  Logger.overrideLogger(false)
  const builder = Test.createTestingModule({ imports: [module as typeof AppModule] }).setLogger(false as never)
  const compiled = await useTestBroker(builder).compile()
  const app = compiled.createNestApplication({ logger: false })
  open.push(app)
  return { app, broker: compiled.get(TestBroker) }
}

test('a hybrid application that starts its microservices first gets no message before its providers are initialised', async () => {
  const { app, broker } = await hybrid()
  connectTandem(app)
  await broker.deliver('slow', 'x')
  await app.startAllMicroservices()
  expect(steps).toEqual([])
  await app.init()
  await broker.settled()
  expect(steps).toEqual(['init', 'begin', 'end'])
})

test('hooks that deferInitialization runs twice start the transport once', async () => {
  const { app, broker } = await hybrid()
  const microservice = connectTandem(app, { deferInitialization: true })
  microservice.useGlobalPipes({ transform: (value: unknown) => value })
  await app.init()
  await app.startAllMicroservices()
  expect(steps).toEqual(['init', 'init'])
  await broker.deliver('slow', 'x')
  await broker.settled()
  expect(steps).toEqual(['init', 'init', 'begin', 'end'])
  expect(microservice.unwrap<unknown[]>()).toHaveLength(1)
})

test('a transport that ends fetches no more from onModuleDestroy on, and running handlers end before pools do', async () => {
  const { app, broker } = await hybrid()
  connectTandem(app)
  await app.init()
  await app.startAllMicroservices()
  let release = (): void => {}
  act = () => new Promise<void>((resolve) => (release = resolve))
  await broker.deliver('slow', '1')
  await until(() => steps.includes('begin'))
  const witness = new PushConsumer({
    nameServers: broker.address,
    group: 'witness',
    startFrom: 'first',
    rebalanceIntervalMs: 20,
  })
  witness.subscribe('slow', '*', (message) => heard.push([message.text()]))
  await witness.start()
  whileStopping = async () => {
    // Who still fetches hears it as well as the witness does.
    await broker.deliver('slow', '2')
    await until(() => heard.some(([text]) => text === '2'))
    await witness.close()
    release()
  }
  await app.close()
  open.splice(0)
  expect(steps).toEqual(['init', 'begin', 'destroy', 'before shutdown', 'end', 'shutdown'])
})

test('a microservice made of the module alone shares its connection and is closed twice without harm', async () => {
  Logger.overrideLogger(false)
  const compiled = await useTestBroker(Test.createTestingModule({ imports: [AppModule] })).compile()
  const app = compiled.createNestMicroservice(tandemStrategy())
  const states: string[] = []
  app.status.subscribe((state) => states.push(state))
  await app.listen()
  await compiled.get(TestBroker).deliver('slow', 'x')
  await compiled.get(TestBroker).settled()
  expect(steps).toEqual(['init', 'begin', 'end'])
  await app.close()
  await app.close()
  expect(states).toEqual(['connecting', 'listening', 'draining', 'closed'])
})

test('a listener and a handler that share a group are refused, because they would split its messages', async () => {
  @MessageListener({ topic: 'other', group: 'slow' })
  class Other {
    onMessage(): void {}
  }
  @Module({ imports: [AppModule], providers: [Other] })
  class Both {}
  const { app } = await hybrid(Both)
  connectTandem(app)
  await expect(app.startAllMicroservices()).rejects.toThrow(/Other\.onMessage and Slow\.handle share group slow/)
})

test('a second transport of one connection is refused, because each would run every handler', async () => {
  const { app } = await hybrid()
  connectTandem(app)
  expect(() => connectTandem(app)).toThrow(expect.objectContaining({ code: 'LISTENER_INVALID' }))
})

test('each named connection has a transport id of its own that instrumentation can show', async () => {
  const named = new TandemServer({ nameServers: 'a:1', group: 'app', name: 'audit' })
  const unnamed = new TandemServer({ nameServers: 'a:1', group: 'app' })
  expect(String(named.transportId)).toBe('Symbol(tandemmq:audit)')
  expect(unnamed.transportId).toBe(TANDEM_TRANSPORT)
  @Controller()
  class Mixed {
    @TandemEvent('a', { connection: 'audit' })
    audit(): void {}
    @TandemRequest('b')
    main(): void {}
    @EventPattern<string>('c', TANDEM_TRANSPORT, { group: 'g' })
    plain(): void {}
  }
  const compiled = await Test.createTestingModule({ controllers: [Mixed] }).compile()
  for (const strategy of [named, unnamed]) await compiled.createNestMicroservice({ strategy, logger: false }).init()
  const patterns = (server: TandemServer) => [...server.getHandlers().keys()].toSorted()
  expect(patterns(named)).toEqual(['["app","a","*"]'])
  expect(patterns(unnamed)).toEqual(['["app","b","*"]', '["g","c","*"]'])
  expect(unnamed.getHandlerByPattern('b')).toBe(unnamed.getHandlerByPattern('["app","b","*"]'))
})

test('a server that cannot listen says so through the callback, and status, unwrap and close work without listening', async () => {
  const server = new TandemServer({ nameServers: '127.0.0.1:1', group: 'app' })
  const states: string[] = []
  server.status.subscribe((state) => states.push(state))
  expect(() => server.unwrap()).toThrow(expect.objectContaining({ code: 'NOT_STARTED' }))
  server.addHandler('bad topic', async () => undefined as never, true, {})
  const error = await new Promise((resolve) => server.listen(resolve))
  expect(error).toMatchObject({ code: 'TOPIC_NAME_INVALID' })
  await server.close()
  await server.close()
  expect(states).toEqual(['connecting', 'failed', 'draining', 'closed'])
})

test('instrumentation runs around each message, and a message counts as consumed only when the handler it runs has ended', async () => {
  const { broker } = await started({ clock: 'virtual' })
  const server = (world as TransportWorld).server()
  server.setOnProcessingStartHook((transportId, context, done) => {
    expect(context).toBeInstanceOf(BaseRpcContext)
    steps.push(`start ${(transportId as symbol).description} ${(context as TandemContext).getPattern()}`)
    return new Promise((resolve, reject) => setImmediate(() => done().then(resolve, reject)))
  })
  server.setOnProcessingEndHook((_, context) => steps.push(`end ${(context as TandemContext).getReconsumeTimes()}`))
  let failures = 1
  act = async () => {
    steps.push('handler')
    if (failures-- > 0) throw new Error('once')
  }
  await (world as TransportWorld).serve({ controllers: [Stock] }, server)
  await broker.deliver('orders', { id: 'o-1' }, { tag: 'created' })
  await broker.settled()
  await broker.advance(10_000)
  await broker.settled()
  const once = ['start tandemmq orders', 'handler']
  expect(steps).toEqual([...once, 'end 0', ...once, 'end 1'])
})

test('a hook that never runs the handler does not make its message count as consumed', async () => {
  const { broker } = await started({ clock: 'virtual' })
  const server = (world as TransportWorld).server()
  server.setOnProcessingStartHook(() => {})
  await (world as TransportWorld).serve({ controllers: [Billing] }, server)
  await broker.deliver('orders', { id: 'o-1' })
  await broker.settled()
  server.setOnProcessingStartHook((_, __, done) => done())
  await broker.advance(10_000)
  await broker.settled()
  expect(heard).toHaveLength(1)
})

test('this suite runs on the Nest its project names', () => {
  // Nest 11 has no handleRequest; the two 11s differ by folder only.
  expect('handleRequest' in Server.prototype).toBe(process.env['TANDEM_NEST'] === undefined)
  expect(Object.getPrototypeOf(TandemServer)).toBe(Server)
})
