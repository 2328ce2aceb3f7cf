import { RequestCode } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { type Broker, startBroker } from '../broker.ts'
import { FaultDisk } from '../store/fault-disk.ts'

const ADDRESS = '127.0.0.1:9876'

test('a deletion that did not reach the disk is not called done when it is asked for again', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const soon = (callback: () => void): void => clock.soon(callback)
  const disk = new FaultDisk({ seed: 1, soon })
  const network = new MemoryNetwork({ clock })
  const broker: Broker = await clock.run(startBroker({ clock, network, disk, dataDir: '/data', port: 9876 }))
  const client = new RemotingClient({ clock, network })
  const ask = async (code: number, topic = 'orders'): Promise<number> => {
    const fields = { topic, defaultTopic: 'TBW102', readQueueNums: 1, writeQueueNums: 1, perm: 6 }
    const extFields = { ...fields, topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false }
    return (await clock.run(client.request(ADDRESS, { code, extFields }, 5_000), 60_000)).code
  }
  expect(await ask(RequestCode.UPDATE_AND_CREATE_TOPIC)).toBe(0)
  expect(await ask(RequestCode.UPDATE_AND_CREATE_TOPIC, 'bills')).toBe(0)
  disk.fail({ operation: 'sync', code: 'EIO', path: /journal/ })
  expect(await ask(RequestCode.DELETE_TOPIC_IN_BROKER)).not.toBe(0)
  expect(await ask(RequestCode.DELETE_TOPIC_IN_BROKER)).not.toBe(0)
  // Fenced before it began.
  expect(await ask(RequestCode.DELETE_TOPIC_IN_BROKER, 'bills')).not.toBe(0)
  expect(await ask(RequestCode.DELETE_TOPIC_IN_BROKER, 'bills')).not.toBe(0)
  await clock.run(Promise.all([client.close(), broker.close()]), 60_000)
})

test('a topic that never was is deleted with success', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const network = new MemoryNetwork({ clock })
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const broker = await clock.run(startBroker({ clock, network, disk, dataDir: '/data', port: 9876 }))
  const client = new RemotingClient({ clock, network })
  const init = { code: RequestCode.DELETE_TOPIC_IN_BROKER, extFields: { topic: 'nothing' } }
  expect((await clock.run(client.request(ADDRESS, init, 5_000), 60_000)).code).toBe(0)
  await clock.run(Promise.all([client.close(), broker.close()]), 60_000)
})
