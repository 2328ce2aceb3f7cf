import { PropertyName, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { heartbeatBody } from '../../../../test/kit/broker-rooms.ts'
import { groupConfigOf } from '../group-config.ts'
import { Popped, Pops } from './lease-test-kit.ts'

let pops: Pops
beforeEach(async () => {
  pops = await Pops.start()
})
afterEach(() => pops.rooms.close())

const modes = [
  ['at will', {}],
  ['in order', { order: true }],
  ['by key', { order: true, orderByKey: true }],
] as const

function append(body: string): void {
  pops.rooms.append('orders', 0, { body, uniqueKey: body, properties: { [PropertyName.SHARDING_KEY]: 'k' } })
}

test.each(modes)(
  'what a connection closed before its answer left takes nobody: it is had %s at once, and that was no delivery',
  async (_name, mode) => {
    const { rooms } = pops
    rooms.groups.configure(groupConfigOf({ groupName: 'billing', retryMaxTimes: 0 }))
    const lost = pops.askPop({ ...mode, pollTime: 20_000 }).catch(() => 'closed')
    await rooms.settle()
    rooms.store.onVisible = (queue) => {
      rooms.leases.onVisible(queue)
      for (const connection of rooms.server.connections) connection.destroy()
    }
    append('m')
    await rooms.settle()
    rooms.store.onVisible = (queue) => rooms.leases.onVisible(queue)
    expect(await rooms.clock.run(lost)).toBe('closed')
    expect(rooms.leases.stats().popped).toBe(1)
    expect((await pops.pop(mode)).bodies).toEqual(['m'])
    expect(pops.bodiesOf('%DLQ%billing')).toEqual([])
  },
)

test('a question asked again too late for an answer withdraws the one that waits: both get nothing', async () => {
  const waiting = pops.askPop({ attemptId: 'mine', pollTime: 20_000 })
  await pops.rooms.settle()
  const withdrawal = await pops.pop({ attemptId: 'mine', bornTime: 0 })
  expect(withdrawal).toMatchObject({ code: ResponseCode.POLLING_TIMEOUT, bodies: [] })
  expect(new Popped(await pops.rooms.clock.run(waiting)).code).toBe(ResponseCode.POLLING_TIMEOUT)
  expect(pops.rooms.leases.stats()).toMatchObject({ waiting: 0, popped: 0 })
  append('m')
  await pops.rooms.settle()
  expect((await pops.pop()).bodies).toEqual(['m'])
})

test('a member that leaves its group waits no more for messages of that group, and goes on waiting for others', async () => {
  const { client, rooms } = pops
  await client.request(RequestCode.HEART_BEAT, {}, { body: heartbeatBody({ clientId: 'c1' }) })
  const ofGroup = pops.askPop({ pollTime: 20_000 })
  const ofOther = pops.askPop({ pollTime: 20_000, consumerGroup: 'stock' })
  await rooms.settle()
  await client.request(RequestCode.UNREGISTER_CLIENT, { clientID: 'c1', consumerGroup: 'billing' })
  expect(new Popped(await rooms.clock.run(ofGroup)).code).toBe(ResponseCode.POLLING_TIMEOUT)
  expect(rooms.leases.stats().waiting).toBe(1)
  append('m')
  expect(new Popped(await rooms.clock.run(ofOther)).bodies).toEqual(['m'])
})
