import { expect, test } from 'vitest'
import { ConsumerGroups, Topics } from './index.ts'
import { defaultGroupConfig } from './group-config.ts'
import { VirtualClock } from '@tandemmq/remoting/simulation'

const journal = {
  register() {},
  append() {},
  appendDurable: () => Promise.resolve(),
  commit() {},
}

function rooms(topicsMax: number): { topics: Topics; groups: ConsumerGroups } {
  const topics = new Topics({ journal, autoCreate: true, topicsMax })
  topics.open({ queue: () => ({}) as never, queuesOf: () => [], deleteTopic() {} })
  return { topics, groups: new ConsumerGroups({ clock: new VirtualClock(), journal, topics }) }
}

const refused = expect.objectContaining({ code: 'TOPIC_NOT_EXIST' })

test('strangers cannot fill the memory with topic names, and known topics go on', () => {
  const { topics } = rooms(3)
  topics.forSend('a', 'TBW102', 4)
  topics.forSend('b', 'TBW102', 4)
  expect(() => topics.forSend('c', 'TBW102', 4)).toThrow(refused)
  expect(() => topics.create({ name: 'c' })).toThrow(refused)
  expect(topics.forSend('a', 'TBW102', 4).name).toBe('a')
  expect(topics.create({ name: 'b', perm: 4 }).perm).toBe(4)
})

test('where there is no room for a retry topic there is no new group, but dead letters always find theirs', () => {
  const { topics, groups } = rooms(2)
  groups.ensure('known')
  expect(() => groups.ensure('stranger')).toThrow(refused)
  expect(() => groups.configure(defaultGroupConfig('stranger'))).toThrow(refused)
  expect(groups.list().map(({ name }) => name)).toEqual(['known'])
  expect(topics.ensure('%DLQ%known', 1).name).toBe('%DLQ%known')
})

test('a deleted topic makes room', async () => {
  const { topics } = rooms(2)
  topics.create({ name: 'a' })
  await topics.delete('a')
  expect(topics.create({ name: 'b' }).name).toBe('b')
})
