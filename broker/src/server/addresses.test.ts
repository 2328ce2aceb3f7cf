import { decodeRecords, SysFlag } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

let open: MemoryBroker | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

test('over IPv6, records, message ids, routes and connection lists carry the whole addresses', async () => {
  const world = (open = await MemoryBroker.start({ host: '::' }))
  const client = world.client(undefined, '2001:db8::7')
  const ask = (code: number, extFields: Record<string, string | number | boolean>, body = '') =>
    world.clock.run(
      client.request('[2001:db8::1]:9876', { code, extFields, version: 441, body: Buffer.from(body) }, 9_000),
    )
  const short = { a: 'p', b: 'orders', c: 'TBW102', d: 1, e: 0, f: 0, g: 1, h: 0, j: 0, k: false, m: false }
  const sent = await ask(310, short, 'x')
  const route = JSON.parse((await ask(105, { topic: 'orders' })).body.toString())
  expect(route.brokerDatas[0].brokerAddrs).toEqual({ 0: '[2001:db8::1]:9876' })
  const pull = { consumerGroup: 'billing', topic: 'orders', queueId: 0, queueOffset: 0, maxMsgNums: 32, sysFlag: 4 }
  const found = await ask(11, { ...pull, commitOffset: 0, subscription: '*', subVersion: 0, expressionType: 'TAG' })
  const [stored] = decodeRecords(found.body)
  expect(stored).toMatchObject({ storeHost: '[2001:db8:0:0:0:0:0:1]:9876', offsetMessageId: sent.extFields['msgId'] })
  expect(stored?.bornHost).toMatch(/^\[2001:db8:0:0:0:0:0:7\]:\d+$/)
  expect((stored?.sysFlag ?? 0) & (SysFlag.BORN_HOST_V6 | SysFlag.STORE_HOST_V6)).toBe(48)
  expect(sent.extFields['msgId']).toMatch(/^20010DB8000000000000000000000001[0-9A-F]{24}$/)
  const offset = Number.parseInt(sent.extFields['msgId']?.slice(-16) ?? '', 16)
  expect(decodeRecords((await ask(33, { offset })).body)[0]?.offsetMessageId).toBe(sent.extFields['msgId'])
  const beat = { clientID: 'c', producerDataSet: [{ groupName: 'p' }], consumerDataSet: [] }
  await ask(34, {}, JSON.stringify(beat))
  const { connectionSet } = JSON.parse((await ask(204, { producerGroup: 'p' })).body.toString())
  expect(connectionSet[0].clientAddr).toMatch(/^\[2001:db8:.*7\]:\d+$/)
  await world.clock.run(client.close())
})

test('a client that wants the VIP port, two below, is turned away at once and needs no other setting to be served', async () => {
  const world = (open = await MemoryBroker.start())
  const client = world.client()
  const ask = (port: number) => world.clock.run(client.request(`127.0.0.1:${port}`, { code: 106 }, 3_000), 9_000)
  const before = world.clock.monotonic()
  await expect(ask(9874)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
  expect(world.clock.monotonic() - before).toBeLessThan(1_000)
  expect((await ask(9876)).code).toBe(0)
  await world.clock.run(client.close())
})
