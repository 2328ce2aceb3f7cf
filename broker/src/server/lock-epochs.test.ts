import { RequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

const QUEUE = { brokerName: 'tandemmq', queueId: 0, topic: 'orders' }

async function started() {
  const world = await MemoryBroker.start()
  await world.heartbeat({ group: 'g' })
  for (let n = 0; n < 5; n++) await world.send('orders', `m${n}`)
  const lock = async (clientId: string, more: object = { withEpochs: true }) => {
    const body = { clientId, consumerGroup: 'g', mqSet: [QUEUE], onlyThisBroker: false, ...more }
    return JSON.parse((await world.request(RequestCode.LOCK_BATCH_MQ, {}, JSON.stringify(body))).body.toString())
  }
  const epochOf = async (clientId: string): Promise<number | undefined> => (await lock(clientId)).epochs[0]
  const unlock = (clientId: string) => {
    const body = { clientId, consumerGroup: 'g', mqSet: [QUEUE] }
    return world.request(RequestCode.UNLOCK_BATCH_MQ, {}, JSON.stringify(body))
  }
  const commit = (commitOffset: number, lockEpoch?: number) =>
    world.request(RequestCode.UPDATE_CONSUMER_OFFSET, {
      ...{ consumerGroup: 'g', topic: 'orders', queueId: 0, commitOffset },
      ...(lockEpoch === undefined ? {} : { lockEpoch }),
    })
  const committed = async () => {
    const where = { consumerGroup: 'g', topic: 'orders', queueId: 0 }
    return (await world.request(RequestCode.QUERY_CONSUMER_OFFSET, where)).extFields['offset']
  }
  return { world, lock, epochOf, unlock, commit, committed }
}

test('a renewal keeps the epoch, another owner gets a later one, and what the first commits then is refused', async () => {
  const { world, epochOf, commit, committed } = await started()
  const first = await epochOf('a')
  await world.clock.advance(30_000)
  expect(await epochOf('a')).toBe(first)
  expect((await commit(1, first)).code).toBe(0)
  expect(await epochOf('b')).toBeUndefined()
  await world.clock.advance(61_000)
  const second = await epochOf('b')
  expect(second).toBeGreaterThan(first!)
  const late = await commit(4, first)
  expect([late.code, late.remark]).toEqual([604, expect.stringContaining('another owner')])
  expect((await commit(2, second)).code).toBe(0)
  expect(await committed()).toBe('2')
  await world.close()
})

test('who had the queue in between is noticed: the same client gets a later epoch', async () => {
  const { world, epochOf, unlock } = await started()
  const first = await epochOf('a')
  await unlock('a')
  const second = await epochOf('b')
  await unlock('b')
  const third = await epochOf('a')
  expect([second! > first!, third! > second!]).toEqual([true, true])
  await world.close()
})

test('a client that knows no epochs is answered and served as ever', async () => {
  const { world, lock, commit } = await started()
  expect(await lock('java', {})).toEqual({ lockOKMQSet: [QUEUE] })
  expect((await commit(3)).code).toBe(0)
  await world.close()
})

test('a restart forgets no owner: nobody else gets its queue before its time, and its epoch goes on', async () => {
  const { world, epochOf, commit, unlock } = await started()
  const first = await epochOf('a')
  await world.restart()
  await world.heartbeat({ group: 'g' })
  expect(await epochOf('b')).toBeUndefined()
  expect(await epochOf('a')).toBe(first)
  expect((await commit(1, first)).code).toBe(0)
  await unlock('a')
  await world.restart()
  await world.heartbeat({ group: 'g' })
  expect(await epochOf('b')).toBeGreaterThan(first!)
  expect((await commit(2, first)).code).toBe(604)
  await world.close()
})
