import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody, type RoomsClient } from '../../../test/kit/broker-rooms.ts'

let rooms: BrokerRooms
afterEach(() => rooms.close())

interface Told {
  clientId: string
  group?: string
  domains?: unknown
}

async function beat(client: RoomsClient, { clientId, group = 'shop', domains }: Told) {
  const body = {
    ...(heartbeatBody({ clientId }) as object),
    ...{ producerDataSet: [{ groupName: group }], consumerDataSet: [] },
    ...(domains !== undefined && { transactionDomains: domains }),
  }
  return client.request(RequestCode.HEART_BEAT, {}, { body })
}

async function join(told: Told): Promise<{ client: RoomsClient; id: number }> {
  const client = rooms.client()
  const before = new Set(ids(told.group))
  await beat(client, told)
  return { client, id: ids(told.group).find((id) => !before.has(id)) ?? -1 }
}

const ids = (group = 'shop'): number[] => rooms.producers.members(group).map(({ connection }) => connection.id)
const half = (domain: string | undefined, connectionId = -1, idHash = 0) => {
  return { group: 'shop', domain, connectionId, idHash }
}
const turns = (of: ReturnType<typeof half>, count = 4): (number | undefined)[] =>
  Array.from({ length: count }, (_, turn) => rooms.domains.pick(of, turn)?.id)

test('about a transaction of a domain its sender is asked first, then who announced the domain, of whatever group', async () => {
  rooms = await BrokerRooms.start()
  const sender = await join({ clientId: 'a', domains: ['db1'] })
  const twin = await join({ clientId: 'b', domains: ['db1'] })
  const resolver = await join({ clientId: 'r', group: 'resolvers', domains: ['db0', 'db1'] })
  const others = turns(half('db1', sender.id)).filter((id) => id !== sender.id)
  expect(turns(half('db1', sender.id))).toEqual([sender.id, expect.anything(), sender.id, expect.anything()])
  expect(new Set(others)).toEqual(new Set([twin.id, resolver.id]))
  expect(turns(half('db0'))).toEqual([resolver.id, resolver.id, resolver.id, resolver.id])
})

test('a producer of another domain in the same group is never asked, and without anybody else nobody is', async () => {
  rooms = await BrokerRooms.start()
  await join({ clientId: 'stranger', domains: ['db2'] })
  await join({ clientId: 'classic' })
  expect(turns(half('db1'))).toEqual([undefined, undefined, undefined, undefined])
})

test('about a transaction without a domain any producer of its group is asked', async () => {
  rooms = await BrokerRooms.start()
  const members = [await join({ clientId: 'a', domains: ['db1'] }), await join({ clientId: 'b' })]
  await join({ clientId: 'r', group: 'resolvers', domains: ['db1'] })
  expect(new Set(turns(half(undefined)))).toEqual(new Set(members.map(({ id }) => id)))
})

test('the sender that came back through a new connection is known by its client id', async () => {
  rooms = await BrokerRooms.start()
  const old = await join({ clientId: 'a' })
  const twin = await join({ clientId: 'b' })
  ;(await old.client.connection()).destroy()
  await rooms.settle()
  expect(turns(half('db1', old.id), 2)).toEqual([undefined, undefined])
  const back = await join({ clientId: 'a' })
  expect(back.id).not.toBe(old.id)
  expect(turns(half('db1', old.id), 2)).toEqual([back.id, back.id])
  expect(turns(half(undefined, old.id), 2)).toEqual([back.id, twin.id])
})

test('transactions meet different producers of a domain, those of one transaction the same', async () => {
  rooms = await BrokerRooms.start()
  for (const clientId of ['a', 'b', 'c']) await join({ clientId, domains: ['db1'] })
  const met = Array.from({ length: 30 }, (_, n) => rooms.domains.pick(half('db1', -1, n * 0x1_0101), 0)?.id)
  expect(new Set(met).size).toBe(3)
})

test('who leaves, falls silent, loses its connection or drops a domain is not asked about it any more', async () => {
  rooms = await BrokerRooms.start({ channelExpiryMs: 30_000 })
  const known = (): string[] => rooms.domains.domains().toSorted()
  const leaver = await join({ clientId: 'a', domains: ['db1', 'db2'] })
  await beat(leaver.client, { clientId: 'a', domains: ['db2', 'db3'] })
  expect(known()).toEqual(['db2', 'db3'])
  await leaver.client.request(RequestCode.UNREGISTER_CLIENT, { clientID: 'a', producerGroup: 'shop' })
  expect(known()).toEqual([])
  const lost = await join({ clientId: 'b', domains: ['db4'] })
  await join({ clientId: 'c', domains: ['db5'] })
  ;(await lost.client.connection()).destroy()
  await rooms.settle()
  expect(known()).toEqual(['db5'])
  await rooms.clock.advance(41_000)
  expect(known()).toEqual([])
})

test('one that does not answer is passed over while there is another', async () => {
  rooms = await BrokerRooms.start()
  const sender = await join({ clientId: 'a', domains: ['db1'] })
  const twin = await join({ clientId: 'b', domains: ['db1'] })
  const silent = new Set([sender.id])
  rooms.domains.isSilent = (id) => silent.has(id)
  expect(turns(half('db1', sender.id))).toEqual([twin.id, twin.id, twin.id, twin.id])
  silent.add(twin.id)
  expect(turns(half('db1', sender.id), 1)).toEqual([sender.id])
  expect(new Set(turns(half('db1')))).toEqual(new Set([sender.id, twin.id]))
})

test.each([
  ['a domain without a name', [''], 'has 1 to 255 characters'],
  ['a domain beyond 255 characters', ['d'.repeat(256)], 'has 1 to 255 characters'],
  ['more than 64 domains', Array.from({ length: 65 }, (_, n) => `db${n}`), 'at most 64'],
  ['a domain that is no text', [7], 'must be a list of texts'],
  ['no list', 'db1', 'transactionDomains must be a list'],
])('a heartbeat with %s is refused', async (_what, domains, remark) => {
  rooms = await BrokerRooms.start()
  const answer = await beat(rooms.client(), { clientId: 'a', domains })
  expect(answer.code).not.toBe(ResponseCode.SUCCESS)
  expect(answer.remark).toContain(remark)
  expect(rooms.domains.domains()).toEqual([])
})
