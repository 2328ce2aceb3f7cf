import { afterEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

let open: MemoryBroker | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const start = async (): Promise<MemoryBroker> => (open = await MemoryBroker.start())

async function figures(world: MemoryBroker): Promise<Record<string, string>> {
  return JSON.parse((await world.request(28)).body.toString()).table
}

async function item(world: MemoryBroker, statsName: string, statsKey: string) {
  const { code, remark, body } = await world.request(315, { statsName, statsKey })
  return code === 0 ? JSON.parse(body.toString()) : [code, remark]
}

/** @returns a broker that took 30 messages and handed out 20 of them within the last 10 s */
async function worked(): Promise<MemoryBroker> {
  const world = await start()
  for (let at = 0; at < 30; at++) await world.send('orders', 'x'.repeat(100))
  await world.heartbeat()
  await world.pull({ maxMsgNums: 20 })
  await world.pull({ queueOffset: 30 })
  await world.clock.advance(10_000 - world.clock.monotonic())
  return world
}

test('figures say what was put and got, in all and per second', async () => {
  const world = await worked()
  const seconds = world.clock.monotonic() / 1000
  const table = await figures(world)
  expect(table).toMatchObject({
    ...{ brokerActive: 'true', brokerVersion: '479', brokerVersionDesc: 'TandemMQ', putMessageTimesTotal: '30' },
    ...{ msgPutTotalTodayNow: '30', msgGetTotalTodayNow: '20', msgPutTotalTodayMorning: '0' },
    runtime: '[ 0 days, 0 hours, 0 minutes, 10 seconds ]',
  })
  const first = (name: string): number => Number(table[name]?.split(' ')[0])
  expect(first('putTps')).toBeCloseTo(30 / seconds, 1)
  expect(first('getTransferredTps')).toBeCloseTo(20 / seconds, 1)
  expect([first('getFoundTps'), first('getMissTps')]).toEqual([0.1, 0.1])
  expect(first('getTotalTps')).toBeCloseTo(0.2, 1)
  const bytes = Number(table['putMessageSizeTotal'])
  expect(bytes).toBeGreaterThan(30 * 190)
  expect(Number(table['putMessageAverageSize'])).toBeCloseTo(bytes / 30)
  expect(Number(table['commitLogMaxOffset'])).toBeGreaterThanOrEqual(bytes)
  const [stored] = await world.messages()
  expect(table['earliestMessageTimeStamp']).toBe(String(stored?.storeTimestamp))
})

test('rates fall when the traffic ends, the shortest window first; totals stay', async () => {
  const world = await worked()
  await world.clock.advance(30_000)
  const { putTps = '', putMessageTimesTotal } = await figures(world)
  const [shortest, middle] = putTps.split(' ').map(Number) as [number, number]
  expect([shortest, putMessageTimesTotal]).toEqual([0, '30'])
  expect(middle).toBeCloseTo(30 / (world.clock.monotonic() / 1000), 1)
  await world.clock.advance(120_000)
  expect((await figures(world))['putTps']).toMatch(/^0\.00 0\.00 0\.[1-9]/)
})

test('every figure the tools read as a number is one', async () => {
  const table = await figures(await start())
  const texts = new Set(['brokerActive', 'brokerVersionDesc', 'runtime'])
  const odd = Object.entries(table).filter(([name, value]) => !texts.has(name) && !/^[\d.]+( [\d.]+)*$/.test(value))
  expect(odd).toEqual([])
  for (const name of ['commitLogDiskRatio', 'ackThreadPoolQueueSize', 'timerEnqueueTps', 'pageCacheLockTimeMills'])
    expect(table).toHaveProperty(name)
})

test('one item of traffic is answered for the last minute, hour and day', async () => {
  const world = await worked()
  const put = await item(world, 'TOPIC_PUT_NUMS', 'orders')
  expect(put.statsMinute).toMatchObject({ sum: 30, avgpt: 1 })
  expect(put.statsMinute.tps).toBeCloseTo(3, 1)
  expect([put.statsHour.sum, put.statsDay.sum]).toEqual([30, 30])
  expect((await item(world, 'GROUP_GET_NUMS', 'orders@billing')).statsMinute).toMatchObject({ sum: 20, avgpt: 20 })
  expect((await item(world, 'GROUP_GET_SIZE', 'orders@billing')).statsMinute.sum).toBeGreaterThan(20 * 190)
  expect((await item(world, 'BROKER_PUT_NUMS', 'DefaultCluster')).statsMinute.sum).toBe(30)
  await world.clock.advance(90_000)
  const later = await item(world, 'TOPIC_PUT_NUMS', 'orders')
  expect([later.statsMinute.sum, later.statsHour.sum]).toEqual([0, 30])
})

test('what is not counted and what had no traffic are refused, each with its reason', async () => {
  const world = await worked()
  expect(await item(world, 'COLOURS', 'orders')).toEqual([1, expect.stringContaining('counted: TOPIC_PUT_NUMS, ')])
  expect(await item(world, 'TOPIC_PUT_NUMS', 'nowhere')).toEqual([1, expect.stringContaining('no traffic')])
  expect(await item(world, 'GROUP_GET_NUMS', 'orders')).toEqual([1, expect.stringContaining('no traffic')])
  expect(await item(world, '__proto__', 'x')).toEqual([1, expect.stringContaining('not exist')])
})

test('a repeat and a refused send are not counted; delayed, half and batched messages are', async () => {
  const world = await start()
  await world.send('orders', 'x', { UNIQ_KEY: 'A1' })
  await world.send('orders', 'x', { UNIQ_KEY: 'A1' })
  await world.send('orders', 'x', { TIMER_DELAY_MS: '99999999999' })
  await world.send('orders', '')
  expect((await item(world, 'TOPIC_PUT_NUMS', 'orders')).statsMinute.sum).toBe(1)
  await world.send('orders', 'x', { TIMER_DELAY_MS: '5000' })
  await world.send('orders', 'x', { TRAN_MSG: 'true', PGROUP: 'p' })
  expect((await item(world, 'TOPIC_PUT_NUMS', 'orders')).statsMinute.sum).toBe(3)
})

test('a message sent back is counted for the topic it came from, whichever attempt it was', async () => {
  const world = await start()
  await world.send('orders')
  await world.heartbeat()
  const [message] = await world.messages()
  const back = { group: 'billing', offset: String(message?.physicalOffset), delayLevel: 0, maxReconsumeTimes: 16 }
  expect((await world.request(36, back)).code).toBe(0)
  expect((await item(world, 'SNDBCK_PUT_NUMS', 'orders@billing')).statsMinute.sum).toBe(1)
})

test('what a pop hands out is counted like what a pull does', async () => {
  const world = await start()
  await world.send('orders')
  await world.heartbeat()
  const pop = { consumerGroup: 'billing', topic: 'orders', queueId: -1, maxMsgNums: 8, invisibleTime: 30_000 }
  const rest = { pollTime: 0, bornTime: world.clock.now(), initMode: 0, expType: 'TAG', exp: '*', order: false }
  expect((await world.request(200_050, { ...pop, ...rest })).code).toBe(0)
  expect((await item(world, 'GROUP_GET_NUMS', 'orders@billing')).statsMinute.sum).toBe(1)
  expect((await figures(world))['msgGetTotalTodayNow']).toBe('1')
})

test('rates of a topic and of a group are in their own statistics', async () => {
  const world = await worked()
  const topic = (await world.request(202, { topic: 'orders' })).body.toString()
  const group = (await world.request(208, { consumerGroup: 'billing' })).body.toString()
  expect(Number(/"topicPutTps":([\d.]+)/.exec(topic)?.[1])).toBeCloseTo(3, 1)
  expect(Number(/"consumeTps":([\d.]+)/.exec(group)?.[1])).toBeCloseTo(2, 1)
})
