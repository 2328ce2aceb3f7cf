import { RequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { FakeBroker, recordOf, serveQueue, world } from '../../../../test/kit/fake-broker.ts'
import { PushConsumer } from './push-consumer.ts'

const COUNT = 6

test('F61: a pull that is answered in the moment its queue is rewound leaves nothing out behind the instant', async () => {
  const w = world()
  const fake = new FakeBroker(w)
  fake.queues = 1
  await w.clock.run(fake.start())
  const records = Array.from({ length: COUNT }, (_, n) => recordOf({ topic: 't', queueOffset: n, body: `${n}` }))
  const { committed } = serveQueue(fake, 't', records)
  const begun: string[] = []
  const options = {
    nameServers: fake.address,
    group: 'g',
    clientId: 'me',
    startFrom: 'first',
    holdMs: 5_000,
  } as const
  const consumer = new PushConsumer({ ...w, ...options })
  consumer.subscribe('t', '*', (message) => void begun.push(message.text()))
  await w.clock.run(consumer.start())
  await w.clock.advance(2_000)
  const all = Array.from({ length: COUNT }, (_, n) => `${n}`)
  expect(begun).toEqual(all)

  // The pull that waits at the broker is answered with something new; behind the answer, in the same write, comes the rewind.
  const waiting = fake.asked(RequestCode.PULL_MESSAGE).findLast(({ extFields }) => extFields['topic'] === 't')
  const queue = { brokerName: Object.keys(fake.routes)[0], queueId: 0, topic: 't' }
  const body = Buffer.from(JSON.stringify({ offsetTable: [{ ...queue, offset: 1 }] }))
  const extFields = { group: 'g', topic: 't', timestamp: 0 }
  records.push(recordOf({ topic: 't', queueOffset: COUNT, body: `${COUNT}` }))
  for (const connection of fake.connections) {
    const next = { nextBeginOffset: COUNT + 1, minOffset: 0, maxOffset: COUNT + 1, suggestWhichBrokerId: 0 }
    connection.reply(waiting!, { code: 0, extFields: next, body: records.at(-1) ?? Buffer.alloc(0) })
    connection.oneway({ code: RequestCode.RESET_CONSUMER_CLIENT_OFFSET, extFields, body })
    // The network cuts what is written where it likes: before so much more both are surely in one piece.
    connection.oneway({ code: RequestCode.RESET_CONSUMER_CLIENT_OFFSET, extFields: {}, body: Buffer.alloc(60_000) })
  }
  await w.clock.advance(10_000)
  expect(begun.slice(COUNT)).toEqual([...all.slice(1), `${COUNT}`])
  await w.clock.run(consumer.close())
  expect(committed.get('t/0')?.at(-1)).toBe(COUNT + 1)
})
