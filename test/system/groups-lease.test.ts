import { PushConsumer } from '@tandemmq/client'
import { expect, test } from 'vitest'
import { GroupWorld } from '../kit/group-world.ts'
import { elapse, until } from '../kit/waiting.ts'

const leasing = { group: 'billing', mode: 'lease', startFrom: 'first', subscriptions: { orders: '*' } } as const

test('100 consumers on 4 queues share the work: each gets some of it, and every message is handled once', async () => {
  await using world = await GroupWorld.start()
  await world.admin.createTopic('orders', { queues: 4 })
  const small = { ...leasing, concurrencyMax: 1, totalMessagesMax: 2, pullBatchMax: 2, invisibleMs: 120_000 }
  const programs = ['x', 'y', 'z']
  for (const name of programs) await world.member(name, { ...small, handlerMs: 5 })
  const handledBy = new Map<string, string[]>()
  const consumers = Array.from({ length: 97 }, (_, n) => {
    const { subscriptions, ...options } = small
    const consumer = new PushConsumer({ ...options, nameServers: world.address, clientId: `member-${n}` })
    const handled: string[] = []
    handledBy.set(consumer.clientId, handled)
    for (const topic of Object.keys(subscriptions)) {
      consumer.subscribe(topic, '*', async (message) => {
        await elapse(5)
        handled.push(message.text())
      })
    }
    return consumer
  })
  try {
    for (const consumer of consumers) await consumer.start()
    const count = 5_000
    await world.send('orders', count)
    const all = (): string[] => [...[...handledBy.values()].flat(), ...world.handled().map(({ id }) => id)]
    await until(
      () => all().length >= count,
      60_000,
      () => {
        const cached = consumers.filter((one) => one.stats().cachedMessages > 0)
        return `${all().length} handled, ${cached.length} consumers hold ${cached.map((one) => one.stats().cachedMessages).join(' ')}`
      },
    )
    expect(new Set(all()).size).toBe(count)
    expect(all().length).toBe(count)
    expect([...handledBy].filter(([, handled]) => handled.length === 0).map(([name]) => name)).toEqual([])
    expect(new Set(world.handled().map(({ proc }) => proc)).size).toBe(programs.length)
    const most = Math.max(...[...handledBy.values()].map((handled) => handled.length))
    expect(most).toBeLessThan((count / 100) * 5)
  } finally {
    await Promise.all(consumers.map((consumer) => consumer.close()))
  }
  // All is acknowledged.
  await until(
    async () => (await world.admin.progress('billing')).every((one) => one.committedOffset === one.maxOffset),
    10_000,
  )
}, 120_000)

test('leases survive kill -9 of the broker: what a handler holds goes to nobody else, and its late acknowledgement counts', async () => {
  await using world = await GroupWorld.start({ flush: 'sync' })
  await world.admin.createTopic('orders', { queues: 2 })
  await world.member('holder', { ...leasing, handlerMs: 4_000, concurrencyMax: 10, invisibleMs: 20_000 })
  await world.send('orders', 10)
  await until(() => world.handled('begin').length === 10, 20_000)
  await world.killBroker()
  await world.startBroker()
  await world.member('other', { ...leasing, invisibleMs: 20_000 })
  await until(() => world.handled().length === 10, 30_000)
  // A message sent now reaches the idle member; those held did not.
  await world.send('orders', 1, 'after-')
  await until(() => world.handled().some(({ id }) => id === 'after-0'), 20_000)
  await until(async () => {
    const progress = await world.admin.progress('billing')
    return progress.filter(({ topic }) => topic === 'orders').every((one) => one.committedOffset === one.maxOffset)
  }, 20_000)
  const held = world.handled('begin').filter(({ id }) => id !== 'after-0')
  expect(held.map(({ proc, attempt }) => `${proc} ${attempt}`)).toEqual(Array.from({ length: 10 }, () => 'holder 1'))
}, 90_000)

test('F22: a consumer stopped beyond its invisible time loses its messages to another, and its late acknowledgement settles nothing', async () => {
  await using world = await GroupWorld.start()
  await world.admin.createTopic('orders', { queues: 1 })
  const stopped = await world.member('stopped', { ...leasing, handlerMs: 1_500, invisibleMs: 2_000 })
  await world.send('orders', 1)
  await until(() => world.handled('begin').length === 1, 20_000)
  stopped.signal('SIGSTOP')
  const second = await world.member('second', { ...leasing, handlerMs: 60_000, invisibleMs: 3_000 })
  await until(() => world.handled('begin').length === 2, 20_000)
  stopped.signal('SIGCONT')
  // Its handlers end and it acknowledges what is not its own any more.
  await until(() => world.handled().some(({ proc }) => proc === 'stopped'), 20_000)
  await stopped.stop('SIGTERM')
  await second.stop('SIGKILL')
  await world.member('third', { ...leasing })
  await until(() => world.handled().some(({ proc }) => proc === 'third'), 20_000)
  // A pop of the stopped one was waiting at the broker: it may have been given the message once more.
  const others = world.handled('begin').filter(({ proc }) => proc !== 'stopped')
  expect(others.map(({ proc }) => proc)).toEqual(['second', 'third'])
  expect(others[1]?.attempt).toBeGreaterThan(others[0]?.attempt ?? 0)
  expect(others[0]?.attempt).toBeGreaterThan(1)
}, 90_000)

test('F24: what a consumer held that was killed in its handlers goes to others when its leases end, nothing else does', async () => {
  await using world = await GroupWorld.start()
  await world.admin.createTopic('orders', { queues: 4 })
  const invisibleMs = 2_000
  const killed = await world.member('killed', { ...leasing, handlerMs: 60_000, invisibleMs, concurrencyMax: 8 })
  await world.send('orders', 8)
  await until(() => world.handled('begin').length === 8, 20_000)
  await world.member('other', { ...leasing, invisibleMs })
  await killed.stop('SIGKILL')
  const killedAt = Date.now()
  await world.send('orders', 50, 'new-')
  await until(() => world.distinct === 58, 30_000)
  const again = world.handled('begin').filter(({ proc, id }) => proc === 'other' && !id.startsWith('new-'))
  expect(again.map(({ id }) => id).toSorted()).toEqual(Array.from({ length: 8 }, (_, n) => `${n}`))
  expect(new Set(again.map(({ attempt }) => attempt))).toEqual(new Set([2]))
  expect(world.handled('begin').filter(({ id }) => id.startsWith('new-'))).toHaveLength(50)
  const delays = again.map(({ wall }) => wall - killedAt)
  console.log(
    `leases of ${invisibleMs} ms: redelivered ${Math.min(...delays)} to ${Math.max(...delays)} ms after the kill`,
  )
}, 60_000)
