import { Controller, Injectable, Logger, Module } from '@nestjs/common'
import type { INestApplicationContext, INestMicroservice, OnApplicationBootstrap, Type } from '@nestjs/common'
import type { BeforeApplicationShutdown, OnApplicationShutdown, OnModuleDestroy, OnModuleInit } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { PushConsumer } from '@tandemmq/client'
import { startTestBroker } from '@tandemmq/testing'
import type { TestBroker } from '@tandemmq/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connectTandem, OnMessage, TandemEvent, TandemListeners, TandemModule, TandemServer } from './index.ts'
import { tandemStrategy } from './index.ts'

// Each way to run and to end an application, because Nest calls hooks and closes transports in another order for each.

const steps: string[] = []
let isPoolOpen = false
const gates = new Map<string, () => void>()

/** What an application's database module is: usable until `onApplicationShutdown`. */
@Injectable()
class Pool
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  onModuleInit(): void {
    isPoolOpen = true
    steps.push('init')
  }
  onApplicationBootstrap(): void {
    steps.push('bootstrap')
  }
  onModuleDestroy(): void {
    steps.push('destroy')
  }
  beforeApplicationShutdown(): void {
    steps.push('before shutdown')
  }
  onApplicationShutdown(): void {
    isPoolOpen = false
    steps.push('pool ends')
  }
}

async function held(who: string, text: string): Promise<void> {
  steps.push(`${who} begins ${text}`)
  await new Promise<void>((resolve) => gates.set(who, resolve))
  steps.push(`${who} ends ${text}, the pool is ${isPoolOpen ? 'open' : 'gone'}`)
}

@Controller()
class Handlers {
  @TandemEvent('handled', { group: 'handlers' })
  handle(text: string): Promise<void> {
    return held('handler', text)
  }
}

@Injectable()
class Listeners {
  @OnMessage({ topic: 'listened', group: 'listeners' })
  hear(text: string): Promise<void> {
    return held('listener', text)
  }
}

@Module({ controllers: [Handlers], providers: [Listeners, Pool] })
class Feature {}

interface Running {
  app: INestApplicationContext
  transport: INestMicroservice
}

let broker: TestBroker
let witness: PushConsumer
const witnessed: string[] = []

beforeEach(async () => {
  Logger.overrideLogger(false)
  steps.length = 0
  witnessed.length = 0
  gates.clear()
  broker = await startTestBroker()
  witness = new PushConsumer({
    nameServers: broker.address,
    group: 'witness',
    startFrom: 'first',
    rebalanceIntervalMs: 20,
  })
  for (const topic of ['handled', 'listened']) {
    await broker.deliver(topic, 'first')
    witness.subscribe(topic, '*', (message) => void witnessed.push(`${topic} ${message.text()}`))
  }
  await witness.start()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await witness.close()
  await broker.close()
})

const listeners = () => ({
  startFrom: 'first' as const,
  consumer: { commitIntervalMs: 5, rebalanceIntervalMs: 20 },
})

function compile(imports: unknown[]): Promise<TestingModule> {
  return Test.createTestingModule({ imports: imports as Type[] })
    .setLogger(false as never)
    .compile()
}

const application = (drainTimeoutMs = 25_000): Promise<TestingModule> => {
  const settings = { ...listeners(), drainTimeoutMs }
  return compile([TandemModule.forRoot({ nameServers: broker.address, group: 'app', listeners: settings }), Feature])
}

async function standalone(): Promise<Running> {
  const app = (await application()).createNestMicroservice(tandemStrategy())
  await app.listen()
  return { app, transport: app }
}

/** Without TandemModule: Nest alone closes the transport. */
async function bare(): Promise<Running> {
  @Module({ controllers: [Handlers], providers: [Pool] })
  class Alone {}
  const strategy = new TandemServer({ nameServers: broker.address, group: 'app', listeners: listeners() })
  const app = (await compile([Alone])).createNestMicroservice({ strategy, logger: false })
  await app.listen()
  return { app, transport: app }
}

