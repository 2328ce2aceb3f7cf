import { Injectable, Logger, Module } from '@nestjs/common'
import type { BeforeApplicationShutdown, OnApplicationShutdown, OnModuleDestroy } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { beforeEach, expect, test } from 'vitest'
import { TandemConnection } from '../connection/tandem-connection.ts'
import type { TandemModuleOptions } from '../module-options.ts'
import { TandemModule } from '../tandem-module.ts'
import { TANDEM_OPTIONS } from '../tokens.ts'
import { MessageListener, OnMessage } from './decorators.ts'
import type { ConsumerSettings } from './listener-plan.ts'
import { TandemListeners } from './tandem-listeners.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const events: string[] = []
let drained: () => void = () => {}
let startError: Error | undefined

/** Stands in for the client: its `close` ends only when the running handlers have. */
class FakeConnection {
  readonly name = 'default'
  readonly options: TandemModuleOptions = { nameServers: 'a:1', group: 'app' }
  enabled = true

  consumer(group: string, settings: ConsumerSettings) {
    return {
      subscribe: (topic: string, selector: unknown) => {
        events.push(`subscribe ${group} ${topic} ${JSON.stringify(selector)} ${JSON.stringify(settings)}`)
      },
      start: async () => {
        events.push(`start ${group}`)
        if (startError !== undefined) throw startError
      },
      close: async () => {
        events.push(`stop fetching ${group}`)
        await new Promise<void>((resolve) => (drained = resolve))
        events.push(`drained ${group}`)
      },
    }
  }
}

@MessageListener({ topic: 'orders', group: 'billing', tags: ['created'], ordered: true })
class Billing {
  onMessage(): void {}
}

@Injectable()
class Stock {
  @OnMessage((get) => ({ topic: get<{ topic: string }>('CONFIG').topic, group: 'billing' }))
  late(): void {}
}

@Injectable()
class Pool implements OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
  onModuleDestroy(): void {
    events.push('pool sees destroy')
  }

  beforeApplicationShutdown(): void {
    events.push('pool sees before shutdown')
  }

  onApplicationShutdown(): void {
    events.push('pool ends')
  }
}

@Module({ providers: [Billing, Stock, Pool, { provide: 'CONFIG', useValue: { topic: 'payments' } }] })
class Feature {}

const boot = (connection = new FakeConnection()) =>
  Test.createTestingModule({ imports: [TandemModule.forRoot({ nameServers: 'a:1', group: 'app' }), Feature] })
    .setLogger(silent)
    .overrideProvider(TandemConnection)
    .useValue(connection)
    .compile()

beforeEach(() => {
  Logger.overrideLogger(false)
  events.length = 0
  startError = undefined
})

test('the listeners of a group start on one consumer with all its subscriptions', async () => {
  const app = await boot()
  await app.init()
  const settings = '{"drainTimeoutMs":25000,"ordered":true}'
  expect(events).toEqual([
    `subscribe billing orders {"tags":["created"]} ${settings}`,
    `subscribe billing payments "*" ${settings}`,
    'start billing',
  ])
})

test('bootstrap hooks that run twice start the listeners once', async () => {
  const app = await boot()
  await app.init()
  await app.get(TandemListeners).onApplicationBootstrap()
  await app.get(TandemListeners).start()
  expect(events.filter((event) => event === 'start billing')).toHaveLength(1)
})

test('fetching stops before anything is torn down, pools outlive the running handlers', async () => {
  const app = await boot()
  await app.init()
  events.length = 0
  const closing = app.close()
  while (!events.includes('pool sees before shutdown')) await new Promise((resolve) => setImmediate(resolve))
  expect(events).not.toContain('pool ends')
  drained()
  await closing
  expect(events.indexOf('stop fetching billing')).toBeLessThan(events.indexOf('pool sees before shutdown'))
  expect(events.slice(-2)).toEqual(['drained billing', 'pool ends'])
})

test('an application that is closed twice stops its listeners once', async () => {
  const app = await boot()
  await app.init()
  const listeners = app.get(TandemListeners)
  listeners.onModuleDestroy()
  const closing = app.close()
  while (!events.includes('pool sees before shutdown')) await new Promise((resolve) => setImmediate(resolve))
  drained()
  await closing
  expect(events.filter((event) => event === 'stop fetching billing')).toHaveLength(1)
})

test('a consumer that cannot start fails the boot and is closed again', async () => {
  startError = new Error('no route')
  const app = await boot()
  const booting = app.init()
  const outcome = expect(booting).rejects.toThrow('no route')
  while (!events.includes('stop fetching billing')) await new Promise((resolve) => setImmediate(resolve))
  drained()
  await outcome
  await app.close().catch(() => {})
})

test('listeners that contradict each other fail the boot even where nothing is started', async () => {
  @MessageListener({ topic: 'orders', group: 'billing', tags: ['paid', 'created'] })
  class Contradiction {
    onMessage(): void {}
  }
  const module = await Test.createTestingModule({
    imports: [TandemModule.forRoot({ nameServers: 'a:1', group: 'app', enabled: false }), Feature],
    providers: [Contradiction],
  })
    .setLogger(silent)
    .compile()
  await expect(module.init()).rejects.toMatchObject({ code: 'LISTENER_INVALID' })
})

test('a class listener without onMessage fails the boot by name', async () => {
  @MessageListener({ topic: 'orders', group: 'g' })
  class Forgetful {}
  const module = await Test.createTestingModule({
    imports: [TandemModule.forRoot({ nameServers: 'a:1', group: 'app', enabled: false })],
    providers: [Forgetful],
  })
    .setLogger(silent)
    .compile()
  await expect(module.init()).rejects.toThrow('Forgetful')
})

test('nothing is started when the module is off, or when starting is left to the application', async () => {
  const off = new FakeConnection()
  off.enabled = false
  await (await boot(off)).init()
  const later = new FakeConnection()
  later.options.listeners = { autoStart: false }
  const app = await boot(later)
  await app.init()
  expect(events).toEqual([])
  await app.get(TandemListeners).start()
  expect(events).toContain('start billing')
})

test('options come from the container with forRootAsync', async () => {
  const module = await Test.createTestingModule({
    imports: [
      TandemModule.forRootAsync({
        inject: ['SETTINGS'],
        useFactory: (settings: { group: string }) => ({ nameServers: 'a:1', group: settings.group, enabled: false }),
        provideInjectionTokensFrom: [{ provide: 'SETTINGS', useValue: { group: 'from the container' } }],
      }),
    ],
  }).compile()
  expect(module.get(TANDEM_OPTIONS)).toMatchObject({ group: 'from the container' })
})

test.each([
  ['nameServers', { group: 'app' }],
  ['group', { nameServers: 'a:1' }],
])('a module without %s fails the boot with OPTION_INVALID', async (_, options) => {
  const building = Test.createTestingModule({ imports: [TandemModule.forRoot(options as TandemModuleOptions)] })
    .setLogger(silent)
    .compile()
  await expect(building).rejects.toMatchObject({ code: 'OPTION_INVALID' })
})
