import { encodeBatch, encodeProperties, RequestCode, TandemRequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

const sizes = { segmentBytes: 256 << 10, messageBytesMax: 64 << 10 }
const INDEX = '/data/index'

/** Sends what reaches the log on every way there is. */
async function sendAllKinds(world: MemoryBroker, round: number): Promise<void> {
  const id = (what: string): string => `${what}-${round}`
  await world.send('orders', 'x', { UNIQ_KEY: id('plain'), KEYS: `a b  ${round} `, TAGS: 'red' })
  await world.send(
    'orders',
    'x',
    {},
    { properties: 'KEYS\x01one\x02TAGS\x01a\x02KEYS\x01two three\x02TAGS\x01b\x02WAIT' },
  )
  await world.send('orders', 'x', { UNIQ_KEY: id('late'), KEYS: 'late', TIMER_DELAY_MS: '2000' })
  const entries = ['n', 'm'].map((key) => {
    return {
      flag: 0,
      body: Buffer.from('x'),
      properties: encodeProperties({ UNIQ_KEY: id(key), KEYS: key, TAGS: key }),
    }
  })
  const batch = { a: 'p', b: 'orders', c: 'TBW102', d: 1, e: 0, f: 0, g: 1, h: 0, i: '', j: 0, k: false, m: true }
  await world.request(RequestCode.SEND_BATCH_MESSAGE, batch, encodeBatch(entries))
  for (const commitOrRollback of [8, 12]) {
    const half = { UNIQ_KEY: id(`half${commitOrRollback}`), KEYS: 'half', TAGS: 'h', TRAN_MSG: 'true', PGROUP: 'p' }
    const { extFields } = await world.send('paid', 'x', { ...half, __SHARDINGKEY: 'k' })
    await world.send('paid', 'x', { UNIQ_KEY: id(`held${commitOrRollback}`), KEYS: 'held', __SHARDINGKEY: 'k' })
    await world.request(RequestCode.END_TRANSACTION, {
      ...{ producerGroup: 'p', tranStateTableOffset: extFields['queueOffset']!, commitOrRollback },
      ...{ commitLogOffset: Number.parseInt(extFields['msgId']!.slice(16), 16), fromTransactionCheck: false },
    })
  }
  const sent = await world.send('jobs', 'x', { UNIQ_KEY: id('job'), KEYS: 'job', TAGS: 'j' })
  const [stored] = await world.messages({ topic: 'jobs', queueOffset: Number(sent.extFields['queueOffset']) })
  for (const delayLevel of [1, -1]) {
    const back = {
      group: 'g',
      offset: String(stored?.physicalOffset),
      delayLevel,
      originMsgId: id('job'),
      originTopic: 'jobs',
    }
    await world.request(RequestCode.CONSUMER_SEND_MSG_BACK, back)
  }
  await world.send('%RETRY%g', 'x', { UNIQ_KEY: id('given up'), KEYS: 'given up', TAGS: 'g' }, { reconsumeTimes: 99 })
  await world.request(TandemRequestCode.REDRIVE_DEAD_LETTERS, {}, JSON.stringify({ group: 'g', offsets: [round] }))
  await world.send('orders', 'x'.repeat(60_000), { UNIQ_KEY: id('large') })
  await world.clock.advance(5_000)
}

function indexFiles(world: MemoryBroker): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (const name of world.disk.list(INDEX)) {
    const file = world.disk.open(`${INDEX}/${name}`, 'read')
    const bytes = Buffer.alloc(file.size())
    file.read(bytes, 0, bytes.length, 0)
    files.set(name, bytes)
  }
  return files
}

test('on whatever way a message reaches the log, the index is told what the log says of it', async () => {
  const world = await MemoryBroker.start(sizes)
  await world.heartbeat({ group: 'g' })
  for (let round = 0; round < 30; round++) await sendAllKinds(world, round)
  const topics = [
    'orders',
    'paid',
    'jobs',
    '%RETRY%g',
    '%DLQ%g',
    'SCHEDULE_TOPIC_XXXX',
    'RMQ_SYS_TRANS_HALF_TOPIC',
    'RMQ_SYS_TANDEM_HELD_TOPIC',
  ]
  for (const topic of topics) expect(world.broker.messages(topic).length, topic).toBeGreaterThan(5)
  const told = indexFiles(world)
  expect(told.size).toBeGreaterThan(6)
  // Reads the whole log, and makes each file anew from it.
  await world.restart({ ...sizes, acceptDamage: true })
  const read = indexFiles(world)
  for (const [name, bytes] of told) expect(read.get(name)?.equals(bytes), name).toBe(true)
  await world.close()
})
