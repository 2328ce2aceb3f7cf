import { RequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { FakeBroker, recordOf, serveQueue, world } from '../../../../../test/kit/fake-broker.ts'
import { ReconsumeLater } from '../../message/outcome.ts'
import { PushConsumer } from '../push-consumer.ts'

test('a queue moved back while a message waits for its next attempt waits a whole pause again', async () => {
  const w = world()
  const fake = new FakeBroker(w)
  fake.queues = 1
  await w.clock.run(fake.start())
  const records = [0, 1].map((n) => recordOf({ topic: 't', queueOffset: n, body: `${n}` }))
  serveQueue(fake, 't', records)
  fake.on(RequestCode.LOCK_BATCH_MQ, (request) => ({
    code: 0,
    body: Buffer.from(
      JSON.stringify({ lockOKMQSet: (JSON.parse(request.body.toString()) as { mqSet: unknown[] }).mqSet }),
    ),
  }))
  const begun: string[] = []
  let attempts = 0
  const options = { nameServers: fake.address, group: 'g', clientId: 'me', startFrom: 'first', ordered: true } as const
  const consumer = new PushConsumer({ ...w, ...options, holdMs: 1_000 })
  consumer.subscribe('t', '*', (message) => {
    begun.push(message.text())
    if (message.text() === '0' && ++attempts < 3) throw new ReconsumeLater({ delayMs: 10_000 })
  })
  await w.clock.run(consumer.start())
  await w.clock.advance(4_000)
  expect(begun).toEqual(['0'])
  const queue = { brokerName: Object.keys(fake.routes)[0], queueId: 0, topic: 't' }
  const body = Buffer.from(JSON.stringify({ offsetTable: [{ ...queue, offset: 0 }] }))
  const extFields = { group: 'g', topic: 't', timestamp: 0 }
  for (const connection of fake.connections) {
    connection.oneway({ code: RequestCode.RESET_CONSUMER_CLIENT_OFFSET, extFields, body })
  }
  await w.clock.advance(4_000)
  expect(begun).toEqual(['0', '0'])
  // The pause of before the move is over, that of now is not.
  await w.clock.advance(2_500)
  records.push(recordOf({ topic: 't', queueOffset: 2, body: '2' }))
  await w.clock.advance(3_000)
  expect(begun).toEqual(['0', '0'])
  await w.clock.advance(20_000)
  expect(begun).toEqual(['0', '0', '0', '1', '2'])
  await w.clock.run(consumer.close())
})
