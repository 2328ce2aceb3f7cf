import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, serveQueue, type World, world } from '../../../../test/kit/fake-broker.ts'
import { PushConsumer } from '../consumer/push-consumer.ts'
import { Producer } from '../producer/producer.ts'

let w: World
let fake: FakeBroker

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  await w.clock.run(fake.start())
})

const routesAsked = (): number =>
  fake.asked(RequestCode.GET_ROUTEINFO_BY_TOPIC).filter(({ extFields }) => extFields['topic'] === 't').length

async function consuming(queues: number): Promise<PushConsumer> {
  fake.queues = queues
  serveQueue(fake, 't', [])
  const consumer = new PushConsumer({ ...w, nameServers: fake.address, group: 'g', startFrom: 'first', holdMs: 1_000 })
  consumer.subscribe('t', '*', () => undefined)
  await w.clock.run(consumer.start())
  await w.clock.advance(500)
  return consumer
}

/** Pulls of `t` from this queue on are refused, as a broker does that has fewer. */
function refusePulls(from: number, code: number, remark: string): void {
  const serve = fake.scripts.get(RequestCode.PULL_MESSAGE)!
  fake.on(RequestCode.PULL_MESSAGE, (request, connection) => {
    const { topic, queueId } = request.extFields
    return topic === 't' && Number(queueId) >= from ? { code, remark } : serve(request, connection)
  })
}

test.each([
  ['INVALID_PARAMETER', 29, '[INVALID_PARAMETER] queueId[3] is illegal'],
  ['SYSTEM_ERROR with the queue in it, as RocketMQ 4 says it', 1, 'queueId[3] is illegal, topic:[t]'],
])(
  'a member whose queue is refused with %s looks at the route at once and gives the queue up',
  async (_, code, remark) => {
    const consumer = await consuming(4)
    // Its own and the four queues of retries that this fake broker claims to have.
    const before = consumer.stats().queues
    fake.queues = 2
    refusePulls(2, code, remark)
    await w.clock.advance(2_500)
    expect(before - consumer.stats().queues).toBe(2)
    await w.clock.run(consumer.close())
  },
)

test('a topic that does not exist for the broker is asked for at once, then every 2 s at most', async () => {
  const consumer = await consuming(4)
  refusePulls(0, 17, 'topic t does not exist')
  const before = routesAsked()
  await w.clock.advance(1_500)
  expect(routesAsked() - before).toBe(1)
  await w.clock.advance(60_000)
  const asked = routesAsked() - before
  expect(asked).toBeGreaterThan(20)
  expect(asked).toBeLessThan(36)
  await w.clock.run(consumer.close())
})

test('a pull that fails for another reason says nothing of the route', async () => {
  const consumer = await consuming(4)
  refusePulls(0, 1, 'the disk is slow')
  const before = routesAsked()
  await w.clock.advance(20_000)
  expect(routesAsked()).toBe(before)
  await w.clock.run(consumer.close())
})

test('a member that is told of new queues looks for them at once, and again when the name server did not know yet', async () => {
  const consumer = await consuming(2)
  const before = consumer.stats().queues
  const tell = (): void => {
    for (const connection of fake.connections) {
      const extFields = { consumerGroup: 'g', topic: 't' }
      connection.oneway({ code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, extFields })
    }
  }
  tell()
  await w.clock.advance(1_000)
  fake.queues = 5
  await w.clock.advance(2_000)
  expect(consumer.stats().queues - before).toBe(3)
  await w.clock.run(consumer.close())
})

async function producing(queues: number): Promise<Producer> {
  fake.queues = queues
  const producer = new Producer({ ...w, nameServers: fake.address, group: 'p', retriesMax: 0 })
  await w.clock.run(producer.start())
  await w.clock.run(producer.send({ topic: 't', body: 'first' }))
  return producer
}

test('sends to queues that are gone go to one that is there, without being repeats', async () => {
  const producer = await producing(8)
  fake.queues = 1
  fake.on(RequestCode.SEND_MESSAGE_V2, (request) =>
    Number(request.extFields['e']) > 0 ? { code: 29, remark: '[INVALID_PARAMETER] no queue' } : fake.stored(request),
  )
  const before = routesAsked()
  const receipts = await w.clock.run(
    Promise.all(Array.from({ length: 20 }, (_, n) => producer.send({ topic: 't', body: `${n}` }))),
  )
  expect(new Set(receipts.map(({ queueId }) => queueId))).toEqual(new Set([0]))
  expect(routesAsked() - before).toBe(1)
  await w.clock.run(producer.close())
})

test('a send that is refused for another parameter fails with it, and a stream of them asks for the route every 2 s', async () => {
  const producer = await producing(2)
  fake.on(RequestCode.SEND_MESSAGE_V2, () => ({ code: 29, remark: '[INVALID_PARAMETER] not like that' }))
  const [asked, sent] = [routesAsked(), fake.asked(RequestCode.SEND_MESSAGE_V2).length]
  for (let n = 0; n < 100; n++) {
    const sending = producer.send({ topic: 't', body: `${n}` })
    await expect(w.clock.run(sending)).rejects.toMatchObject({ code: 'INVALID_PARAMETER' })
    await w.clock.advance(100)
  }
  expect(fake.asked(RequestCode.SEND_MESSAGE_V2).length - sent).toBe(100)
  expect(routesAsked() - asked).toBeGreaterThan(3)
  expect(routesAsked() - asked).toBeLessThan(8)
  await w.clock.run(producer.close())
})
