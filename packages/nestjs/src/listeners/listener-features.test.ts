import { Injectable, Logger, Module } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { defineTopic, OnMessage, TandemModule, TandemTemplate } from '../index.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const heard: string[] = []
let running = 0
let runningMax = 0
let narrowCalls = 0

const created = defineTopic<{ id: string; amount: number }>('events')
const cancelled = defineTopic<{ id: string; reason: string }>('events')

@Injectable()
class Listeners {
  @OnMessage({ topic: created, group: 'ledger', tags: ['created', 'changed'] })
  book({ id, amount }: { id: string; amount: number }): void {
    heard.push(`book ${id} ${amount}`)
  }

  @OnMessage({ topic: cancelled, group: 'ledger', tags: ['cancelled'] })
  strike({ id, reason }: { id: string; reason: string }): void {
    heard.push(`strike ${id} ${reason}`)
  }

  @OnMessage({ topic: 'orders', group: 'europe', sql: "region = 'eu'" })
  europe(@Payload('id') id: string): void {
    heard.push(`europe ${id}`)
  }

  @OnMessage({ topic: 'orders', group: 'leasing', mode: 'lease', tags: ['leased'] })
  lease(@Payload('id') id: string): void {
    heard.push(`leasing ${id}`)
  }

  @OnMessage({ topic: 'steps', group: 'ordering', ordered: true })
  async step(@Payload('id') id: string): Promise<void> {
    // The first one takes longest: only order makes the others wait.
    if (id.endsWith('0')) await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    heard.push(id)
  }

  @OnMessage({ topic: 'slow', group: 'narrow', concurrencyMax: 2 })
  async narrow(): Promise<void> {
    running++
    runningMax = Math.max(runningMax, running)
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    running--
    narrowCalls++
  }

  @OnMessage({ topic: 'prices', group: 'screens', mode: 'broadcasting' })
  price(text: string): void {
    heard.push(`price ${text}`)
  }
}

@Module({ imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })], providers: [Listeners] })
class AppModule {}

let app: TestingModule
let broker: TestBroker
let tandem: TandemTemplate

async function boot(over: { broker?: TestBroker } = {}): Promise<TestingModule> {
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(silent)
  const module = await useTestBroker(builder, { clock: 'virtual', enablePropertyFilter: true, ...over }).compile()
  await module.init()
  Logger.overrideLogger(false)
  return module
}

beforeAll(async () => {
  app = await boot()
  broker = app.get(TestBroker)
  tandem = app.get(TandemTemplate)
})

afterAll(() => app?.close())

beforeEach(() => {
  heard.length = 0
})

test('a listener with sql hears what its filter lets through', async () => {
  await tandem.send({ topic: 'orders', properties: { region: 'eu' }, body: { id: 'o-1' } })
  await tandem.send({ topic: 'orders', properties: { region: 'us' }, body: { id: 'o-2' } })
  await tandem.send({ topic: 'orders', properties: { region: 'eu' }, body: { id: 'o-3' } })
  await expect.poll(() => heard.toSorted()).toEqual(['europe o-1', 'europe o-3'])
})

test('a listener in lease mode hears the messages of its tags once', async () => {
  await tandem.send({ topic: 'orders', tag: 'leased', body: { id: 'o-3' } })
  await tandem.send({ topic: 'orders', tag: 'other', body: { id: 'o-4' } })
  await expect.poll(() => heard).toEqual(['leasing o-3'])
})

test('listeners of one group share a topic by tag, each with a payload of its own type', async () => {
  await tandem.send(created, { id: 'o-1', amount: 5 }, { tag: 'created' })
  await tandem.send(cancelled, { id: 'o-1', reason: 'late' }, { tag: 'cancelled' })
  await tandem.send(created, { id: 'o-1', amount: 6 }, { tag: 'changed' })
  await tandem.send(created, { id: 'o-1', amount: 7 }, { tag: 'other' })
  await expect
    .poll(() => heard.toSorted(), { timeout: 10_000 })
    .toEqual(['book o-1 5', 'book o-1 6', 'strike o-1 late'])
})

test('an ordered listener hears the messages of each key in the order they were sent', async () => {
  const ids = Array.from({ length: 12 }, (_, n) => `step ${n % 2} ${Math.floor(n / 2)}`)
  for (const id of ids) await tandem.send({ topic: 'steps', orderBy: id.slice(0, 6), body: { id } })
  await expect.poll(() => heard).toHaveLength(12)
  for (const key of ['step 0', 'step 1']) {
    expect(heard.filter((id) => id.startsWith(key))).toEqual(ids.filter((id) => id.startsWith(key)))
  }
})

test('no more calls of a listener run at a time than its concurrencyMax', async () => {
  await tandem.sendAll(Array.from({ length: 20 }, () => ({ topic: 'slow', body: 'x' })))
  await expect.poll(() => narrowCalls).toBe(20)
  expect(runningMax).toBe(2)
})

test('every process hears what a broadcasting listener is for', async () => {
  const second = await boot({ broker })
  await tandem.send({ topic: 'prices', body: 'up' })
  await expect.poll(() => heard).toEqual(['price up', 'price up'])
  await second.close()
})

test('the template sends later, one-way, many at once, and takes a delayed message back', async () => {
  const later = await tandem.send({ topic: 'orders', tag: 'leased', delayMs: 30_000, body: { id: 'later' } })
  const never = await tandem.send({ topic: 'orders', tag: 'leased', delayMs: 30_000, body: { id: 'never' } })
  expect(later.messageId).not.toBe(never.messageId)
  tandem.sendOneway({ topic: 'orders', tag: 'leased', body: { id: 'one-way' } })
  await tandem.sendAll(['a', 'b'].map((id) => ({ topic: 'orders', tag: 'leased', body: { id } })))
  await expect.poll(() => heard.toSorted()).toEqual(['leasing a', 'leasing b', 'leasing one-way'])
  expect(await tandem.cancel(never)).toBe('cancelled')
  await broker.advance(30_000)
  await expect.poll(() => heard).toContain('leasing later')
  await broker.advance(30_000)
  expect(heard).not.toContain('leasing never')
})
