import { Injectable, Logger, Module } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { OnMessage, TandemListeners, TandemModule } from './index.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const heard: string[] = []
const witnessed: string[] = []
let began = 0
let hold: Promise<void> | undefined

@Injectable()
class Screens {
  @OnMessage({ topic: 'orders', group: 'billing' })
  async bill(text: string): Promise<void> {
    began++
    await hold
    heard.push(`billing ${text}`)
  }

  @OnMessage({ topic: 'orders', group: 'witness', ordered: true })
  witness(text: string): void {
    witnessed.push(text)
  }

  @OnMessage({ topic: 'prices', group: 'screens', mode: 'broadcasting', startFrom: 'last' })
  show(text: string): void {
    heard.push(`screens ${text}`)
  }
}

@Module({ imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })], providers: [Screens] })
class AppModule {}

let app: TestingModule
let broker: TestBroker
let listeners: TandemListeners

beforeEach(async () => {
  heard.length = 0
  witnessed.length = 0
  hold = undefined
  began = 0
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(silent)
  app = await useTestBroker(builder).compile()
  broker = app.get(TestBroker)
  // Where a broadcasting group begins is the end of what is there.
  await broker.deliver('prices', 'before')
  await app.init()
  Logger.overrideLogger(false)
  listeners = app.get(TandemListeners)
})

afterEach(() => app?.close())

test('a paused group gets nothing, waits for what runs, and goes on where it was', async () => {
  let release: () => void = () => {}
  hold = new Promise((resolve) => (release = resolve))
  await broker.deliver('orders', 'running')
  await expect.poll(() => began).toBe(1)
  let isPaused = false
  const pausing = listeners.pause('billing').then(() => (isPaused = true))
  // More happens meanwhile than leaving a group takes.
  await broker.deliver('prices', '1')
  await expect.poll(() => heard).toEqual(['screens 1'])
  expect(isPaused).toBe(false)
  heard.length = 0
  release()
  await pausing
  expect(heard).toEqual(['billing running'])
  // Whoever still listened would have heard the first one when another group has heard the second.
  await broker.deliver('orders', 'while paused')
  await broker.deliver('orders', 'behind it')
  await expect.poll(() => witnessed).toHaveLength(3)
  expect(heard).toEqual(['billing running'])
  expect(listeners.groups()).toContainEqual({
    ...{ connection: 'default', group: 'billing' },
    ...{ topics: ['orders'], mode: 'clustering', isPaused: true },
  })
  await listeners.pause('billing')
  await listeners.resume('billing')
  await broker.settled()
  expect(heard.toSorted()).toEqual(['billing behind it', 'billing running', 'billing while paused'])
})

test('a broadcasting group misses nothing of what was sent while it was paused, and repeats nothing', async () => {
  await broker.deliver('prices', '1')
  await expect.poll(() => heard).toEqual(['screens 1'])
  await listeners.pause('screens')
  await broker.deliver('prices', '2')
  await listeners.resume('screens')
  await broker.deliver('prices', '3')
  await expect.poll(() => heard.toSorted()).toEqual(['screens 1', 'screens 2', 'screens 3'])
})

test('a listener added at run time hears a topic of its own, or joins a group that runs', async () => {
  const add = (topic: string, group: string) =>
    listeners.add({ topic, group, startFrom: 'first' }, async (payload, context) => {
      heard.push(`${context.getGroup()} ${String(payload)}`)
    })
  await broker.deliver('returns', 'r-1')
  await add('returns', 'stock')
  await listeners.add({ topic: 'refunds', group: 'billing' }, async (payload) => void heard.push(`refund ${payload}`))
  await broker.deliver('refunds', 'f-1')
  await broker.deliver('orders', 'o-1')
  await broker.settled()
  expect(heard.toSorted()).toEqual(['billing o-1', 'refund f-1', 'stock r-1'])
})

test('an added listener that contradicts the others is refused and changes nothing', async () => {
  const nothing = async (): Promise<void> => {}
  await expect(listeners.add({ topic: 'orders', group: 'billing', tags: ['a'] }, nothing)).rejects.toMatchObject({
    code: 'LISTENER_INVALID',
  })
  await expect(listeners.add({ topic: 'a', group: 'x', connection: 'nowhere' }, nothing)).rejects.toMatchObject({
    code: 'OPTION_INVALID',
  })
  await broker.deliver('orders', 'o-1')
  await broker.settled()
  expect(heard).toEqual(['billing o-1'])
})

test('a removed listener hears nothing more, the rest of its group goes on', async () => {
  await listeners.add({ topic: 'refunds', group: 'billing' }, async (payload) => void heard.push(`refund ${payload}`))
  await listeners.remove('billing', 'orders')
  await broker.deliver('orders', 'o-1')
  await broker.deliver('refunds', 'f-1')
  await broker.settled()
  expect(heard).toEqual(['refund f-1'])
  await listeners.remove('billing')
  expect(listeners.groups().map(({ group }) => group)).not.toContain('billing')
  await expect(listeners.remove('billing')).rejects.toMatchObject({ code: 'LISTENER_INVALID' })
  expect(() => listeners.pause('billing')).toThrow(expect.objectContaining({ code: 'LISTENER_INVALID' }))
})

test('nothing is added to an application that ends, and a paused one ends as well', async () => {
  await listeners.pause('billing')
  await app.close()
  const adding = listeners.add({ topic: 'late', group: 'late' }, async () => {})
  await expect(adding).rejects.toMatchObject({ code: 'NOT_STARTED' })
})
