import { RequestCode } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { afterEach, expect, test } from 'vitest'
import { heartbeatBody } from '../../../test/kit/broker-rooms.ts'
import { type Broker, startBroker } from '../broker.ts'
import { MemoryDisk } from '../store/memory-disk.ts'

let clock: VirtualClock
let broker: Broker | undefined
afterEach(async () => {
  if (broker !== undefined) await clock.run(broker.close(), 60_000)
  broker = undefined
})

test('a consumer in order sends what used up its attempts, and it becomes a dead letter; otherwise the last attempt counts', async () => {
  clock = new VirtualClock({ seed: 1 })
  const network = new MemoryNetwork({ clock })
  broker = await clock.run(
    startBroker({ clock, network, disk: new MemoryDisk(), dataDir: 'data', port: 9876, log: () => {} }),
  )
  const client = new RemotingClient({ clock, network })
  const ask = (code: number, extFields: Record<string, string | number>, body: Buffer) =>
    clock.run(client.request('127.0.0.1:9876', { code, version: 409, extFields, body }, 5000), 60_000)
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
  await ask(34, {}, json(heartbeatBody()))
  // Version 4 sends j equal to l, version 5 one more.
  const send = async (reconsumeTimes: number): Promise<void> => {
    const names = {
      a: 'CLIENT_INNER_PRODUCER',
      b: '%RETRY%billing',
      c: 'TBW102',
      d: 4,
      e: 0,
      f: 0,
      g: clock.now(),
      h: 0,
    }
    const answer = await ask(
      310,
      { ...names, i: '', j: reconsumeTimes, k: 'false', l: 2, m: 'false' },
      Buffer.from('x'),
    )
    expect(answer.code).toBe(0)
  }
  const deadLetters = async (): Promise<string | undefined> =>
    (await ask(30, { topic: '%DLQ%billing', queueId: 0 }, Buffer.alloc(0))).extFields['offset']
  await send(2)
  expect(await deadLetters()).toBeUndefined()

  const mqSet = [{ brokerName: 'tandemmq', queueId: 0, topic: '%RETRY%billing' }]
  const lock = { clientId: 'c1', consumerGroup: 'billing', mqSet }
  expect((await ask(RequestCode.LOCK_BATCH_MQ, {}, json(lock))).body.toString()).toContain('"queueId":0')
  await send(1)
  expect(await deadLetters()).toBeUndefined()
  await send(2)
  expect(await deadLetters()).toBe('1')
})

test('a dead letter that was sent as a retry is still one after a restart', async () => {
  clock = new VirtualClock({ seed: 1 })
  const world = { clock, network: new MemoryNetwork({ clock }), disk: new MemoryDisk(), dataDir: 'data', port: 9876 }
  broker = await clock.run(startBroker(world))
  const client = new RemotingClient(world)
  const ask = (code: number, extFields: Record<string, string | number>, body: Buffer) =>
    clock.run(client.request('127.0.0.1:9876', { code, version: 479, extFields, body }, 5000), 60_000)
  await ask(34, {}, Buffer.from(JSON.stringify(heartbeatBody())))
  const retry = { a: 'billing', b: '%RETRY%billing', c: 'TBW102', d: 4, e: 0, f: 0, g: clock.now(), h: 0, i: '' }
  await ask(310, { ...retry, j: 3, k: 'false', l: 2, m: 'false' }, Buffer.from('spent'))
  await clock.run(broker.close(), 60_000)
  broker = await clock.run(startBroker(world))
  const bodiesIn = (topic: string): string[] => (broker as Broker).messages(topic).map(({ body }) => body.toString())
  expect(bodiesIn('%DLQ%billing')).toEqual(['spent'])
  expect(bodiesIn('%RETRY%billing')).toEqual([])
  expect(broker.messages('%DLQ%billing')[0]?.topic).toBe('%DLQ%billing')
})
