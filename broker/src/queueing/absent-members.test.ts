import { RequestCode } from '@tandemmq/protocol'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BrokerRooms, heartbeatBody, type RoomsClient, type RoomsOptions } from '../../../test/kit/broker-rooms.ts'
import { MemoryDisk } from '../store/memory-disk.ts'

type Beat = NonNullable<Parameters<typeof heartbeatBody>[0]>

let clock: VirtualClock
let disk: MemoryDisk
let rooms: BrokerRooms

beforeEach(async () => {
  clock = new VirtualClock({ seed: 1 })
  disk = new MemoryDisk()
  rooms = await BrokerRooms.start({ clock, disk })
})

afterEach(() => rooms.close())

async function restart(options: RoomsOptions = {}): Promise<void> {
  await rooms.close()
  rooms = await BrokerRooms.start({ clock, disk, ...options })
}

async function beat(clientId: string, over: Beat = {}): Promise<RoomsClient> {
  const client = rooms.client()
  const { code, remark } = await client.request(
    RequestCode.HEART_BEAT,
    {},
    { body: heartbeatBody({ clientId, ...over }) },
  )
  if (code !== 0) throw new Error(remark)
  return client
}

async function listed(client: RoomsClient): Promise<unknown> {
  const { code, body } = await client.request(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup: 'billing' })
  return code === 0 ? JSON.parse(body.toString()).consumerIdList : code
}

const notified = (client: RoomsClient): number => client.pushed.filter(({ code }) => code === 40).length

test('after a restart of the broker the first member to come back finds the others listed', async () => {
  await beat('a')
  await beat('b')
  await beat('c')
  await restart()
  const first = await beat('b')
  expect(await listed(first)).toEqual(['a', 'b', 'c'])
  await beat('a')
  await beat('c')
  await rooms.settle(60_000)
  expect(await listed(first)).toEqual(['a', 'b', 'c'])
})

test('who does not come back is waited for as long as it asked, stock clients 30 s, and the others are told then', async () => {
  await beat('quick', { instance: { restartMs: 6_000 } })
  await beat('stock')
  await beat('here')
  await restart()
  const here = await beat('here')
  await rooms.settle(5_900)
  expect(await listed(here)).toEqual(['here', 'quick', 'stock'])
  const before = notified(here)
  await rooms.settle(200)
  expect(await listed(here)).toEqual(['here', 'stock'])
  expect(notified(here)).toBe(before + 1)
  await rooms.settle(23_800)
  expect(await listed(here)).toEqual(['here', 'stock'])
  await rooms.settle(200)
  expect(await listed(here)).toEqual(['here'])
})

test('who said farewell, or whose connection broke while the broker ran, is not waited for', async () => {
  const polite = await beat('polite')
  const broken = await beat('broken')
  await beat('here')
  await polite.request(RequestCode.UNREGISTER_CLIENT, { clientID: 'polite', consumerGroup: 'billing' })
  ;(await broken.connection()).destroy()
  await rooms.settle()
  await restart()
  expect(await listed(await beat('here'))).toEqual(['here'])
})

test('memberGraceMs bounds the wait after a restart; 0 waits for nobody who did not ask to be kept', async () => {
  await beat('away')
  await beat('kept', { instance: { absenceMs: 20_000 } })
  await beat('here')
  await restart({ memberGraceMs: 0 })
  expect(await listed(await beat('here'))).toEqual(['here', 'kept'])
})

test('a group whose members are all away has no list: whoever asks keeps what it has', async () => {
  await beat('a')
  await restart()
  expect(await listed(rooms.client())).toBe(1)
})

test('a member that asked for it stays listed while its connection is broken, and moves no queue when it comes back in time', async () => {
  const here = await beat('here')
  const asked = { instance: { absenceMs: 20_000, startedAt: 1 } }
  const away = await beat('away', asked)
  ;(await away.connection()).destroy()
  await rooms.settle(19_000)
  expect(await listed(here)).toEqual(['away', 'here'])
  const back = await beat('away', { instance: { absenceMs: 20_000, startedAt: 2 } })
  await rooms.settle(30_000)
  expect(await listed(here)).toEqual(['away', 'here'])
  ;(await back.connection()).destroy()
  await rooms.settle(20_100)
  expect(await listed(here)).toEqual(['here'])
})

test('of two programs under one client id the younger one counts, and the other is disconnected and refused', async () => {
  const old = await beat('c1', { instance: { startedAt: 100 } })
  const oldConnection = await old.connection()
  const young = await beat('c1', { instance: { startedAt: 200 } })
  await rooms.settle()
  expect(oldConnection.isOpen).toBe(false)
  await expect(beat('c1', { instance: { startedAt: 100 } })).rejects.toThrow('[CLIENT_ID_TAKEN]')
  expect(await listed(young)).toEqual(['c1'])
  // The same program through another connection, and clients that do not say which they are, replace themselves.
  await beat('c1', { instance: { startedAt: 200 } })
  await beat('c1')
})

test('members of a group that was deleted, and members that broadcast, are not waited for', async () => {
  await beat('gone', { group: 'closed' })
  await rooms.groups.delete('closed').catch(() => undefined)
  await beat('wide', { model: 'BROADCASTING' })
  await beat('here')
  await restart()
  expect(await listed(await beat('here'))).toEqual(['here'])
  await beat('here', { group: 'closed' })
  expect(rooms.groups.clientIds('closed')).toEqual(['here'])
})

test('the memory of who was there survives many changes and a second restart', async () => {
  for (let round = 0; round < 300; round++) {
    const client = await beat(`c${round}`)
    await client.request(RequestCode.UNREGISTER_CLIENT, { clientID: `c${round}`, consumerGroup: 'billing' })
  }
  await beat('stays')
  await restart()
  await restart()
  expect(await listed(await beat('here'))).toEqual(['here', 'stays'])
})
