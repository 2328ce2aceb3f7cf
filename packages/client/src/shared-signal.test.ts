import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeBroker, serveQueue, world } from '../../../test/kit/fake-broker.ts'
import { PullConsumer } from './consumer/pull-consumer.ts'

const warnings: string[] = []
const listen = (warning: Error): void => void warnings.push(`${warning.name} ${warning.message}`)

beforeEach(() => {
  warnings.length = 0
  process.on('warning', listen)
})
afterEach(() => void process.off('warning', listen))

test('a stream of more than ten queues, and more than ten streams, bring no warning of a leak', async () => {
  const w = world()
  const fake = new FakeBroker(w)
  fake.queues = 16
  await w.clock.run(fake.start())
  serveQueue(fake, 't', [])
  const consumer = new PullConsumer({ ...w, nameServers: fake.address, group: 'g', holdMs: 1_000 })
  await w.clock.run(consumer.start())
  const streams = Array.from({ length: 12 }, () => consumer.messages('t')[Symbol.asyncIterator]().next())
  await w.clock.advance(3_000)
  await w.clock.run(consumer.close())
  await Promise.allSettled(streams)
  // Node tells warnings in a later turn.
  await new Promise((resolve) => setImmediate(resolve))
  expect(warnings).toEqual([])
})
