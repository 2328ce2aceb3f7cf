import { commandOf, decodeProperties, type RemotingCommand, encodeProperties } from '@tandemmq/protocol'
import { type ConnectionOwner, RemotingClient, RemotingServer } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'
import { ProducerDomains, ProducerGroups, SqlExpressions } from '../queueing/index.ts'
import { clientHandlers } from './client-handlers.ts'
import { Dispatcher } from './dispatcher.ts'
import { createReplyHandlers } from './reply-handlers.ts'

test.each([
  ['with the separator behind the last property', '\x02'],
  ['without it, as version 4 writes them', ''],
])('a reply reaches the requester with every property, %s', async (_what, end) => {
  const clock = new VirtualClock({ seed: 1 })
  const network = new MemoryNetwork({ clock })
  const producers = new ProducerGroups({ clock })
  const domains = new ProducerDomains({ clock, groups: producers })
  const consumers = {} as Parameters<typeof clientHandlers>[0]['consumers']
  const sql = new SqlExpressions()
  const handlers = [createReplyHandlers({ producers, clock }), clientHandlers({ producers, consumers, domains, sql })]
  const dispatcher = new Dispatcher({ handlers, onClosed: () => {}, log: () => {} })
  const server = new RemotingServer({ clock, network, owner: dispatcher, host: '0.0.0.0', port: 9876 })
  await clock.run(server.start())
  const pushed: RemotingCommand[] = []
  const owner: ConnectionOwner = {
    onRequest(connection, header) {
      pushed.push(commandOf(header))
      connection.reply(header, { code: 0 })
    },
    onClosed() {},
  }
  const client = new RemotingClient({ clock, network, owner })
  const ask = (code: number, extFields: Record<string, string | number>, body: string) =>
    clock.run(
      client.request('127.0.0.1:9876', { code, version: 409, extFields, body: Buffer.from(body) }, 5000),
      60_000,
    )
  const groups = { producerDataSet: [{ groupName: 'asking' }], consumerDataSet: [] }
  await ask(34, {}, JSON.stringify({ clientID: 'me', ...groups }))

  const i = `REPLY_TO_CLIENT\x01me\x02CORRELATION_ID\x01c-1${end}`
  const names = { a: 'answering', b: 'DefaultCluster_REPLY_TOPIC', c: 'TBW102', d: 4, e: 0, f: 0, g: clock.now(), h: 0 }
  expect((await ask(325, { ...names, i, j: 0, k: 'false', l: 0, m: 'false' }, 'the answer')).code).toBe(0)
  const long = {
    producerGroup: 'answering',
    topic: names.b,
    defaultTopic: 'TBW102',
    defaultTopicQueueNums: 4,
    queueId: 0,
  }
  const rest = { sysFlag: 0, bornTimestamp: clock.now(), flag: 0, properties: i, reconsumeTimes: 0, unitMode: 'false' }
  expect((await ask(324, { ...long, ...rest }, 'the answer')).code).toBe(0)
  const [reply, again] = pushed
  expect({ ...again?.extFields, bornTimestamp: '', storeTimestamp: '', properties: '' }).toEqual({
    ...reply?.extFields,
    ...{ bornTimestamp: '', storeTimestamp: '', properties: '' },
  })
  expect([reply?.code, reply?.body.toString()]).toEqual([326, 'the answer'])
  expect(decodeProperties(Buffer.from(reply?.extFields['properties'] ?? ''))).toEqual({
    CORRELATION_ID: 'c-1',
    REPLY_TO_CLIENT: 'me',
    PUSH_REPLY_TIME: expect.stringMatching(/^\d+$/),
  })
  producers.close()
  await clock.run(server.close(0))
})

test('a reply to a requester that has sent no heartbeat yet is refused with its name, one to it afterwards arrives', async () => {
  const world = await MemoryBroker.start()
  const pushed: number[] = []
  const owner: ConnectionOwner = {
    onRequest(connection, header) {
      pushed.push(header.code)
      connection.reply(header, { code: 0 })
    },
    onClosed() {},
  }
  const requester = world.client(owner)
  const { address } = world.broker
  const properties = encodeProperties({ MSG_TYPE: 'reply', REPLY_TO_CLIENT: 'me', CORRELATION_ID: 'c-1' }).toString()
  const reply = () => world.send('DefaultCluster_REPLY_TOPIC', 'the answer', {}, { properties }, 324)
  const route = { code: 105, extFields: { topic: 'TBW102' } }
  await world.clock.run(requester.request(address, route, 1_000))
  const early = await reply()
  expect([early.code, early.remark, pushed]).toEqual([1, expect.stringContaining('the requester me is not conn'), []])
  const body = { clientID: 'me', producerDataSet: [{ groupName: 'asking' }], consumerDataSet: [] }
  const beat = { code: 34, body: Buffer.from(JSON.stringify(body)) }
  await world.clock.run(requester.request(address, beat, 1_000))
  expect([(await reply()).code, pushed]).toEqual([0, [326]])
  await world.clock.run(requester.close())
  await world.close()
})
