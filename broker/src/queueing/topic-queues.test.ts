import { expect, test } from 'vitest'
import type { ConsumeQueue } from '../store/index.ts'
import { Topics } from './index.ts'

type Stored = { queueId: number; minOffset: number; maxOffset: number; nextOffset: number }

function topicsOver(stored: readonly Stored[], entries: readonly unknown[] = []): Topics {
  const journal = {
    register: (_table: string, { apply }: { apply(entry: unknown): void }) => entries.forEach((entry) => apply(entry)),
    append() {},
    appendDurable: () => Promise.resolve(),
    commit() {},
  }
  const topics = new Topics({ journal, autoCreate: false })
  topics.open({
    queue: (topic, queueId) => ({ topic, queueId }) as ConsumeQueue,
    queuesOf: (topic) => (topic === 'orders' ? (stored as readonly ConsumeQueue[]) : []),
    deleteTopic() {},
  })
  return topics
}

const entry = (readQueues: number) => ({
  put: { name: 'orders', readQueues, writeQueues: 1, perm: 6, order: false, sysFlag: 0, attributes: {} },
})

test('a start shows what an older broker hid in queues above the last one', () => {
  const topics = topicsOver([{ queueId: 3, minOffset: 5, maxOffset: 6, nextOffset: 6 }], [entry(1)])
  expect(topics.find('orders')).toMatchObject({ readQueues: 4, writeQueues: 1 })
  expect(topics.find('orders')?.queues).toHaveLength(4)
})

test('when retention has emptied the queues they can go', () => {
  const queue = { queueId: 3, minOffset: 5, maxOffset: 6, nextOffset: 6 }
  const topics = topicsOver([queue], [entry(4)])
  expect(topics.create({ name: 'orders', readQueues: 1 }).readQueues).toBe(4)
  queue.minOffset = 6
  expect(topics.create({ name: 'orders', readQueues: 1 }).readQueues).toBe(1)
  expect(topics.find('orders')?.queues).toHaveLength(1)
})

test('a message on its way to the disk keeps its queue', () => {
  const topics = topicsOver([{ queueId: 2, minOffset: 5, maxOffset: 5, nextOffset: 6 }], [entry(4)])
  expect(topics.create({ name: 'orders', readQueues: 1 }).readQueues).toBe(3)
})
