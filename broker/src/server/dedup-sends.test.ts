import { encodeBatch, RequestCode, type RemotingCommand } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { afterEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'
import { startBroker } from '../broker.ts'
import { FaultDisk } from '../store/fault-disk.ts'

let world: MemoryBroker
afterEach(() => world.close())

const keyed = (key: string, id = `id-${key}`, more: Record<string, string> = {}) => ({
  UNIQ_KEY: id,
  DEDUP_KEY: key,
  ...more,
})

const place = ({ extFields: { msgId, queueId, queueOffset } }: RemotingCommand) => ({ msgId, queueId, queueOffset })

const createTopic = (topic: string, attributes: string) =>
  world.request(RequestCode.UPDATE_AND_CREATE_TOPIC, {
    ...{ topic, defaultTopic: 'TBW102', readQueueNums: 2, writeQueueNums: 2, perm: 6 },
    ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false, attributes },
  })

test('a repeat gets id, queue and offset of the first one, whatever queue and body it names, and is marked', async () => {
  world = await MemoryBroker.start()
  const first = await world.send('payments', 'x', keyed('p1', 'a'))
  const again = await world.send('payments', 'y', keyed('p1', 'b'))
  expect(place(again)).toEqual(place(first))
  expect([first.extFields['dedup'], again.extFields['dedup'], again.extFields['transactionId']]).toEqual([
    undefined,
    '1',
    'a',
  ])
  expect(world.broker.messages('payments').map(({ body }) => body.toString())).toEqual(['x'])
  expect(world.broker.stats().dedup).toMatchObject({ hits: 1, conflicts: 1, ownKeys: 1 })
})

test('a retry joins the first one that is not on the disk yet: both are answered when it is, neither before', async () => {
  world = await MemoryBroker.start()
  const clock = new VirtualClock({ seed: 1 })
  const network = new MemoryNetwork({ clock })
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const broker = await clock.run(startBroker({ clock, network, disk, dataDir: 'data', port: 9876 }))
  const client = new RemotingClient({ clock, network })
  const answers: RemotingCommand[] = []
  const send = (): void => {
    const names = { a: 'p', b: 'payments', c: 'TBW102', d: 1, e: 0, f: 0, g: clock.now(), h: 0, j: 0, k: 'false' }
    const extFields = { ...names, i: 'UNIQ_KEY\u0001a\u0002DEDUP_KEY\u0001p1\u0002', m: 'false' }
    const command = { code: 310, version: 441, extFields, body: Buffer.from('x') }
    void client.request('127.0.0.1:9876', command, 600_000).then((answer) => answers.push(answer))
  }
  disk.holdSyncs = true
  send()
  await clock.advance(3_000)
  send()
  await clock.advance(3_000)
  expect(answers).toEqual([])
  disk.holdSyncs = false
  disk.releaseSyncs()
  await clock.advance(1_000)
  expect(answers.map(({ code, extFields: { dedup } }) => [code, dedup])).toEqual([
    [0, undefined],
    [0, '1'],
  ])
  expect(place(answers[1]!)).toEqual(place(answers[0]!))
  expect(broker.messages('payments')).toHaveLength(1)
  await clock.run(broker.close(), 60_000)
})

test('a topic sets its window, and the window ends to the millisecond of store time', async () => {
  world = await MemoryBroker.start()
  expect((await createTopic('short', '+tandem.dedup.window.ms=60000')).code).toBe(0)
  const stored: number[] = []
  for (const key of ['under', 'at']) {
    await world.send('short', 'x', keyed(key))
    stored.push(world.broker.messages('short').at(-1)!.storeTimestamp)
    await world.clock.advance(100)
  }
  const [under = 0, at = 0] = stored
  const sendAt = async (time: number, key: string): Promise<string | undefined> => {
    // A request takes a millisecond on this network.
    await world.clock.advance(time - world.clock.now() - 1)
    return (await world.send('short', 'x', keyed(key))).extFields['dedup']
  }
  expect(await sendAt(under + 59_999, 'under')).toBe('1')
  expect(await sendAt(at + 60_000, 'at')).toBeUndefined()
  const again = world.broker.messages('short').at(-1)!
  expect(again.storeTimestamp).toBe(at + 60_000)
  // The second one is the first one now.
  expect(await sendAt(again.storeTimestamp + 59_999, 'at')).toBe('1')
})

test('a topic without a window stores each repeat, and gets the window of the broker back', async () => {
  world = await MemoryBroker.start()
  await createTopic('off', '+tandem.dedup.window.ms=0')
  for (let n = 0; n < 2; n++) expect((await world.send('off', 'x', keyed('k'))).extFields['dedup']).toBeUndefined()
  await createTopic('off', '-tandem.dedup.window.ms')
  await world.send('off', 'x', keyed('k'))
  expect((await world.send('off', 'x', keyed('k'))).extFields['dedup']).toBe('1')
  expect(world.broker.messages('off')).toHaveLength(3)
})

test.each(['-1', '604800001', '1.5', 'x', ''])('a window of "%s" is refused', async (window) => {
  world = await MemoryBroker.start()
  expect((await createTopic('t', `+tandem.dedup.window.ms=${window}`)).code).toBe(29)
})

