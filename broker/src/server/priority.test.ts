import { RequestCode } from '@tandemmq/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

let world: MemoryBroker
beforeEach(async () => {
  world = await MemoryBroker.start()
  await world.request(RequestCode.UPDATE_AND_CREATE_TOPIC, {
    ...{ topic: 'jobs', defaultTopic: 'TBW102', readQueueNums: 4, writeQueueNums: 4, perm: 6 },
    ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false, attributes: '+message.type=PRIORITY' },
  })
})
afterEach(() => world.close())

const PRIORITY = '_SYS_MSG_PRIORITY_'

test.each([
  ['0', 0],
  ['2', 2],
  ['3', 3],
  ['4', 3],
  ['2147483647', 3],
])('priority %s of four queues is queue %i, whatever queue the sender named', async (priority, queueId) => {
  const { extFields } = await world.send('jobs', 'x', { [PRIORITY]: priority }, { queueId: 1 })
  expect(extFields['queueId']).toBe(String(queueId))
})

test.each(['-1', 'high', '1.5', '2147483648'])('priority "%s" is refused by name', async (priority) => {
  const { code, remark } = await world.send('jobs', 'x', { [PRIORITY]: priority })
  expect([code, remark]).toEqual([13, expect.stringContaining(PRIORITY)])
})

test('without a word about it a message of such a topic has the lowest; elsewhere its queue is the sender’s choice', async () => {
  expect((await world.send('jobs', 'x', {}, { queueId: 2 })).extFields['queueId']).toBe('0')
  await world.send('plain', 'x', {}, { defaultTopicQueueNums: 4 })
  expect((await world.send('plain', 'x', {}, { queueId: 2 })).extFields['queueId']).toBe('2')
})

test('order goes before priority', async () => {
  const properties = { [PRIORITY]: '3', __SHARDINGKEY: 'customer-7' }
  expect((await world.send('jobs', 'x', properties, { queueId: 1 })).extFields['queueId']).toBe('1')
})

test('a delayed message arrives with its priority', async () => {
  await world.send('jobs', 'x', { [PRIORITY]: '3', TIMER_DELAY_MS: '5000', UNIQ_KEY: 'a' })
  await world.clock.advance(6_000)
  expect(world.broker.messages('jobs')).toMatchObject([{ queueId: 3, properties: { [PRIORITY]: '3' } }])
})
