import { test } from 'vitest'
import { GroupWorld } from '../kit/group-world.ts'
import { until } from '../kit/waiting.ts'

// Without the news of the broker and doubts of their own none would look at the route again in the time of the test.
const NEVER_MS = 3_600_000
const patient = { routeRefreshMs: NEVER_MS, rebalanceIntervalMs: NEVER_MS }
const common = { startFrom: 'first', subscriptions: { orders: '*' }, ...patient } as const

test('members of every kind of group hear of new queues and of queues that are gone, without waiting for the next look', async () => {
  await using world = await GroupWorld.start()
  const { admin, producer } = world
  await admin.createTopic('orders', { queues: 1 })
  await world.member('first', { ...common, group: 'clustering' })
  await world.member('second', { ...common, group: 'clustering' })
  await world.member('ordered', { ...common, group: 'ordered', ordered: true })
  await world.member('leasing', { ...common, group: 'leasing', mode: 'lease' })
  await world.member('each', {
    ...{ ...common, group: 'each', mode: 'broadcasting' },
    offsetsIn: world.folder('offsets'),
  })
  const handledIn = (from: number): Set<string> =>
    new Set(world.handled().flatMap(({ proc, queueId }) => (queueId >= from ? [`${proc} ${queueId}`] : [])))

  await admin.createTopic('orders', { queues: 4 })
  const all = ['ordered', 'leasing', 'each'].flatMap((name) => [1, 2, 3].map((queueId) => `${name} ${queueId}`))
  await world.send('orders', 200, 'more-')
  await until(
    () => all.every((one) => handledIn(1).has(one)) && new Set(world.handled().map(({ proc }) => proc)).has('second'),
    30_000,
    () => [...handledIn(1)].join(),
  )

  // Half of the queues go; what lies in them is lost to pulls, so they are empty before.
  const ends = async (group: string): Promise<boolean> =>
    (await admin.progress(group)).every((one) => one.committedOffset === one.maxOffset)
  await until(async () => (await ends('clustering')) && (await ends('ordered')) && (await ends('leasing')), 30_000)
  await admin.createTopic('orders', { queues: 2 })
  // A queue that holds messages stays readable, so what a producer that has not heard yet sends there is not lost.
  await Promise.all(Array.from({ length: 40 }, (_, n) => producer.send({ topic: 'orders', body: `fewer-${n}` })))
  const groups = [['first', 'second'], ['ordered'], ['leasing'], ['each']]
  const hasAll = (names: string[]): boolean =>
    new Set(world.handled().flatMap(({ proc, id }) => (names.includes(proc) && id.startsWith('fewer-') ? [id] : [])))
      .size === 40
  await until(() => groups.every(hasAll), 30_000)
}, 120_000)
