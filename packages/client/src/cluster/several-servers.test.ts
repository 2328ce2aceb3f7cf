import { RequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { FakeBroker, serveQueue, world } from '../../../../test/kit/fake-broker.ts'
import { Admin } from '../admin/admin.ts'
import { PushConsumer } from '../consumer/push-consumer.ts'
import { Producer } from '../producer/producer.ts'

const DEAD = '127.0.0.1:9'
const seeds = [1, 2, 3, 4, 5, 6, 7, 8]

test.each(seeds)(
  'a broker that cannot be reached does not keep the queues of the others from being shared (%i)',
  async (seed) => {
    const w = world(seed)
    const fake = new FakeBroker(w)
    fake.queues = 1
    await w.clock.run(fake.start())
    fake.routes = { b: fake.address, dead: DEAD }
    serveQueue(fake, 't', [])
    const consumer = new PushConsumer({ ...w, nameServers: fake.address, group: 'g', startFrom: 'first' })
    consumer.subscribe('t', '*', () => undefined)
    await w.clock.run(consumer.start())
    // That of the topic and that for retries.
    expect(consumer.stats().queues).toBe(2)
    await w.clock.run(consumer.close())
  },
)

test.each(seeds)('an operator is served whichever of the name servers is dead (%i)', async (seed) => {
  const w = world(seed)
  const fake = new FakeBroker(w)
  await w.clock.run(fake.start())
  const admin = new Admin({ ...w, nameServers: `${DEAD};${fake.address}` })
  await w.clock.run(admin.start())
  expect(await w.clock.run(admin.queues('t'))).toHaveLength(2)
  await w.clock.run(admin.close())
})

test('every name server is told that a topic is gone, and a dead one is no reason to fail', async () => {
  const w = world()
  const fakes = [new FakeBroker(w, 'b', 9876), new FakeBroker(w, 'b', 9877)]
  for (const fake of fakes) {
    await w.clock.run(fake.start())
    fake.scripts.set(RequestCode.DELETE_TOPIC_IN_BROKER, () => ({ code: 0 }))
    fake.scripts.set(RequestCode.DELETE_TOPIC_IN_NAMESRV, () => ({ code: 0 }))
  }
  const admin = new Admin({ ...w, nameServers: [...fakes.map(({ address }) => address), DEAD] })
  await w.clock.run(admin.start())
  await w.clock.run(admin.deleteTopic('t'))
  for (const fake of fakes) expect(fake.asked(RequestCode.DELETE_TOPIC_IN_NAMESRV)).toHaveLength(1)
  fakes[1]?.scripts.set(RequestCode.DELETE_TOPIC_IN_NAMESRV, () => ({ code: 1, remark: 'no' }))
  await expect(w.clock.run(admin.deleteTopic('t'))).rejects.toMatchObject({ code: 'SYSTEM_ERROR' })
  await w.clock.run(admin.close())
})

test('a broker that left the cluster gets no heartbeats any more', async () => {
  const w = world()
  const [a, b] = [new FakeBroker(w, 'a', 9876), new FakeBroker(w, 'b', 9877)]
  for (const fake of [a, b]) await w.clock.run(fake.start())
  a.routes = { a: a.address, b: b.address }
  const producer = new Producer({ ...w, nameServers: a.address, group: 'p' })
  await w.clock.run(producer.start())
  await w.clock.run(producer.send({ topic: 't', body: 'x' }))
  await w.clock.advance(61_000)
  expect(b.asked(RequestCode.HEART_BEAT).length).toBeGreaterThanOrEqual(3)
  a.routes = { a: a.address }
  await w.clock.advance(61_000)
  const told = b.asked(RequestCode.HEART_BEAT).length
  await w.clock.advance(120_000)
  expect(b.asked(RequestCode.HEART_BEAT)).toHaveLength(told)
  await w.clock.run(producer.close())
})

test('a message that was surely not stored goes to the other broker at once', async () => {
  const w = world()
  const [a, b] = [new FakeBroker(w, 'a', 9876), new FakeBroker(w, 'b', 9877)]
  for (const fake of [a, b]) await w.clock.run(fake.start())
  a.routes = { a: a.address, b: b.address }
  for (const code of [2, 14, 16, 17]) {
    const producer = new Producer({ ...w, nameServers: a.address, group: 'p' })
    await w.clock.run(producer.start())
    b.scripts.set(RequestCode.SEND_MESSAGE_V2, () => ({ code, remark: 'not here' }))
    const before = w.clock.monotonic()
    for (let n = 0; n < 4; n++) {
      const receipt = await w.clock.run(producer.send({ topic: 't', body: 'x' }))
      expect([code, receipt.brokerName]).toEqual([code, 'a'])
    }
    expect(w.clock.monotonic() - before).toBeLessThan(50)
    await w.clock.run(producer.close())
  }
})
