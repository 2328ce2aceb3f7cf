import { afterEach, beforeEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

let world: MemoryBroker

beforeEach(async () => {
  world = await MemoryBroker.start()
  await update(4)
})
afterEach(() => world.close())

const update = (readQueueNums: number, writeQueueNums = readQueueNums) =>
  world.request(17, {
    ...{ topic: 'orders', defaultTopic: 'TBW102', readQueueNums, writeQueueNums, perm: 6 },
    ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false },
  })

async function queues(): Promise<[read: number, write: number]> {
  const { body } = await world.request(351, { topic: 'orders' })
  const { readQueueNums, writeQueueNums } = JSON.parse(body.toString()) as Record<string, number>
  return [readQueueNums as number, writeQueueNums as number]
}

const bodies = async (queueId: number): Promise<string[]> =>
  (await world.messages({ queueId })).map(({ body }) => body.toString())

test('a topic that gets fewer queues than it has messages in keeps them readable, and says so', async () => {
  await world.send('orders', 'kept', {}, { queueId: 2 })
  const answer = await update(1)
  expect([answer.code, answer.remark]).toEqual([0, expect.stringMatching(/orders keeps 3 queues .* not 1/)])
  expect(await queues()).toEqual([3, 1])
  expect(await bodies(2)).toEqual(['kept'])
  await world.restart()
  expect(await queues()).toEqual([3, 1])
  expect(await bodies(2)).toEqual(['kept'])
})

test('a list of topics keeps them as well', async () => {
  await world.send('orders', 'kept', {}, { queueId: 3 })
  const config = { topicName: 'orders', readQueueNums: 1, writeQueueNums: 1, perm: 6 }
  const answer = await world.request(18, {}, JSON.stringify({ topicConfigList: [config] }))
  expect([answer.code, answer.remark]).toEqual([0, expect.stringContaining('orders keeps 4 queues')])
  expect(await queues()).toEqual([4, 1])
})

test('empty queues go at once, without a word', async () => {
  const answer = await update(2)
  expect([answer.code, answer.remark]).toEqual([0, undefined])
  expect(await queues()).toEqual([2, 2])
  expect((await world.pull({ queueId: 2 })).code).not.toBe(0)
})

test('a queue that is only written to is read from its first message on', async () => {
  expect((await update(1, 3)).remark).toBeUndefined()
  expect(await queues()).toEqual([1, 3])
  await world.send('orders', 'seen', {}, { queueId: 1 })
  expect(await queues()).toEqual([2, 3])
  expect(await bodies(1)).toEqual(['seen'])
  await world.restart()
  expect(await queues()).toEqual([2, 3])
})

test('a delayed message for a queue that was taken away brings the queue back', async () => {
  await world.send('orders', 'late', { TIMER_DELAY_MS: '60000' }, { queueId: 3 })
  expect((await update(2)).remark).toBeUndefined()
  await world.clock.advance(61_000)
  expect(await queues()).toEqual([4, 2])
  expect(await bodies(3)).toEqual(['late'])
  await world.restart()
  expect(await queues()).toEqual([4, 2])
})