test('the window of a topic, its keys and an end of the broker: after a restart all is as before', async () => {
  world = await MemoryBroker.start()
  await createTopic('long', '+tandem.dedup.window.ms=604800000')
  await createTopic('off', '+tandem.dedup.window.ms=0')
  const first = await world.send('long', 'x', keyed('k'))
  await world.send('off', 'x', keyed('k'))
  await world.restart()
  await world.clock.advance(604_000_000)
  await world.restart()
  expect(place(await world.send('long', 'x', keyed('k')))).toEqual(place(first))
  expect((await world.send('off', 'x', keyed('k'))).extFields['dedup']).toBeUndefined()
})

test('a topic that was deleted and made anew takes its old keys as new ones, also after a restart', async () => {
  world = await MemoryBroker.start()
  await world.send('payments', 'x', keyed('k'))
  await world.request(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'payments' })
  await world.restart()
  expect((await world.send('payments', 'y', keyed('k'))).extFields['dedup']).toBeUndefined()
  expect((await world.send('payments', 'y', keyed('k'))).extFields['dedup']).toBe('1')
  expect(world.broker.messages('payments').map(({ body }) => body.toString())).toEqual(['y'])
})

test('a delayed message is recognised while it waits and after it fired; its repeat can recall it', async () => {
  world = await MemoryBroker.start()
  const delayed = keyed('k', 'id', { TIMER_DELAY_MS: '30000' })
  const first = await world.send('orders', 'x', delayed)
  const again = await world.send('orders', 'x', delayed)
  expect(place(again)).toEqual(place(first))
  expect(again.extFields).toMatchObject({ dedup: '1', recallHandle: first.extFields['recallHandle'] })
  await world.clock.advance(31_000)
  expect(world.broker.messages('orders')).toHaveLength(1)
  expect((await world.send('orders', 'x', delayed)).extFields['dedup']).toBe('1')
  // An immediate one with the same key, too.
  expect((await world.send('orders', 'x', keyed('k'))).extFields['dedup']).toBe('1')
  await world.clock.advance(60_000)
  expect(world.broker.messages('orders')).toHaveLength(1)
})

test('a half message is recognised pending and settled: a repeat opens no second transaction', async () => {
  world = await MemoryBroker.start()
  const half = keyed('k', 'id', { TRAN_MSG: 'true', PGROUP: 'p' })
  const first = await world.send('orders', 'x', half)
  expect(place(await world.send('orders', 'x', half))).toEqual(place(first))
  expect(world.broker.stats().transactions).toMatchObject({ pending: 1 })
  await world.request(RequestCode.END_TRANSACTION, {
    ...{ producerGroup: 'p', tranStateTableOffset: first.extFields['queueOffset']!, commitOrRollback: 8 },
    ...{ commitLogOffset: Number.parseInt(first.extFields['msgId']!.slice(16), 16), fromTransactionCheck: false },
    ...{ msgId: 'id', transactionId: 'id' },
  })
  expect(world.broker.messages('orders')).toHaveLength(1)
  expect((await world.send('orders', 'x', half)).extFields['dedup']).toBe('1')
  expect(world.broker.stats().transactions).toMatchObject({ pending: 0 })
  expect(world.broker.messages('orders')).toHaveLength(1)
})

test('each message of a batch has its own key: what is stored stays, the rest of the batch is added', async () => {
  world = await MemoryBroker.start()
  const batch = (...keys: string[]): Buffer =>
    encodeBatch(keys.map((key) => ({ flag: 0, body: Buffer.from(key), properties: Buffer.from(textOf(keyed(key))) })))
  const names = { a: 'p', b: 'orders', c: 'TBW102', d: 1, e: 0, f: 0, g: 1, h: 0, j: 0, k: false, m: true }
  const send = (...keys: string[]) =>
    world.request(RequestCode.SEND_BATCH_MESSAGE, { ...names, i: textOf({ UNIQ_KEY: 'batch' }) }, batch(...keys))
  const first = await send('a', 'b')
  const second = await send('a', 'b', 'c')
  expect([first.remark, second.remark]).toEqual([undefined, undefined])
  expect(second.extFields).toMatchObject({ duplicates: '0,1', queueOffsets: '0,1,2' })
  expect(second.extFields['msgId']?.split(',').slice(0, 2)).toEqual(first.extFields['msgId']?.split(','))
  expect((await send('a', 'b', 'c')).extFields['dedup']).toBe('1')
  // Alone it is the same message.
  expect((await world.send('orders', 'c', keyed('c'))).extFields['dedup']).toBe('1')
  expect(world.broker.messages('orders').map(({ body }) => body.toString())).toEqual(['a', 'b', 'c'])
})

test('when there is no room for keys of applications, such sends are refused with the reason and others are not', async () => {
  const lines: string[] = []
  world = await MemoryBroker.start({ dedupOwnKeysMax: 16, log: (line) => lines.push(line) })
  for (let n = 0; n < 16; n++) expect((await world.send('orders', 'x', keyed(`k${n}`))).code).toBe(0)
  const refused = await world.send('orders', 'x', keyed('k16'))
  expect([refused.code, refused.remark]).toEqual([2, expect.stringContaining('dedupOwnKeysMax is 16')])
  expect((await world.send('orders', 'x', { UNIQ_KEY: 'u' })).code).toBe(0)
  expect((await world.send('orders', 'x', keyed('k0'))).extFields['dedup']).toBe('1')
  expect(lines.filter((line) => line.includes('dedup key'))).toHaveLength(1)
  expect(world.broker.messages('orders')).toHaveLength(17)
  await world.clock.advance(660_000)
  expect((await world.send('orders', 'x', keyed('k16'))).code).toBe(0)
})

function textOf(properties: Record<string, string>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}\u0001${value}\u0002`)
    .join('')
}
