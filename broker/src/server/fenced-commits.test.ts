import { decodeRecords, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { pullFields } from '../../../test/kit/broker-rooms.ts'
import { startBroker } from '../broker.ts'
import { FaultDisk } from '../store/fault-disk.ts'

const ADDRESS = '127.0.0.1:9876'
const place = { consumerGroup: 'billing', topic: 'orders', queueId: 0 }

test('after a write error a commit is refused, and the group stays where the disk has it', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const disk = new FaultDisk({ seed: 1, soon: (work) => clock.soon(work) })
  const network = new MemoryNetwork({ clock })
  const broker = await clock.run(startBroker({ clock, network, disk, dataDir: '/data', port: 9876 }))
  const client = new RemotingClient({ clock, network })
  const ask = (code: number, extFields: Record<string, string | number | boolean>) =>
    clock.run(client.request(ADDRESS, { code, extFields, body: Buffer.from('x') }, 5_000), 60_000)
  const send = async (): Promise<number> => {
    const fields = { producerGroup: 'p', topic: 'orders', defaultTopic: 'TBW102', defaultTopicQueueNums: 1, queueId: 0 }
    const more = { sysFlag: 0, bornTimestamp: clock.now(), flag: 0, reconsumeTimes: 0, unitMode: false, batch: false }
    return (await ask(RequestCode.SEND_MESSAGE, { ...fields, ...more, properties: '' })).code
  }
  const commit = (commitOffset: number) => ask(RequestCode.UPDATE_CONSUMER_OFFSET, { ...place, commitOffset })
  const committed = async () => (await ask(RequestCode.QUERY_CONSUMER_OFFSET, place)).extFields['offset']
  expect([await send(), await send(), await send()]).toEqual([0, 0, 0])
  const pulled = await ask(RequestCode.PULL_MESSAGE, pullFields({ suspendTimeoutMillis: 0 }))
  expect(decodeRecords(pulled.body)).toHaveLength(3)
  expect((await commit(1)).code).toBe(0)
  disk.fail({ operation: 'write', code: 'EIO' })
  expect(await send()).not.toBe(0)
  const refused = await commit(3)
  expect([refused.code, refused.remark]).toEqual([
    ResponseCode.SERVICE_NOT_AVAILABLE,
    expect.stringContaining('STORE_FENCED'),
  ])
  expect(await committed()).toBe('1')
  await clock.run(Promise.all([client.close(), broker.close()]), 60_000)
})
