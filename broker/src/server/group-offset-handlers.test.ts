import { parseLenientJson } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

let open: MemoryBroker | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

/** Five messages a second apart in queue 0 of `orders`; `billing` committed 2, `audit` 4. */
async function start(): Promise<MemoryBroker> {
  const world = (open = await MemoryBroker.start())
  for (let at = 0; at < 5; at++) {
    await world.send('orders')
    await world.clock.advance(1_000)
  }
  for (const groupName of ['billing', 'audit']) await world.request(200, {}, JSON.stringify({ groupName }))
  await commit(world, 'billing', 2)
  await commit(world, 'audit', 4)
  return world
}

const commit = (world: MemoryBroker, consumerGroup: string, commitOffset: number) =>
  world.request(15, { consumerGroup, topic: 'orders', queueId: 0, commitOffset })
const committed = async (world: MemoryBroker, consumerGroup: string) =>
  (await world.request(14, { consumerGroup, topic: 'orders', queueId: 0, setZeroIfNotFound: false })).extFields[
    'offset'
  ]

test('a time span says how far behind a group is, in time', async () => {
  const world = await start()
  const times = (await world.messages()).map(({ storeTimestamp }) => storeTimestamp)
  const { consumeTimeSpanSet } = JSON.parse(
    (await world.request(303, { topic: 'orders', group: 'billing' })).body.toString(),
  )
  expect(consumeTimeSpanSet).toEqual([
    {
      ...{ consumeTimeStamp: times[1], minTimeStamp: times[0], maxTimeStamp: times[4], delayTime: expect.any(Number) },
      messageQueue: { brokerName: 'tandemmq', queueId: 0, topic: 'orders' },
    },
  ])
  expect(Math.abs(world.clock.now() - consumeTimeSpanSet[0].delayTime - (times[2] as number))).toBeLessThan(50)
  await commit(world, 'billing', 5)
  const after = JSON.parse((await world.request(303, { topic: 'orders', group: 'billing' })).body.toString())
  expect(after.consumeTimeSpanSet[0]).toMatchObject({ consumeTimeStamp: times[4], delayTime: 0 })
  expect((await world.request(303, { topic: 'nowhere', group: 'billing' })).code).toBe(17)
})

test('a correction is the least any other group committed, or the greatest number', async () => {
  const world = await start()
  const ask = async (fields: Record<string, string>) =>
    (await world.request(308, { topic: 'orders', ...fields })).body.toString()
  expect(await ask({ compareGroup: 'audit' })).toBe('{"correctionOffsets":{0:2}}')
  expect(await ask({ compareGroup: 'nobody' })).toBe('{"correctionOffsets":{0:2}}')
  const ahead = await ask({ compareGroup: 'billing', filterGroups: 'billing, more' })
  expect(ahead).toBe('{"correctionOffsets":{0:9223372036854775807}}')
  expect(() => parseLenientJson(ahead)).not.toThrow()
})

test('a clone starts where its model is, also when it runs already, and survives a restart', async () => {
  const world = await start()
  expect(
    (await world.request(314, { srcGroup: 'billing', destGroup: 'copy', topic: 'orders', offline: true })).code,
  ).toBe(0)
  expect(await committed(world, 'copy')).toBe('2')
  expect((await world.request(314, { srcGroup: 'billing', destGroup: 'audit', offline: true })).code).toBe(0)
  await world.heartbeat({ group: 'audit' })
  expect((await world.pull({ consumerGroup: 'audit', queueOffset: 4 })).extFields['nextBeginOffset']).toBe('2')
  await world.restart()
  expect([await committed(world, 'copy'), await committed(world, 'audit')]).toEqual(['2', '2'])
  expect((await world.request(314, { srcGroup: 'nobody', destGroup: 'copy', offline: true })).code).toBe(0)
  expect(await committed(world, 'copy')).toBe('2')
})

test('of a group that runs only topics it still subscribes to are cloned, unless it is said to be offline', async () => {
  const world = await start()
  await world.heartbeat({ topics: { other: '*' } })
  await world.request(314, { srcGroup: 'billing', destGroup: 'copy', offline: false })
  expect(await committed(world, 'copy')).toBeUndefined()
  await world.heartbeat({ topics: { other: '*', orders: '*' }, version: 200 })
  await world.request(314, { srcGroup: 'billing', destGroup: 'copy', offline: false })
  expect(await committed(world, 'copy')).toBe('2')
})

test('a group is asked for its topics and for one subscription', async () => {
  const world = await start()
  await world.heartbeat({ topics: { orders: 'paid || sent' } })
  const ask = async (code: number, fields: Record<string, string>) =>
    JSON.parse((await world.request(code, fields)).body.toString())
  expect(await ask(343, { group: 'audit' })).toEqual({ brokerAddr: '127.0.0.1:9876', topicList: ['orders'] })
  expect(await ask(345, { group: 'billing', topic: 'orders' })).toMatchObject({
    ...{
      group: 'billing',
      topic: 'orders',
      subscriptionData: { subString: 'paid || sent', tagsSet: ['paid', 'sent'] },
    },
  })
  expect(await ask(345, { group: 'audit', topic: 'orders' })).toEqual({ group: 'audit', topic: 'orders' })
})
