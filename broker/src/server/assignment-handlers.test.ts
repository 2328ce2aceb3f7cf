import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody, type RoomsClient } from '../../../test/kit/broker-rooms.ts'

const QUERY = {
  ...{ clientId: 'c1', consumerGroup: 'billing', messageModel: 'CLUSTERING', strategyName: 'AVG', topic: 'orders' },
}

async function roomsWith(queues: number): Promise<{ rooms: BrokerRooms; client: RoomsClient }> {
  const rooms = await BrokerRooms.start()
  rooms.topics.create({ name: 'orders', readQueues: queues, writeQueues: queues })
  return { rooms, client: rooms.client() }
}

const bodyOf = ({ body }: { body: Buffer }): unknown => JSON.parse(body.toString())
const queue = (queueId: number, topic = 'orders'): object => ({ brokerName: 'tandemmq', queueId, topic })

test('queues are shared out by pulls until the group is told to pop a topic; its retry topic is always pulled', async () => {
  const { rooms, client } = await roomsWith(2)
  await client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody() })
  const ask = async (over: object = {}) =>
    bodyOf(await client.request(RequestCode.QUERY_ASSIGNMENT, {}, { body: { ...QUERY, ...over } }))
  const pulled = [0, 1].map((queueId) => ({ messageQueue: queue(queueId), mode: 'PULL' }))
  expect(await ask()).toEqual({ messageQueueAssignments: pulled })
  const mode = { consumerGroup: 'billing', mode: 'POP', popShareQueueNum: 0, topic: 'orders' }
  const set = (body: object) => client.request(RequestCode.SET_MESSAGE_REQUEST_MODE, {}, { body })
  expect((await set(mode)).code).toBe(0)
  expect(await ask()).toEqual({ messageQueueAssignments: [{ messageQueue: queue(-1), mode: 'POP' }] })
  const topic = '%RETRY%billing'
  expect(await ask({ topic })).toEqual({ messageQueueAssignments: [{ messageQueue: queue(0, topic), mode: 'PULL' }] })
  expect((await set({ ...mode, topic })).code).toBe(ResponseCode.NO_PERMISSION)
  expect((await set({ ...mode, mode: 'PUSH' })).code).toBe(ResponseCode.INVALID_PARAMETER)
  const all = bodyOf(await client.request(RequestCode.GET_ALL_MESSAGE_REQUEST_MODE))
  expect(all).toEqual({ messageRequestModeMap: { orders: { billing: mode } } })
  await rooms.close()
})

test('without topic or members the client keeps what it has, broadcasting it gets everything', async () => {
  const { rooms, client } = await roomsWith(2)
  const ask = (over: object = {}) => client.request(RequestCode.QUERY_ASSIGNMENT, {}, { body: { ...QUERY, ...over } })
  expect(bodyOf(await ask())).toEqual({})
  expect(bodyOf(await ask({ topic: 'nowhere' }))).toEqual({})
  expect(bodyOf(await ask({ messageModel: 'BROADCASTING' }))).toMatchObject({ messageQueueAssignments: { length: 2 } })
  await client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody() })
  expect((await ask({ strategyName: 'MACHINE_ROOM' })).code).toBe(ResponseCode.INVALID_PARAMETER)
  expect((await ask({ clientId: 7 })).code).toBe(ResponseCode.INVALID_PARAMETER)
  await rooms.close()
})

test('the mode of a group outlives the broker', async () => {
  const { rooms, client } = await roomsWith(1)
  const mode = { consumerGroup: 'billing', mode: 'POP', popShareQueueNum: 3, topic: 'orders' }
  await client.request(RequestCode.SET_MESSAGE_REQUEST_MODE, {}, { body: mode })
  await rooms.close()
  const again = await BrokerRooms.start({ disk: rooms.disk })
  const { body } = await again.client().request(RequestCode.GET_ALL_MESSAGE_REQUEST_MODE)
  expect(JSON.parse(body.toString())).toEqual({ messageRequestModeMap: { orders: { billing: mode } } })
  await again.close()
})
