import { commandOf, decodeRecord, parseLenientJson, type RemotingCommand } from '@tandemmq/protocol'
import { type Connection, type ConnectionOwner, RemotingClient } from '@tandemmq/remoting'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody } from '../../../test/kit/broker-rooms.ts'

let open: BrokerRooms | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

type Answer = { code: number; remark?: string; body?: Buffer }

/** A consumer of `billing` that answers the broker's questions; undefined = it stays silent. */
async function member(rooms: BrokerRooms, clientId: string, tell: (asked: RemotingCommand) => Answer | undefined) {
  const owner: ConnectionOwner = {
    onRequest(connection: Connection, header) {
      if (header.isOneway) return
      const answer = tell(commandOf(header))
      if (answer !== undefined) connection.reply(header, answer)
    },
    onClosed() {},
  }
  const remoting = new RemotingClient({ clock: rooms.clock, network: rooms.network, owner })
  const body = Buffer.from(JSON.stringify(heartbeatBody({ clientId })))
  const init = { code: 34, version: 441, body }
  await rooms.clock.run(remoting.request('127.0.0.1:9876', init, 3000))
}

async function start(): Promise<BrokerRooms> {
  open = await BrokerRooms.start()
  open.append('orders', 0, { body: 'try me' })
  await open.settle()
  return open
}

const asked = { consumerGroup: 'billing', clientId: 'c1' }

test('an operator asks one consumer how it runs and gets its very words', async () => {
  const rooms = await start()
  const told = Buffer.from('{"mqTable":{{"brokerName":"b","queueId":0,"topic":"orders"}:{}}}')
  await member(rooms, 'c1', ({ code, extFields }) => ({
    code: code === 307 ? 0 : 1,
    remark: extFields['jstackEnable'] ?? '',
    body: told,
  }))
  const answer = await rooms.client().request(307, { ...asked, jstackEnable: true })
  expect([answer.code, answer.remark, answer.body.toString()]).toEqual([0, 'true', told.toString()])
})

test('a message is handed to one consumer to try, and its verdict comes back', async () => {
  const rooms = await start()
  await member(rooms, 'c1', ({ code, extFields, body }) => ({
    code: 0,
    body: Buffer.from(`${code} ${extFields['brokerName']} ${decodeRecord(body).body.toString()}`),
  }))
  const msgId = decodeRecord(
    rooms.store.read(rooms.topics.find('orders')!.queues[0]!.physicalOffset(0))!,
  ).offsetMessageId
  const answer = await rooms.client().request(309, { ...asked, msgId })
  expect([answer.code, answer.body.toString()]).toEqual([0, '309 tandemmq try me'])
  const missing = await rooms.client().request(309, { ...asked, msgId: `${msgId.slice(0, 16)}0000000000FFFFFF` })
  expect(missing.code).toBe(1)
})

test('the offsets of all members are gathered, those of a silent one are left empty', async () => {
  const rooms = await start()
  const table = '{"consumerTable":{},"messageQueueTable":{{"brokerName":"b","queueId":0,"topic":"orders"}:7}}'
  await member(rooms, 'c1', () => ({ code: 0, body: Buffer.from(table) }))
  await member(rooms, 'c2', () => undefined)
  const answer = await rooms.client().request(223, { topic: 'orders', group: 'billing' })
  expect(parseLenientJson(answer.body.toString())).toMatchObject({
    consumerTable: { c1: { '{"brokerName":"b","queueId":0,"topic":"orders"}': 7 }, c2: {} },
  })
  const one = await rooms.client().request(223, { topic: 'orders', group: 'billing', clientAddr: 'c2' })
  expect(one.body.toString()).toBe('{"consumerTable":{"c2":{}},"messageQueueTable":{}}')
})

test('a consumer that is not there is told apart from one that does not answer', async () => {
  const rooms = await start()
  expect((await rooms.client().request(307, asked)).code).toBe(1)
  expect((await rooms.client().request(223, { topic: 'orders', group: 'billing' })).code).toBe(1)
  await member(rooms, 'c1', () => undefined)
  const answer = await rooms.client().request(307, asked)
  expect([answer.code, answer.remark]).toEqual([207, 'the consumer c1 did not answer within 10000 ms'])
})
