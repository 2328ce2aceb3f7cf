import { Inject, Injectable, Logger, Module } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import type { TestingModule, TestingModuleBuilder } from '@nestjs/testing'
import { startTestBroker } from '@tandemmq/testing'
import type { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  InjectProducer,
  InjectTandem,
  OnMessage,
  TandemConnections,
  TandemListeners,
  TandemModule,
  TandemProducer,
  TandemTemplate,
  tandemOptionsToken,
  tandemToken,
} from '../index.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const heard: string[] = []
let main: TestBroker
let audit: TestBroker

@Injectable()
class Sender {
  readonly orders: TandemTemplate
  readonly audit: TandemTemplate
  readonly invoices: TandemProducer

  constructor(
    @Inject(TandemTemplate) orders: TandemTemplate,
    @InjectTandem('audit') audited: TandemTemplate,
    @InjectProducer('invoices', 'audit') invoices: TandemProducer,
  ) {
    this.orders = orders
    this.audit = audited
    this.invoices = invoices
  }
}

@Injectable()
class Listeners {
  @OnMessage({ topic: 'orders', group: 'billing' })
  order(@Payload('id') id: string): void {
    heard.push(`default ${id}`)
  }

  @OnMessage({ topic: 'orders', group: 'billing', connection: 'audit' })
  audited(@Payload('id') id: string): void {
    heard.push(`audit ${id}`)
  }
}

const consumer = { commitIntervalMs: 5, rebalanceIntervalMs: 20 }
const listeners = { startFrom: 'first' as const, consumer }
const open: TestingModule[] = []

beforeAll(async () => {
  main = await startTestBroker()
  audit = await startTestBroker()
})

afterAll(async () => {
  await main?.close()
  await audit?.close()
})

beforeEach(() => {
  heard.length = 0
})

afterEach(async () => {
  for (const app of open.splice(0)) await app.close()
})

const both = () => [
  TandemModule.forRoot({ nameServers: main.address, group: 'app', listeners }),
  TandemModule.forRootAsync({
    name: 'audit',
    inject: ['SETTINGS'],
    useFactory: (settings: { group: string }) => ({ nameServers: audit.address, group: settings.group, listeners }),
    provideInjectionTokensFrom: [{ provide: 'SETTINGS', useValue: { group: 'auditors' } }],
  }),
  TandemModule.forFeature({ producers: [{ name: 'invoices', group: 'invoicing' }], connection: 'audit' }),
]

const builderOf = (imports = both(), providers: unknown[] = [Sender, Listeners]): TestingModuleBuilder =>
  Test.createTestingModule({ imports, providers: providers as [] }).setLogger(silent)

async function begun(builder: TestingModuleBuilder): Promise<TestingModule> {
  const app = await builder.compile()
  try {
    await app.init()
  } catch (error) {
    // Nest 11 repeats what failed the boot.
    await app.close().catch(() => {})
    throw error
  }
  open.push(app)
  Logger.overrideLogger(false)
  return app
}

const boot = (...parts: Parameters<typeof builderOf>): Promise<TestingModule> => begun(builderOf(...parts))

test('each connection sends to its cluster, and listeners hear the one they name, also in groups of the same name', async () => {
  const app = await boot()
  const sender = app.get(Sender)
  expect(app.get(tandemToken('audit'))).toBe(sender.audit)
  expect(app.get(tandemToken())).toBe(sender.orders)
  await sender.orders.send({ topic: 'orders', body: { id: 'o-1' } })
  await sender.audit.send({ topic: 'orders', body: { id: 'a-1' } })
  await Promise.all([main.settled(), audit.settled()])
  expect(heard.toSorted()).toEqual(['audit a-1', 'default o-1'])
  expect(app.get(TandemConnections).names.toSorted()).toEqual(['audit', 'default'])
  expect(app.get(TandemConnections).get('audit').options.group).toBe('auditors')
})

