import { Injectable, Logger, Module } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { OnMessage, TandemModule, TandemTemplate, tandemToken } from '@tandemmq/nestjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { testBrokerToken, useTestBroker } from './nest.ts'
import { startTestBroker, TestBroker } from './test-broker.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const heard: string[] = []

@Injectable()
class Listener {
  @OnMessage({ topic: 'orders', group: 'billing' })
  order(text: string): void {
    heard.push(`order ${text}`)
  }

  @OnMessage({ topic: 'entries', group: 'audit', connection: 'audit' })
  entry(text: string): void {
    heard.push(`entry ${text}`)
  }
}

@Module({
  imports: [
    TandemModule.forRoot({ nameServers: 'production:9876', group: 'shop' }),
    TandemModule.forRoot({ nameServers: 'archive:9876', group: 'shop', name: 'audit' }),
  ],
  providers: [Listener],
})
class AppModule {}

const builder = () => Test.createTestingModule({ imports: [AppModule] })
let app: TestingModule | undefined

beforeEach(() => {
  Logger.overrideLogger(false)
  heard.length = 0
})
afterEach(async () => {
  await app?.close()
  app = undefined
})

test('without a name every connection uses the one broker', async () => {
  app = await useTestBroker(builder()).compile()
  await app.init()
  const broker = app.get(TestBroker)
  await app.get(TandemTemplate).send({ topic: 'orders', body: 'o-1' })
  await app.get<TandemTemplate>(tandemToken('audit')).send({ topic: 'entries', body: 'e-1' })
  await broker.settled()
  expect(heard.toSorted()).toEqual(['entry e-1', 'order o-1'])
  expect(broker.sent('entries')).toHaveLength(1)
})

test('a connection that is named has a broker of its own', async () => {
  app = await useTestBroker(useTestBroker(builder()), 'audit').compile()
  await app.init()
  const [broker, audit] = [app.get(TestBroker), app.get<TestBroker>(testBrokerToken('audit'))]
  await app.get<TandemTemplate>(tandemToken('audit')).send({ topic: 'entries', body: 'e-1' })
  await broker.deliver('entries', 'nobody listens to this one')
  await broker.deliver('orders', 'o-1')
  await broker.settled()
  await audit.settled()
  expect(heard.toSorted()).toEqual(['entry e-1', 'order o-1'])
  expect(audit.sent('entries')).toHaveLength(1)
  expect(audit.sent('orders')).toEqual([])
})

test('a name that no connection has fails compile instead of leaving the real broker in use', async () => {
  await expect(useTestBroker(useTestBroker(builder()), 'adit').compile()).rejects.toMatchObject({
    code: 'OPTION_INVALID',
  })
})

test('under the virtual clock a delayed message and a retry come when the test says so', async () => {
  let attempts = 0
  @Injectable()
  class Fails {
    @OnMessage({ topic: 'reminders', group: 'mail', attemptsMax: 3 })
    remind(): void {
      attempts++
      if (attempts === 1) throw new Error('not yet')
    }
  }
  const tested = Test.createTestingModule({
    imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'shop' })],
    providers: [Fails],
  }).setLogger(silent)
  app = await useTestBroker(tested, { clock: 'virtual' }).compile()
  await app.init()
  const broker = app.get(TestBroker)
  await app.get(TandemTemplate).send({ topic: 'reminders', body: 'pay', delayMs: 3_600_000 })
  await broker.settled()
  await broker.advance(3_599_000)
  await broker.settled()
  expect(attempts).toBe(0)
  await broker.advance(2_000)
  await expect.poll(() => attempts).toBe(1)
  await broker.settled()
  await expect
    .poll(async () => {
      await broker.advance(60_000)
      return attempts
    })
    .toBe(2)
  await broker.settled()
})

test('a broker that was given stays open when the application ends', async () => {
  await using broker = await startTestBroker()
  app = await useTestBroker(builder(), { broker }).compile()
  await app.init()
  await app.close()
  app = undefined
  await broker.deliver('orders', 'still there')
  expect(broker.sent('orders')).toHaveLength(1)
})