async function hybrid(
  deferInitialization: boolean,
  transportFirst: boolean,
  drainTimeoutMs?: number,
): Promise<Running> {
  const app = (await application(drainTimeoutMs)).createNestApplication({ logger: false })
  const transport = connectTandem(app, { deferInitialization })
  if (!transportFirst) await app.init()
  await app.startAllMicroservices()
  await app.init()
  return { app, transport }
}

const close = ({ app }: Running): Promise<void> => app.close()

/** What the process does on the signal, without ending the process of the tests. */
async function signal({ app }: Running): Promise<void> {
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true)
  const before = process.listeners('SIGTERM')
  app.enableShutdownHooks(['SIGTERM'])
  const [onSignal] = process.listeners('SIGTERM').filter((listener) => !before.includes(listener))
  onSignal?.('SIGTERM')
  await expect.poll(() => kill.mock.calls, { timeout: 20_000 }).toEqual([[process.pid, 'SIGTERM']])
}

const once = ['init', 'bootstrap']
const isWork = (step: string): boolean => / (begins|ends) /.test(step)

test.each([
  ['standalone, closed', standalone, close, once],
  ['standalone, SIGTERM', standalone, signal, once],
  ['hybrid whose microservices start first, closed', () => hybrid(false, true), close, once],
  ['hybrid, closed', () => hybrid(false, false), close, once],
  ['hybrid, SIGTERM', () => hybrid(false, false), signal, once],
  ['deferInitialization, closed', () => hybrid(true, false), close, [...once, ...once]],
  ['deferInitialization, SIGTERM', () => hybrid(true, false), signal, [...once, ...once]],
  ['a strategy alone, closed', bare, close, once],
  ['a strategy alone, SIGTERM', bare, signal, once],
])(
  '%s: nothing new is begun, and what is under way still has its pool until it ended',
  async (name, boot, end, boots) => {
    const running = await boot()
    const isAlone = name.startsWith('a strategy alone')
    const who = isAlone ? ['handler'] : ['handler', 'listener']
    await expect.poll(() => who.every((one) => steps.includes(`${one} begins first`)), { timeout: 20_000 }).toBe(true)

    expect(steps.filter((step) => !isWork(step))).toEqual(boots)
    let isDraining = false
    running.transport.status.subscribe((status) => (isDraining ||= status === 'draining'))
    const ending = end(running)
    await expect.poll(() => isDraining).toBe(true)
    await lateMessage('handled')
    gates.get('handler')?.()
    if (!isAlone) {
      await expect.poll(() => running.app.get(TandemListeners, { strict: false }).isEnding).toBe(true)
      await lateMessage('listened')
      gates.get('listener')?.()
    }
    await ending

    expect(steps.filter(isWork).toSorted()).toEqual(
      who.flatMap((one) => [`${one} begins first`, `${one} ends first, the pool is open`]),
    )
    expect(steps.filter((step) => !isWork(step))).toEqual([...boots, 'destroy', 'before shutdown', 'pool ends'])
    expect(steps.at(-1)).toBe('pool ends')
  },
)

test('handlers that do not end hold the application for drainTimeoutMs and no longer, and their messages come again', async () => {
  const begun = (): string[] => steps.filter((step) => / begins /.test(step)).toSorted()
  const { app } = await hybrid(false, false, 50)
  await expect.poll(begun, { timeout: 20_000 }).toEqual(['handler begins first', 'listener begins first'])
  // Would be the limit of the test otherwise.
  await app.close()
  expect(steps.at(-1)).toBe('pool ends')
  const again = await hybrid(false, false, 50)
  await expect.poll(begun, { timeout: 20_000 }).toHaveLength(4)
  await again.app.close()
})

/** Whoever still fetches begins it at the latest when the witness has heard it. */
async function lateMessage(topic: string): Promise<void> {
  await broker.deliver(topic, 'late')
  await expect.poll(() => witnessed, { timeout: 10_000 }).toContain(`${topic} late`)
}
