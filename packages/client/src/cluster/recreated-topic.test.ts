import { RequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { FakeBroker, recordOf, serveQueue, world } from '../../../../test/kit/fake-broker.ts'
import { PushConsumer } from '../consumer/push-consumer.ts'

const TOPIC_NOT_EXIST = 17
const COMMIT_MS = 1_000

/** A consumer that has handled and committed all three messages of a topic, and waits for the next. */
async function caughtUp() {
  const w = world()
  const fake = new FakeBroker(w)
  fake.queues = 1
  await w.clock.run(fake.start())
  const records = [0, 1, 2].map((n) => recordOf({ topic: 't', queueOffset: n, body: `${n}` }))
  const { committed } = serveQueue(fake, 't', records)
  const pull = fake.scripts.get(RequestCode.PULL_MESSAGE)
  const broker = { isDeleted: false }
  fake.on(RequestCode.PULL_MESSAGE, (request, connection) =>
    broker.isDeleted && request.extFields['topic'] === 't' ? { code: TOPIC_NOT_EXIST } : pull?.(request, connection),
  )
  const options = { nameServers: fake.address, group: 'g', clientId: 'me', startFrom: 'last', holdMs: 15_000 } as const
  committed.set('t/0', [0])
  const consumer = new PushConsumer({ ...w, ...options, commitIntervalMs: COMMIT_MS })
  consumer.subscribe('t', '*', () => undefined)
  await w.clock.run(consumer.start())
  await w.clock.advance(3 * COMMIT_MS)
  expect(committed.get('t/0')?.at(-1)).toBe(3)
  return { w, committed, broker, consumer }
}

test('the position of a topic made anew is told at the next commit, though it did not change', async () => {
  const { w, committed, broker, consumer } = await caughtUp()
  broker.isDeleted = true
  // The pull that was held ends, and the next ones are told of the deletion; so are commits.
  await w.clock.advance(20_000)
  broker.isDeleted = false
  committed.delete('t/0')
  await w.clock.advance(3_000 + 2 * COMMIT_MS)
  expect(committed.get('t/0')?.at(-1)).toBe(3)
  await w.clock.run(consumer.close())
})

test('a position that does not change is not told at every commit', async () => {
  const { w, committed, consumer } = await caughtUp()
  const told = committed.get('t/0')?.length
  await w.clock.advance(5 * COMMIT_MS)
  expect(committed.get('t/0')).toHaveLength(told ?? 0)
  await w.clock.run(consumer.close())
})