test('a producer of forFeature sends to its connection from a group of its own', async () => {
  const { invoices } = (await boot()).get(Sender)
  await invoices.send({ topic: 'invoices', keys: ['i-1'], body: 'i-1' })
  await invoices.sendAll([{ topic: 'invoices', body: 'i-2' }])
  invoices.sendOneway({ topic: 'invoices', body: 'i-3' })
  await expect.poll(() => audit.sent('invoices').map(({ body }) => body)).toEqual(['i-1', 'i-2', 'i-3'])
  expect(main.sent('invoices')).toEqual([])
  expect([invoices.name, invoices.group]).toEqual(['invoices', 'invoicing'])
  await expect(invoices.sendInTransaction({ topic: 'invoices', body: 'x' })).rejects.toMatchObject({
    code: 'OPTION_INVALID',
  })
})

test('pausing a group on one connection leaves its namesake on the other one alone', async () => {
  const app = await boot()
  const running = app.get(TandemListeners)
  await running.pause('billing', 'audit')
  expect(
    running
      .groups()
      .map(({ connection, isPaused }) => [connection, isPaused])
      .toSorted(),
  ).toEqual([
    ['audit', true],
    ['default', false],
  ])
  await Promise.all([main, audit].map((broker) => broker.deliver('orders', { id: 'p-1' })))
  await main.settled()
  expect(heard).toEqual(['default p-1'])
  await running.resume('billing', 'audit')
  await audit.settled()
  expect(heard).toEqual(['default p-1', 'audit p-1'])
})

test('a connection that is off starts nothing while the others run', async () => {
  const [first, , feature] = both()
  const off = TandemModule.forRoot({ name: 'audit', nameServers: audit.address, group: 'auditors', enabled: false })
  const app = await boot([first, off, feature] as never)
  expect(app.get(TandemListeners).groups()).toMatchObject([{ connection: 'default' }])
  await expect(app.get(Sender).audit.send({ topic: 'orders', body: 'x' })).rejects.toMatchObject({
    code: 'NOT_STARTED',
  })
  await expect(app.get(Sender).invoices.send({ topic: 'orders', body: 'x' })).rejects.toMatchObject({
    code: 'NOT_STARTED',
  })
})

test('a listener of a connection that nobody made fails the boot by name, also where nothing is started', async () => {
  const only = TandemModule.forRoot({ nameServers: main.address, group: 'app', enabled: false })
  const booting = boot([only] as never, [Listeners])
  await expect(booting).rejects.toMatchObject({
    code: 'LISTENER_INVALID',
    message: expect.stringMatching(/Listeners\.audited.*"audit"/),
  })
})

test('two connections of one name fail the boot', async () => {
  const named = () => TandemModule.forRoot({ name: 'audit', nameServers: audit.address, group: 'a', enabled: false })
  await expect(boot([named(), named()] as never, [])).rejects.toMatchObject({ code: 'OPTION_INVALID' })
})

test('a module that is not global gives its template to those who import it only', async () => {
  const hidden = TandemModule.forRoot({
    ...{ name: 'hidden', isGlobal: false },
    ...{ nameServers: main.address, group: 'h', enabled: false },
  })
  @Injectable()
  class User {
    constructor(@InjectTandem('hidden') readonly template: TandemTemplate) {}
  }
  @Module({ imports: [hidden], providers: [User] })
  class Inside {}
  @Module({ providers: [User] })
  class Outside {}
  expect((await boot([Inside] as never, [])).get(User, { strict: false }).template).toBeInstanceOf(TandemTemplate)
  await expect(boot([hidden, Outside] as never, [])).rejects.toThrow('User')
})

test('a test broker stands in for every connection and ends after the last part of the application', async () => {
  const app = await begun(useTestBroker(builderOf()))
  const [first, second] = ['default', 'audit'].map((name) => app.get(TandemConnections).get(name).options.nameServers)
  expect(second).toBe(first)
  expect([main.address, audit.address]).not.toContain(first)
  expect(app.get(tandemOptionsToken('audit'))).toMatchObject({ nameServers: audit.address })
  await app.get(Sender).invoices.send({ topic: 'invoices', body: 'late' })
})
